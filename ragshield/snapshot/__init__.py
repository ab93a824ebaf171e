"""A store as it was read once: what screens judge."""
