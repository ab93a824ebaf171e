"""Poison into a store and out again, with proof; poison as documents."""

from ragshield.plant.copies import copy_store
from ragshield.plant.documents import FORMATS, DocumentFormat, write_documents
from ragshield.plant.manifest import Manifest, Planted, read_manifest
from ragshield.plant.marks import absolute, is_marked, mark
from ragshield.plant.planting import Removed, check_different, clean_up, plant
from ragshield.plant.state import StoreState, state_of

__all__ = [
    "FORMATS",
    "DocumentFormat",
    "Manifest",
    "Planted",
    "Removed",
    "StoreState",
    "absolute",
    "check_different",
    "clean_up",
    "copy_store",
    "is_marked",
    "mark",
    "plant",
    "read_manifest",
    "state_of",
    "write_documents",
]
