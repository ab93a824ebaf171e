"""Looking at a store's bytes for what should be gone from them."""

from ragshield.residue.needles import Needles
from ragshield.residue.searching import Found, search

__all__ = ["Found", "Needles", "search"]
