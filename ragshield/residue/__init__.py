"""Looking at a store's bytes for what should be gone from them."""

from ragshield.residue.needles import Needles
from ragshield.residue.report import PlaceVerdict, Residue, Verdict
from ragshield.residue.scan import residue
from ragshield.residue.searching import Found, search

__all__ = ["Found", "Needles", "PlaceVerdict", "Residue", "Verdict", "residue", "search"]
