"""Readers: what answers a question from passages."""

from ragshield.readers.open import open_reader

__all__ = ["open_reader"]
