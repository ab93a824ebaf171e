"""Small sets of passages that are near one another and apart from all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Nearest, Snapshot
from ragshield.text import content_words

READ_CHARS = 4000
"""How much of a passage is read for the words that a set of passages shares."""

_SAMPLE = 2000
_MIN_SAMPLE = 40
_SMALLEST = 2
"""Neighbours in the smallest set; a row belongs to its set besides them."""


class Apart(NamedTuple):
    """Rows after whose first neighbours there is a gap, with those neighbours.

    Attributes:
        rows: (m,) int32.
        gap: similarity to the last neighbour of the set less that to the next, (m,) float32.
        n_near: how many neighbours belong to the set, (m,) int32.
        near: the neighbours, (m, depth) int32; those after `n_near` do not belong to it.
    """

    rows: NDArray[np.int32]
    gap: NDArray[np.float32]
    n_near: NDArray[np.int32]
    near: NDArray[np.int32]


class Cluster(NamedTuple):
    """A set that at least half of its rows name as theirs, and their median gap."""

    rows: tuple[int, ...]
    gap: float


def least_gap(snapshot: Snapshot) -> float | None:
    """The gap that nine of ten passages stay below, on at most 2,000 of them.

    None for a store of less than 40 usable passages.
    """
    n = len(snapshot)
    chosen = np.unique(np.linspace(0, max(n - 1, 0), min(n, _SAMPLE)).astype(np.intp))
    _, gap = _largest_gaps(snapshot.nearest(chosen.tolist()))
    known = gap[gap > 0]
    return float(np.quantile(known, 0.9)) if len(known) >= _MIN_SAMPLE else None


def standing_apart(snapshot: Snapshot, part: range, *, gap: float) -> Apart:
    """The rows of a part whose largest gap is at least `gap`."""
    nearest = snapshot.nearest(part)
    n_near, found = _largest_gaps(nearest)
    chosen = np.flatnonzero(found >= gap)
    return Apart(
        (chosen + part.start).astype(np.int32),
        found[chosen],
        n_near[chosen].astype(np.int32),
        nearest.rows[chosen],
    )


def clusters(parts: Sequence[Apart]) -> list[Cluster]:
    """Sets on which their members agree, in the order of their smallest row."""
    naming: dict[tuple[int, ...], list[float]] = {}
    for part in parts:
        for row, gap, n, near in zip(*(column.tolist() for column in part), strict=True):
            naming.setdefault(tuple(sorted((row, *near[:n]))), []).append(gap)
    return sorted(
        Cluster(rows, float(np.median(gaps)))
        for rows, gaps in naming.items()
        if 2 * len(gaps) >= len(rows)
    )


def gaps(snapshot: Snapshot, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """How much nearer members are to their farthest than to the next passage, their median.

    Args:
        snapshot: the store.
        rows: sets of one size, (m, size).
    """
    m, size = rows.shape
    flat = rows.ravel().tolist()
    unit = snapshot.unit(flat).reshape(m, size, -1)
    similarity = unit @ unit.transpose(0, 2, 1)
    similarity[:, np.arange(size), np.arange(size)] = 2.0
    near = snapshot.nearest(flat)
    known = near.rows.reshape(m, size, -1)
    inside = (known[..., None] == rows[:, None, None, :]).any(axis=-1) | (known < 0)
    outside = np.where(inside, -2.0, near.similarity.reshape(m, size, -1)).max(axis=2)
    found: NDArray[np.float64] = np.median(similarity.min(axis=2) - outside, axis=1)
    return found


def words_around(snapshot: Snapshot, rows: Sequence[int]) -> list[set[str]]:
    """Content words of each passage that is among the neighbours of a set, but not of it."""
    near = snapshot.nearest(rows).rows
    others = sorted({int(row) for row in near.ravel() if row >= 0} - set(rows))
    return [set(content_words(p.text[:READ_CHARS])) for p in snapshot.passages(others)]


def _largest_gaps(nearest: Nearest) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Number of neighbours before the largest gap, and the gap; 0 where too few are known."""
    similarity = np.where(nearest.rows >= 0, nearest.similarity, np.nan)
    falls = similarity[:, _SMALLEST:-1] - similarity[:, _SMALLEST + 1 :]
    falls = np.nan_to_num(falls, nan=0.0)
    if not falls.shape[1]:
        nothing = np.zeros(len(falls))
        return nothing.astype(np.intp), nothing.astype(np.float32)
    best = np.argmax(falls, axis=1)
    return best + _SMALLEST + 1, falls[np.arange(len(falls)), best].astype(np.float32)
