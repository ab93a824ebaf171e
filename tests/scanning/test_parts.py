"""A part's passages are read once; what is asked for is the same as from the snapshot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ragshield.protocols import Snapshot
from ragshield.records import Batch, Passage
from ragshield.scanning.parts import PartSnapshot
from ragshield.snapshot.memory import MemorySnapshot

STORE = tuple(Passage(f"p{i}", f"text {i}") for i in range(10))


class Counting(MemorySnapshot):
    """Notes which rows are read."""

    def __init__(self) -> None:
        super().__init__(Batch(STORE, np.eye(10, dtype=np.float32)), n_parts=2)
        self.asked: list[list[int]] = []

    def passages(self, rows: Sequence[int]) -> tuple[Passage, ...]:
        self.asked.append(list(rows))
        return super().passages(rows)


@pytest.mark.parametrize(
    "rows",
    [range(3, 7), range(4, 6), [6, 3, 3], range(5, 9), [9, 4, 0, 4], range(8, 10), [], range(0)],
)
def test_passages_are_those_of_the_snapshot_in_the_order_asked(rows: Sequence[int]) -> None:
    assert PartSnapshot(Counting(), range(3, 7)).passages(rows) == tuple(STORE[row] for row in rows)


def test_a_part_is_read_once_and_of_what_is_outside_only_that() -> None:
    snapshot = Counting()
    kept = PartSnapshot(snapshot, range(3, 7))
    kept.passages(range(3, 7))
    kept.passages([4, 8])
    kept.passages(range(3, 8))
    assert snapshot.asked == [[3, 4, 5, 6], [8], [7]]


def test_rows_elsewhere_do_not_read_the_part() -> None:
    snapshot = Counting()
    PartSnapshot(snapshot, range(3, 7)).passages([0, 9])
    assert snapshot.asked == [[0, 9]]


def test_all_else_is_the_snapshot() -> None:
    snapshot = Counting()
    kept = PartSnapshot(snapshot, range(3, 7))
    assert isinstance(kept, Snapshot)
    assert (len(kept), kept.dim, kept.depth, kept.parts()) == (10, 10, 16, (range(5), range(5, 10)))
    assert kept.unit([2]).tolist() == snapshot.unit([2]).tolist()
    assert kept.nearest([2]).rows.tolist() == snapshot.nearest([2]).rows.tolist()
