"""Screens, one per file: what judges stored passages with no question at hand."""
