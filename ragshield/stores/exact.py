"""Exact search, and what every store checks before it searches or adds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError, StoreError, UsageError
from ragshield.protocols import Neighbours
from ragshield.records import Batch, Hit, Passage, Vector, Vectors
from ragshield.vectors import as_vector, as_vectors, cosines


def check_size(size: int) -> int:
    """A batch size that makes sense.

    Raises:
        UsageError: below 1.
    """
    if size < 1:
        raise UsageError(f"batch size is {size}; it must be at least 1")
    return size


def check_question_vector(url: str, vector: Vector, k: int, dim: int | None) -> Vector:
    """The question's vector as (dim,) float32.

    Raises:
        UsageError: k < 1.
        StoreError: the store is empty or holds no vectors.
        InputError: another width than the store's, NaN, infinite or all zeros.
    """
    if k < 1:
        raise UsageError(f"k is {k}; it must be at least 1")
    if dim is None:
        raise StoreError(
            f"{url} is empty or holds no vectors: nothing to search; add passages with vectors"
        )
    return as_vector(vector, dim=dim, what="question vector")


def healthy(vectors: Vectors) -> NDArray[np.bool_]:
    """Which rows have a direction: finite and not all zeros. (n,) bool."""
    return np.asarray(np.isfinite(vectors).all(axis=1) & vectors.any(axis=1))


def search_exactly(
    passages: Sequence[Passage], vectors: Vectors, question: Vector, k: int
) -> Neighbours:
    """The k most similar passages by cosine, ties in stored order.

    Rows without a direction (NaN, infinite, all zeros) are near nothing: never found.
    """
    rows = np.flatnonzero(healthy(vectors))
    similarity = cosines(vectors[rows], question)
    order = np.argsort(-similarity, kind="stable")[:k]
    hits = tuple(Hit(passages[rows[i]], float(similarity[i])) for i in order)
    return Neighbours(hits, vectors[rows[order]])


def check_addition(batch: Batch, dim: int | None) -> Vectors:
    """The vectors to add, (n, dim) float32.

    Raises:
        InputError: vectors missing, unusable or of another width than the store's; an
            id that is empty or occurs twice in the batch.
    """
    if batch.vectors is None:
        raise InputError("passages to add have no vectors; embed them first")
    vectors = as_vectors(batch.vectors, rows=len(batch.passages), what="vectors to add")
    if dim is not None and vectors.shape[1] != dim:
        raise InputError(
            f"vectors to add have {vectors.shape[1]} dimensions, the store has {dim}; "
            "use the encoder that filled the store"
        )
    seen: set[str] = set()
    for passage in batch.passages:
        if not passage.id:
            raise InputError("a passage to add has an empty id; give every passage a unique id")
        if passage.id in seen:
            raise InputError(f"id '{passage.id}' occurs twice in the batch; ids must be unique")
        seen.add(passage.id)
    return vectors


def refuse_existing(ids: Sequence[str]) -> None:
    """Refuse an addition because of ids that the store has already.

    Raises:
        InputError: `ids` is not empty.
    """
    if ids:
        more = f" (and {len(ids) - 1} more)" if len(ids) > 1 else ""
        raise InputError(
            f"id '{ids[0]}' exists already{more}; ids must be unique, delete the old one first"
        )
