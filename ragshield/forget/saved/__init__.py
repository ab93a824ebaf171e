"""What a plan leaves on disk while it is applied: its journal, sealed snapshot and keys."""
