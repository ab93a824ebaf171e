"""What a passage's source and time say of its standing in the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ragshield.protocols import Snapshot
from ragshield.screens.times import arrival

_STEP = 512


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a passage comes from.

    Attributes:
        source: its source; None where not known.
        n_of_source: how many neighbours of the passages looked at, themselves not
            counted, come from it.
        arrival: seconds since 1970; None where not known.
    """

    source: str | None
    n_of_source: int
    arrival: float | None


def standings(snapshot: Snapshot, rows: Sequence[int]) -> dict[int, Standing]:
    """The standing of these rows; sources are counted among their neighbours."""
    own = set(rows)
    known: dict[int, tuple[str | None, float | None]] = {}
    for start in range(0, len(rows), _STEP):
        some = rows[start : start + _STEP]
        near = snapshot.nearest(some).rows
        wanted = sorted({*some, *(int(row) for row in near.ravel() if row >= 0)} - set(known))
        for row, passage in zip(wanted, snapshot.passages(wanted), strict=True):
            known[row] = (passage.source, arrival(passage))
    counts = Counter(source for row, (source, _) in known.items() if row not in own)
    return {row: Standing(known[row][0], counts[known[row][0]], known[row][1]) for row in rows}
