"""Adapters that put a guard inside other frameworks."""
