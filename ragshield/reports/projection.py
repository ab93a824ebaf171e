"""A store's vectors in two dimensions: a map to look at, not to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Snapshot
from ragshield.records import Vectors

SAMPLE_ROWS = 5_000
"""Rows drawn on the map, at most, beside the ones asked for."""

_STEP = 4_096
_BLOCK, _ROUNDS = 8, 40


@dataclass(frozen=True, slots=True, eq=False)
class StoreMap:
    """Where passages lie along the two directions in which the store is widest.

    Attributes:
        sample: (m, 2) float32, a sample of the store, both coordinates in [0, 1].
        points: (n, 2) float32, the rows asked for, in their order and on the same scale;
            NaN where a row has no usable vector.
        share: of the spread of the sample, what the two directions hold, in [0, 1].
        n_rows: rows of the store.
    """

    sample: NDArray[np.float32]
    points: NDArray[np.float32]
    share: float
    n_rows: int


def project(
    snapshot: Snapshot, rows: Sequence[int], *, n_sample: int = SAMPLE_ROWS
) -> StoreMap | None:
    """The store and some of its rows on a plane, by principal components.

    The same store gives the same map. Memory: the sample, whatever the store's size.

    Args:
        snapshot: the store as it was read.
        rows: rows to place, findings first of all.
        n_sample: rows that show where the others lie, spread evenly over the store.

    Returns:
        None where fewer than two vectors are usable.
    """
    n = len(snapshot)
    if snapshot.dim is None or n < 2:
        return None
    chosen = np.unique(np.linspace(0, n - 1, min(n, n_sample)).round().astype(np.intp))
    unit = _usable(_vectors(snapshot, chosen.tolist()))
    if len(unit) < 2:
        return None
    mean = unit.mean(axis=0, dtype=np.float64)
    centred = unit - mean.astype(np.float32)
    spread = (centred.T @ centred).astype(np.float64)
    axes, held = _widest(spread)
    # The sign of a direction is open: its largest entry is made positive.
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.where(axes[largest, np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    if axes.shape[1] < 2:
        axes = np.column_stack([axes, np.zeros(len(axes))])
    total = float(np.trace(spread))
    share = held / total if total > 0 else 0.0
    placed = _vectors(snapshot, list(rows))
    points = (placed - mean) @ axes
    points[~placed.any(axis=1)] = np.nan
    sample = centred @ axes
    low, high = _bounds(sample, points)
    scale = np.where(high > low, high - low, 1.0)
    return StoreMap(
        sample=((sample - low) / scale).astype(np.float32),
        points=((points - low) / scale).astype(np.float32),
        share=min(max(share, 0.0), 1.0),
        n_rows=n,
    )


def _widest(spread: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The (up to) two directions of most spread, and the spread they hold.

    Orthogonal iteration: a full decomposition takes seconds for wide vectors, and a map
    needs two directions out of hundreds.
    """
    dim = len(spread)
    width = min(_BLOCK, dim)
    block = np.linalg.qr(np.random.default_rng(0).standard_normal((dim, width)))[0]
    for _ in range(_ROUNDS):
        block = np.linalg.qr(spread @ block)[0]
    values, mix = np.linalg.eigh(block.T @ spread @ block)
    axes = (block @ mix)[:, ::-1][:, :2]
    return axes, float(values[::-1][:2].sum())


def _vectors(snapshot: Snapshot, rows: Sequence[int]) -> Vectors:
    if not rows:
        return np.zeros((0, snapshot.dim or 0), dtype=np.float32)
    return np.vstack(
        [snapshot.unit(rows[start : start + _STEP]) for start in range(0, len(rows), _STEP)]
    )


def _usable(unit: Vectors) -> Vectors:
    return unit[unit.any(axis=1)]


def _bounds(
    sample: NDArray[np.float64], points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    seen = np.vstack([sample, points[np.isfinite(points).all(axis=1)]])
    return seen.min(axis=0), seen.max(axis=0)
