"""MiniLM vectors of the bundled world, made beforehand: the demo need not embed 2,500 passages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources import files

import numpy as np

from ragshield.records import Passage, Vectors

ENCODER = "all-MiniLM-L6-v2"
"""Name of the encoder that made them."""

_VECTORS = "world_vectors.npy"
_TEXTS = "world_vectors.txt"


def digest(passages: Iterable[Passage]) -> str:
    """SHA-256 of the texts in order, each ended by a NUL."""
    found = hashlib.sha256()
    for passage in passages:
        found.update(passage.text.encode() + b"\0")
    return found.hexdigest()


def shipped(passages: Iterable[Passage]) -> Vectors | None:
    """The vectors of these passages, if they are the default world's: (n, 384) float32.

    Stored as float16, so a cosine differs from the encoder's by less than 0.0005; a test
    embeds a sample again. Made by `python benchmarks/embed_world.py`.

    Returns:
        None for any other passages, also for another version of the world's texts.
    """
    folder = files("ragshield.corpora")
    if folder.joinpath(_TEXTS).read_text(encoding="ascii").strip() != digest(passages):
        return None
    with folder.joinpath(_VECTORS).open("rb") as file:
        rows: Vectors = np.load(file, allow_pickle=False).astype(np.float32)
    return rows
