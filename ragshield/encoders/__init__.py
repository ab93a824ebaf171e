"""Encoders, one library per file, imported only when built."""

from ragshield.encoders.open import open_encoder

__all__ = ["open_encoder"]
