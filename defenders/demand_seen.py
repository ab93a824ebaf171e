"""What the demand detector knows questions and passages by: hashes, signatures, times."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Retrieval, Vectors
from ragshield.text import content_words

Signature: TypeAlias = int
"""64 signs of random projections of a vector; -1 where there is no usable vector."""


def signatures_of(vectors: Vectors, n: int) -> list[Signature]:
    """Signs of 64 fixed random projections of each of n rows; -1 for an unusable row.

    Hamming distance / 64 estimates angle / pi (Charikar, 2002).
    """
    if vectors.shape[0] != n or vectors.shape[1] == 0:
        return [-1] * n
    usable = np.asarray(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1))
    bits = np.where(usable[:, None], vectors, 0) @ _projections(vectors.shape[1]) > 0
    packed = np.packbits(bits, axis=1).view(">u8").ravel()
    return [int(value) if fine else -1 for value, fine in zip(packed, usable, strict=True)]


def seconds_of(value: object) -> float | None:
    """A time in metadata as seconds since 1970; None if it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@lru_cache(maxsize=8)
def _projections(dim: int) -> NDArray[np.float32]:
    return np.random.default_rng(64).standard_normal((dim, 64)).astype(np.float32)


def question_of(retrieval: Retrieval) -> tuple[int, Signature]:
    """Hash of the question's content words, in whatever order, and its signature."""
    asked = " ".join(sorted(set(content_words(retrieval.question)))) or retrieval.question
    return hash_of(asked), signatures_of(retrieval.question_vector.reshape(1, -1), 1)[0]


def hash_of(text: str) -> int:
    """64 bits that stand for a text, also for one with lone surrogates."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
