"""A snapshot held in memory: for small batches, and for judging what arrives."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ragshield.protocols import Nearest
from ragshield.records import Batch, Passage, Vectors
from ragshield.vectors import unit_rows

DEPTH = 16
"""Neighbours per row that every snapshot gives."""

_BLOCK_CELLS = 8_000_000


class MemorySnapshot:
    """A batch as a snapshot, its neighbours found exactly.

    Args:
        batch: passages, with vectors or without; rows that are NaN, infinite or all
            zero have no neighbours and are nobody's.
        depth: neighbours per row.
        n_parts: into how many parts `parts` cuts it.
    """

    def __init__(self, batch: Batch, *, depth: int = DEPTH, n_parts: int = 1) -> None:
        self._passages = batch.passages
        self._unit = _usable(batch)
        self._depth = depth
        self._n_parts = n_parts
        self._nearest: Nearest | None = None

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None if there are none."""
        return self._unit.shape[1] or None

    @property
    def depth(self) -> int:
        """Neighbours per row."""
        return self._depth

    def __len__(self) -> int:
        return len(self._passages)

    def passages(self, rows: Sequence[int]) -> tuple[Passage, ...]:
        """The passages at these rows, in the order asked."""
        return tuple(self._passages[row] for row in rows)

    def unit(self, rows: Sequence[int]) -> Vectors:
        """Their vectors at length 1; zeros where none is usable."""
        return self._unit[np.asarray(rows, dtype=np.intp)]

    def nearest(self, rows: Sequence[int]) -> Nearest:
        """The nearest other rows of these rows."""
        if self._nearest is None:
            self._nearest = exact_nearest(self._unit, self._depth)
        chosen = np.asarray(rows, dtype=np.intp)
        return Nearest(self._nearest.rows[chosen], self._nearest.similarity[chosen])

    def parts(self) -> tuple[range, ...]:
        """Consecutive parts of nearly equal size, none empty."""
        n = len(self._passages)
        edges = [round(i * n / self._n_parts) for i in range(self._n_parts + 1)]
        return tuple(range(a, b) for a, b in pairwise(edges) if a < b)


def exact_nearest(unit: Vectors, depth: int) -> Nearest:
    """The `depth` nearest other rows of every row, by blocked products.

    Args:
        unit: (n, dim) float32, unit rows; all-zero rows take no part.
        depth: neighbours per row.

    Returns:
        Best first; equal similarities in the order of the rows.
    """
    n = unit.shape[0]
    rows = np.full((n, depth), -1, dtype=np.int32)
    similarity = np.full((n, depth), -2.0, dtype=np.float32)
    found = np.flatnonzero(unit.any(axis=1)) if unit.shape[1] else np.empty(0, dtype=np.intp)
    k = min(depth, len(found) - 1)
    if k < 1:
        return Nearest(rows, similarity)
    used = unit[found]
    step = max(1, _BLOCK_CELLS // len(found))
    for start in range(0, len(found), step):
        part = used[start : start + step] @ used.T
        own = np.arange(len(part))
        part[own, start + own] = -2.0
        top = np.sort(np.argpartition(-part, k - 1, axis=1)[:, :k], axis=1)
        value = np.take_along_axis(part, top, axis=1)
        order = np.argsort(-value, axis=1, kind="stable")
        here = found[start : start + step]
        rows[here, :k] = found[np.take_along_axis(top, order, axis=1)]
        similarity[here, :k] = np.take_along_axis(value, order, axis=1)
    return Nearest(rows, similarity)


def _usable(batch: Batch) -> Vectors:
    if batch.vectors is None:
        return np.zeros((len(batch.passages), 0), dtype=np.float32)
    given = np.asarray(batch.vectors, dtype=np.float32)
    good = np.isfinite(given).all(axis=1) & given.any(axis=1)
    unit = np.zeros_like(given)
    unit[good] = unit_rows(given[good])
    return unit
