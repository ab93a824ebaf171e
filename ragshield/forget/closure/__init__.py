"""Which passages of a store carry the target, why, and how surely."""
