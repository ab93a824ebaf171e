"""What is known of a JSON Lines file: where its passages are, and which way they point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError
from ragshield.records import Vector, Vectors
from ragshield.stores.exact import healthy
from ragshield.stores.jsonl_lines import Stamp
from ragshield.vectors import unit_rows


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What is known of the file: where each passage's line is, and what is searched.

    Attributes:
        stamp: of the file that this is true of.
        rows: the place of each id among the passages.
        numbers: line numbers, by row.
        starts: where the lines start, by row.
        ends: where they end.
        has_vector: which of them hold one.
        dim: width of the vectors.
        unpacked: the bytes of a gzipped file.
    """

    stamp: Stamp
    rows: Mapping[str, int]
    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    has_vector: NDArray[np.bool_]
    dim: int | None
    unpacked: bytes | None


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """Vectors at length 1, of the rows that have a direction."""

    stamp: Stamp
    rows: NDArray[np.int64]
    unit: Vectors


def directions_of(stamp: Stamp, vectors: Sequence[tuple[int, Vector]]) -> Directions:
    """Those that point somewhere: neither NaN nor infinite nor all zeros."""
    if not vectors:
        return Directions(stamp, np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.float32))
    widths = {len(vector) for _, vector in vectors}
    if len(widths) > 1:
        raise InputError("the file changed while it was read; read it again")
    matrix = np.stack([vector for _, vector in vectors])
    rows = np.array([row for row, _ in vectors], dtype=np.int64)
    usable = healthy(matrix)
    return Directions(stamp, rows[usable], unit_rows(matrix[usable]))


def without(
    known: Contents, searched: Directions | None, gone: Sequence[int], stamp: Stamp
) -> tuple[Contents, Directions | None]:
    """What is known once some lines are gone, without reading the others again."""
    n = len(known.rows)
    stays = np.ones(n, dtype=bool)
    stays[list(gone)] = False
    n_before = np.cumsum(~stays)[stays]
    n_bytes = np.cumsum(np.where(stays, 0, known.ends - known.starts))[stays]
    new_row = np.cumsum(stays) - 1
    rows = {name: int(new_row[row]) for name, row in known.rows.items() if stays[row]}
    ends = known.ends[stays] - n_bytes
    if len(ends) and ends[-1] + 1 == stamp.size:  # the last line got the end that it lacked
        ends[-1] += 1
    has_vector = known.has_vector[stays]
    found = Contents(
        stamp,
        rows,
        known.numbers[stays] - n_before,
        known.starts[stays] - n_bytes,
        ends,
        has_vector,
        known.dim if has_vector.any() else None,  # nothing else says how wide they were
        None,
    )
    if searched is None:
        return found, None
    there = stays[searched.rows]
    return found, Directions(stamp, new_row[searched.rows[there]], searched.unit[there])
