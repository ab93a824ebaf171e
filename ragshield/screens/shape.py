"""How a group of passages lies among the others of its store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Snapshot
from ragshield.screens.neighbours import Background

DEPTH = 8
"""Groups are judged by the similarity to the 8th neighbour in them, or to the last."""

WHOLE_GROUP = 256
"""Up to this many members every pair is compared; beyond, the neighbours that are known."""

_WIDE = 0.35


@dataclass(frozen=True, slots=True)
class Shape:
    """How a group lies among the other passages.

    Attributes:
        kth: each member's similarity to its k-th neighbour in the group.
        gap: how much nearer that is than the nearest passage outside, the members' median;
            negative where others lie between them.
        stands_out: per member, how far both are beyond what this store is used to, [0, 1].
    """

    kth: NDArray[np.float64]
    gap: float
    stands_out: NDArray[np.float64]


def shape_of(
    snapshot: Snapshot,
    members: Sequence[int],
    usual: Background,
    usual_gaps: NDArray[np.float64],
    floor: float,
) -> Shape:
    """Measure a group of two or more rows.

    Args:
        snapshot: the store.
        members: rows of the group.
        usual: how near the store's passages are to their neighbours.
        usual_gaps: `neighbours.usual_gap` of the store.
        floor: similarity below which passages are not alike at all.
    """
    kth = _to_kth(snapshot, members)
    k = min(len(members) - 1, DEPTH)
    outside = []
    for rows in steps(members):
        near = snapshot.nearest(rows)
        others = (near.rows >= 0) & ~np.isin(near.rows, members)
        outside.append(np.where(others, near.similarity, -2.0).max(axis=1))
    farther = np.concatenate(outside)
    known = farther > -2
    # Members that know nobody else say nothing; if none does, the others are far away.
    gap = float(np.median((kth - farther)[known])) if known.any() else _WIDE
    excess = (kth - usual.median[k - 1]) / usual.spread[k - 1]
    # In units of the spread, as the excess is; a group apart from all others adds three.
    apart = np.clip(gap - usual_gaps[k - 1], -0.1, _WIDE) / usual.spread[0]
    beyond = np.clip((excess + apart - 2.75) / 2, 0, 1)
    return Shape(kth, gap, beyond * np.clip((kth - floor + 0.15) / 0.2, 0, 1))


def _to_kth(snapshot: Snapshot, members: Sequence[int]) -> NDArray[np.float64]:
    """Each member's similarity to its k-th neighbour in the group, k = 8 or all of them."""
    k = min(len(members) - 1, DEPTH)
    if len(members) <= WHOLE_GROUP:
        similarity = between(snapshot, members)
        nearest: NDArray[np.float64] = -np.sort(-similarity, axis=1)[:, k - 1]
        return nearest
    parts = []
    for rows in steps(members):
        near = snapshot.nearest(rows)
        inside = np.where(np.isin(near.rows, members), near.similarity, -2.0)
        parts.append(-np.sort(-inside, axis=1)[:, :DEPTH])
    found = np.concatenate(parts).astype(np.float64)
    # A row that knows fewer of its group is judged by the farthest that it knows.
    last = np.maximum((found > -2).sum(axis=1), 1) - 1
    to_kth: NDArray[np.float64] = found[np.arange(len(found)), np.minimum(last, k - 1)]
    return to_kth


def between(snapshot: Snapshot, members: Sequence[int]) -> NDArray[np.float64]:
    """Cosines of every pair, (n, n); -2 on the diagonal."""
    unit = snapshot.unit(members)
    similarity: NDArray[np.float64] = np.clip(unit @ unit.T, -1, 1).astype(np.float64)
    np.fill_diagonal(similarity, -2)
    return similarity


def steps(members: Sequence[int], size: int = 512) -> list[Sequence[int]]:
    """Rows in pieces that may be read at once."""
    return [members[i : i + size] for i in range(0, len(members), size)]
