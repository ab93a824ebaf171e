"""Stores: one kind of knowledge base per file, opened by URL."""

from ragshield.stores.url import open_store

__all__ = ["open_store"]
