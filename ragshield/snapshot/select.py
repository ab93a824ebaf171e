"""The best of many similarities: the k nearest rows out of a block product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Nearest
from ragshield.records import Vectors

_BLOCK_CELLS = 4_000_000
"""Similarities held at a time; 16 MB."""

_GROUPS_PER_NEIGHBOUR = 4
_MOST_CANDIDATES = 8
_STEPS = np.float32(2**22)
_MOST_ROWS, _MOST_PAIRS = 2**16, 2**24
_NEVER = np.float32(-3)
"""Less than any similarity and than what stands for none."""


def nothing_found(n: int, depth: int) -> Nearest:
    """No neighbours yet for n rows."""
    return Nearest(
        np.full((n, depth), -1, dtype=np.int32), np.full((n, depth), -2.0, dtype=np.float32)
    )


class Candidates(NamedTuple):
    """Pairs that may be among the nearest.

    Attributes:
        row: position of the asking row, (c,).
        ids: row number of the neighbour, (c,) int32.
        similarity: of the two, (c,) float32.
    """

    row: NDArray[np.intp]
    ids: NDArray[np.int32]
    similarity: NDArray[np.float32]


def best(
    asked: Vectors,
    asked_ids: NDArray[np.integer],
    offered: Vectors,
    offered_ids: NDArray[np.integer],
    known: Nearest,
) -> Nearest:
    """The nearest of what is known and what is offered.

    Args:
        asked: (m, dim) unit rows; all-zero rows find nothing.
        asked_ids: (m,) their row numbers; no row is its own neighbour.
        offered: (n, dim) unit rows; all-zero rows are nobody's neighbour.
        offered_ids: (n,) their row numbers, ascending, none of them known already.
        known: (m, depth) what was found before.

    Returns:
        Best first; equal similarities in the order of the row numbers.
    """
    depth = known.rows.shape[1]
    least = known.similarity[:, -1]
    return merged(known, [offer(asked, asked_ids, offered, offered_ids, least, depth)])


def offer(
    asked: Vectors,
    asked_ids: NDArray[np.integer],
    offered: Vectors,
    offered_ids: NDArray[np.integer],
    least: NDArray[np.float32],
    depth: int,
) -> Candidates:
    """What of the offered rows may be among the `depth` nearest; see `best`."""
    asking = np.flatnonzero(asked.any(axis=1))
    there = np.flatnonzero(offered.any(axis=1))
    if len(there) < len(offered):
        offered, offered_ids = offered[there], offered_ids[there]
    found = compared(asked[asking], asked_ids[asking], offered, offered_ids, least[asking], depth)
    return found._replace(row=asking[found.row])


def compared(
    asked: Vectors,
    asked_ids: NDArray[np.integer],
    offered: Vectors,
    offered_ids: NDArray[np.integer],
    least: NDArray[np.float32],
    depth: int,
) -> Candidates:
    """As `offer`, of rows none of which is all zeros."""
    step = max(1, _BLOCK_CELLS // max(len(offered), 1))
    parts = []
    for start in range(0, len(asked), step):
        here = slice(start, start + step)
        similarity = asked[here] @ offered.T
        at = np.searchsorted(offered_ids, asked_ids[here])
        inside = np.flatnonzero(at < len(offered_ids))
        own = inside[offered_ids[at[inside]] == asked_ids[here][inside]]
        similarity[own, at[own]] = _NEVER
        row, column = candidates(similarity, least[here], depth)
        ids = offered_ids[column].astype(np.int32)
        parts.append(Candidates(row + start, ids, similarity[row, column]))
    if len(parts) == 1:
        return parts[0]
    return joined(parts)


def joined(parts: Sequence[Candidates]) -> Candidates:
    """All candidates of several offers."""
    if not parts:
        return Candidates(
            np.empty(0, dtype=np.intp), np.empty(0, np.int32), np.empty(0, np.float32)
        )
    row, ids, similarity = zip(*parts, strict=True)
    return Candidates(np.concatenate(row), np.concatenate(ids), np.concatenate(similarity))


def merged(known: Nearest, offers: Sequence[Candidates]) -> Nearest:
    """The nearest of what is known and what several offers brought.

    Best first; equal similarities, to 2**-22, in the order they were brought.
    """
    m, depth = known.rows.shape
    held = Candidates(np.repeat(np.arange(m), depth), known.rows.ravel(), known.similarity.ravel())
    row, ids, similarity = joined([held, *offers])
    far = np.rint(np.maximum(1 - similarity, 0) * _STEPS).astype(np.uint64)
    if m < _MOST_ROWS and len(row) < _MOST_PAIRS:
        # One number to sort by, row, distance and place in the list, is many times faster.
        key = row.astype(np.uint64) << np.uint64(48) | far << np.uint64(24)
        key |= np.arange(len(row), dtype=np.uint64)
        key.sort()
        chosen = (key & np.uint64(_MOST_PAIRS - 1)).astype(np.intp)
        row = (key >> np.uint64(48)).astype(np.intp)
    else:
        chosen = np.lexsort((far, row))
        row = row[chosen]
    place = np.arange(len(row)) - np.searchsorted(row, np.arange(m))[row]
    kept = place < depth
    row, place, chosen = row[kept], place[kept], chosen[kept]
    found = nothing_found(m, depth)
    found.rows[row, place] = ids[chosen]
    found.similarity[row, place] = similarity[chosen]
    return found


def candidates(
    similarity: NDArray[np.float32], least: NDArray[np.float32], depth: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of everything that may be among the `depth` best of its row.

    A partial sort of every row costs more than the product itself. Here each row is
    folded into a few groups by maximum; the depth-th best of those maxima is a bound
    that at least `depth` columns reach, and little more than that do.

    Args:
        similarity: (m, n).
        least: (m,) what a column must exceed to be of interest.
        depth: how many are wanted.
    """
    m, n = similarity.shape
    # Where better ones are known, hardly any exceed them: then one look at each is enough.
    above = similarity > least[:, None]
    if np.count_nonzero(above) <= m * depth:
        found = np.flatnonzero(above)
        return found // n, found % n
    bound = least
    groups = depth * _GROUPS_PER_NEIGHBOUR
    if n > 2 * groups:
        whole = n - n % groups
        top = similarity[:, :whole].reshape(m, whole // groups, groups).max(axis=1)
        rest = n - whole
        if rest:
            np.maximum(top[:, :rest], similarity[:, whole:], out=top[:, :rest])
        kth = np.partition(top, groups - depth, axis=1)[:, groups - depth]
        bound = np.maximum(bound, np.nextafter(kth, _NEVER))
    above = similarity > bound[:, None]
    if np.count_nonzero(above) > m * depth * _MOST_CANDIDATES:
        # Copies of one passage are all equally near: any of them will do.
        k = min(depth, n)
        column = np.argpartition(similarity, n - k, axis=1)[:, n - k :]
        above = np.zeros_like(above)
        np.put_along_axis(above, column, True, axis=1)
        above &= similarity > least[:, None]
    found = np.flatnonzero(above)
    return found // n, found % n
