"""Arithmetic on embeddings: unit rows, cosine similarity, validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ragshield.errors import InputError
from ragshield.records import Vector, Vectors


def as_vectors(values: ArrayLike, *, rows: int | None = None, what: str = "vectors") -> Vectors:
    """Check and convert to (n, dim) float32.

    Args:
        values: anything numpy reads as a 2-D array.
        rows: how many rows there must be; None for any number.
        what: how error messages name them.

    Raises:
        InputError: not 2-D, another number of rows, a NaN or infinite component, or a
            row of zeros (which has no direction, so no cosine).
    """
    try:
        array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} cannot be read as numbers: {error}") from error
    if array.ndim != 2:
        raise InputError(f"{what} must have shape (n, dim), got shape {array.shape}")
    if rows is not None and array.shape[0] != rows:
        raise InputError(f"{what}: {array.shape[0]} rows for {rows} passages; give one per passage")
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        raise InputError(f"{what}: row {int(np.argmin(finite))} holds NaN or infinite values")
    zero = ~array.any(axis=1)
    if zero.any():
        raise InputError(f"{what}: row {int(np.argmax(zero))} is all zeros; re-embed that passage")
    return array


def as_vector(values: ArrayLike, *, dim: int | None = None, what: str = "vector") -> Vector:
    """Check and convert to (dim,) float32; the same rules as `as_vectors`."""
    row: Vector = as_vectors(np.asarray(values, dtype=np.float32).reshape(1, -1), what=what)[0]
    if dim is not None and row.shape[0] != dim:
        raise InputError(
            f"{what} has {row.shape[0]} dimensions, the store has {dim}; "
            "use the encoder that filled the store"
        )
    return row


def unit_rows(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; rows of zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)
    return unit


def cosines(vectors: Vectors, vector: Vector) -> NDArray[np.float32]:
    """Cosine of each row with one vector: (n,), [-1, 1]."""
    found: NDArray[np.float32] = np.clip(unit_rows(vectors) @ unit_rows(vector), -1.0, 1.0)
    return found


def cosine_matrix(vectors: Vectors) -> NDArray[np.float32]:
    """Cosine of every pair of rows: (n, n), symmetric, [-1, 1]."""
    unit = unit_rows(vectors)
    found: NDArray[np.float32] = np.clip(unit @ unit.T, -1.0, 1.0)
    return found


def nearest(vectors: Vectors, vector: Vector, k: int) -> NDArray[np.intp]:
    """Indices of the k rows most similar to `vector`, best first; ties by index."""
    similarity = cosines(vectors, vector)
    order: NDArray[np.intp] = np.argsort(-similarity, kind="stable")
    return order[:k]
