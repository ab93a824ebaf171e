"""What a scan found, written down: one format per file."""
