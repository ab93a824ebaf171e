"""Delete, purge, look at the bytes again, ask again, and keep the evidence."""
