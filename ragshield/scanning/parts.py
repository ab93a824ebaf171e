"""One part of a snapshot, whose passages are read once for all screens."""

from __future__ import annotations

from collections.abc import Sequence

from ragshield.protocols import Nearest, Snapshot
from ragshield.records import Passage, Vectors


class PartSnapshot:
    """A snapshot that keeps the passages of one part while that part is looked at.

    Screens read a part one after the other; taking its passages from disk again costs as
    much as most of them spend on judging. All else is what the snapshot gives.

    Args:
        snapshot: the whole store.
        part: the rows that are kept once they were asked for.
    """

    def __init__(self, snapshot: Snapshot, part: range) -> None:
        self._snapshot = snapshot
        self._part = part
        self._kept: tuple[Passage, ...] | None = None

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None if the store holds none."""
        return self._snapshot.dim

    @property
    def depth(self) -> int:
        """Neighbours per row."""
        return self._snapshot.depth

    def __len__(self) -> int:
        return len(self._snapshot)

    def passages(self, rows: Sequence[int]) -> tuple[Passage, ...]:
        """The passages at these rows, in the order asked; those of the part as kept."""
        first, end = self._part.start, self._part.stop
        if isinstance(rows, range) and rows.step == 1 and first <= rows.start and rows.stop <= end:
            return self._held()[rows.start - first : rows.stop - first]
        outside = [row for row in rows if not first <= row < end]
        if len(outside) == len(rows):
            return self._snapshot.passages(rows)
        kept, others = self._held(), iter(self._snapshot.passages(outside))
        return tuple(kept[row - first] if first <= row < end else next(others) for row in rows)

    def _held(self) -> tuple[Passage, ...]:
        if self._kept is None:
            self._kept = self._snapshot.passages(self._part)
        return self._kept

    def unit(self, rows: Sequence[int]) -> Vectors:
        """Their vectors at length 1."""
        return self._snapshot.unit(rows)

    def nearest(self, rows: Sequence[int]) -> Nearest:
        """The nearest other rows of these rows."""
        return self._snapshot.nearest(rows)

    def parts(self) -> tuple[range, ...]:
        """The rows cut into consecutive parts."""
        return self._snapshot.parts()
