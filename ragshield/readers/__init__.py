"""Readers: what answers a question from passages."""
