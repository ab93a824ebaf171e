"""Two objectives at once: non-dominated sorting and crowding, as in NSGA-II."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fronts(costs: NDArray[np.float64]) -> list[list[int]]:
    """Rows in fronts: those that nothing beats, then those that only the first front beats.

    Args:
        costs: (n, objectives), lower = better.
    """
    n = len(costs)
    as_low = np.all(costs[:, None, :] <= costs[None, :, :], axis=2)
    lower = np.any(costs[:, None, :] < costs[None, :, :], axis=2)
    worse = np.asarray(as_low & lower)  # [i, j]: i beats j
    left = np.ones(n, dtype=bool)
    found = []
    while left.any():
        front = [i for i in range(n) if left[i] and not (worse[:, i] & left).any()]
        found.append(front)
        left[front] = False
    return found


def crowding(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much room each row of one front has, (n,); infinite at the ends."""
    n = len(costs)
    room = np.zeros(n, dtype=np.float64)
    for column in costs.T:
        order = np.argsort(column, kind="stable")
        room[order[[0, -1]]] = np.inf
        spread = float(column[order[-1]] - column[order[0]])
        if spread > 0:
            room[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return room


def ranked(costs: NDArray[np.float64]) -> list[int]:
    """All rows, best first: by front, and within one those with more room first."""
    order: list[int] = []
    for front in fronts(costs):
        room = crowding(costs[front])
        order += [front[i] for i in np.argsort(-room, kind="stable")]
    return order
