"""How alike in length passages and their neighbours usually are, and sets that are more alike."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Snapshot
from ragshield.screens.neighbours import Links, joined, linked_groups, mutual

SMALLEST, LARGEST = 4, 8
"""Rows of a set: three are of one length by chance too often."""

STEP = 0.12
"""How much stricter a set that is larger is cut each time."""

_LOOKED_AT, _LEAST, _LEAST_WORDS = 2000, 200, 20
_COMMON = 0.05
_SAMPLE = 50_000
_ALIKE = 100
"""Passages of a similar length whose neighbours say what is usual for that length."""

_NEAR = 4
_BLOCK = 2048


def piece_size(snapshot: Snapshot) -> int | None:
    """Words in the pieces that this store's documents are cut into, on at most 2,000 passages.

    The greatest length that one passage in twenty has to the word; None where there is none
    of 20 words or more, or fewer than 200 passages.
    """
    n = len(snapshot)
    if n < _LEAST:
        return None
    chosen = np.unique(np.linspace(0, n - 1, min(n, _LOOKED_AT)).astype(np.intp)).tolist()
    counts = Counter(len(p.text.split()) for p in snapshot.passages(chosen))
    common = [size for size, times in counts.items() if times >= _COMMON * len(chosen)]
    return max((size for size in common if size >= _LEAST_WORDS), default=None)


class UsualLengths:
    """How far the lengths of passages are from those of their neighbours, by length.

    Chunks of one size, or entries of a dictionary, are of one length by habit; what tells
    something is a likeness that neighbours of such a passage do not usually have.

    Args:
        snapshot: the store.
        n_words: of every row, (n,).
    """

    def __init__(self, snapshot: Snapshot, n_words: NDArray[np.int32]) -> None:
        n = len(n_words)
        chosen = np.unique(np.linspace(0, max(n - 1, 0), min(n, _SAMPLE)).astype(np.intp))
        logs = np.log(n_words + 1.0)
        parts = []
        for start in range(0, len(chosen), _BLOCK):
            rows = chosen[start : start + _BLOCK]
            near = snapshot.nearest(rows.tolist()).rows
            apart = np.abs(logs[near] - logs[rows][:, None])
            parts.append(np.where(near >= 0, apart, np.inf).astype(np.float32))
        order = np.argsort(n_words[chosen], kind="stable")
        self._lengths = n_words[chosen][order]
        self._apart = np.concatenate(parts)[order] if parts else np.empty((0, 0), np.float32)
        self._known: dict[int, NDArray[np.float32]] = {}

    def of(self, n_words: int) -> NDArray[np.float32]:
        """Distances (of logarithms) from passages about as long to their neighbours, ascending."""
        if n_words not in self._known:
            first, last = np.searchsorted(self._lengths, [n_words, n_words + 1])
            missing = max(0, _ALIKE - int(last - first)) // 2
            rows = slice(max(0, int(first) - missing), int(last) + missing)
            values = self._apart[rows].ravel()
            self._known[n_words] = np.sort(values[np.isfinite(values)])
        return self._known[n_words]

    def median(self, lengths: NDArray[np.int32]) -> NDArray[np.float32]:
        """The median of those distances for each of many lengths."""
        each, at = np.unique(lengths, return_inverse=True)
        medians = []
        for length in each.tolist():
            known = self.of(length)
            medians.append(float(known[len(known) // 2]) if len(known) else 0.0)
        found: NDArray[np.float32] = np.array(medians, dtype=np.float32)[at]
        return found

    def evenness(self, n_words: NDArray[np.int32]) -> NDArray[np.float64]:
        """How much more alike in length sets are than neighbours usually are: a robust z.

        The mean over all pairs of minus the logarithm of the share of neighbours that are at
        least as alike, less what chance would give, in units of what chance would vary.

        Args:
            n_words: lengths of the members of sets of one size: (m, size).

        Returns:
            (m,).
        """
        size = n_words.shape[1]
        one, other = np.nonzero(~np.eye(size, dtype=bool))
        logs = np.log(n_words + 1.0)
        apart = np.abs(logs[:, one] - logs[:, other]) + 1e-6
        lengths = n_words[:, one]
        surprise = np.zeros(apart.shape)
        for length in np.unique(lengths).tolist():
            known = self.of(length)
            here = lengths == length
            rank = np.searchsorted(known, apart[here], side="right")
            surprise[here] = -np.log((rank + 1) / (len(known) + 1))
        found: NDArray[np.float64] = (surprise.mean(axis=1) - 1.0) * np.sqrt(size - 1)
        return found


def even_sets(
    snapshot: Snapshot,
    n_words: NDArray[np.int32],
    usual: UsualLengths,
    *,
    cut: float,
    least_words: int,
) -> list[tuple[int, ...]]:
    """Sets of four to eight rows that are one another's nearest of their own length.

    Each row names its first four neighbours that are closer to it in length than half of the
    neighbours of such passages are; who name one another are joined.

    Args:
        snapshot: the store.
        n_words: of every row, (n,).
        usual: of this store.
        cut: similarity below which rows are not joined.
        least_words: shorter passages take no part.
    """
    logs = np.log(n_words + 1.0).astype(np.float32)
    most = usual.median(n_words)
    most[n_words < least_words] = -1.0
    naming = []
    for part in snapshot.parts():
        near = snapshot.nearest(part)
        own = slice(part.start, part.stop)
        apart = np.abs(logs[near.rows] - logs[own][:, None])
        even = apart <= np.minimum(most[near.rows], most[own][:, None]) + 1e-6
        even &= (near.rows >= 0) & (near.similarity >= cut)
        even &= np.cumsum(even, axis=1) <= _NEAR
        row, column = np.nonzero(even)
        naming.append(
            Links(
                (row + part.start).astype(np.int32),
                near.rows[row, column],
                near.similarity[row, column],
            )
        )
    links = mutual(joined(naming), len(n_words))
    groups = linked_groups(links, cut=cut, largest=LARGEST, step=STEP)
    return [tuple(group) for group in groups if SMALLEST <= len(group) <= LARGEST]
