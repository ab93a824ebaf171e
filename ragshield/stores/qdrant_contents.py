"""What is known of a collection of Qdrant's local mode once its file was read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import StoreError
from ragshield.records import Batch, Vector, Vectors
from ragshield.stores.exact import healthy
from ragshield.stores.qdrant_bulk import read_points
from ragshield.stores.qdrant_points import Layout, layout_of
from ragshield.vectors import unit_rows


class Stamp(NamedTuple):
    """By what a file of SQLite is known to be as it was.

    Attributes:
        inode: of the file.
        mtime_ns: when it was changed, as exactly as the file system says.
        size: in bytes.
        counter: SQLite's own count of changes, which tells two within one tick apart.
        log: time and size of a write-ahead log beside it, where changes do not count.
    """

    inode: int
    mtime_ns: int
    size: int
    counter: bytes
    log: tuple[int, int] | None


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """All points of a collection.

    Attributes:
        stamp: of the file that this is true of.
        batch: the passages in the order they were written in, with their vectors.
        layout: of the payloads.
        position: the place of each id in the batch.
        row_ids: the row numbers in the file that hold each id.
    """

    stamp: Stamp
    batch: Batch
    layout: Layout
    position: Mapping[str, int]
    row_ids: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """Vectors at length 1, of the rows that have a direction.

    Attributes:
        rows: (n,) places in the batch.
        unit: (n, dim) float32.
    """

    rows: NDArray[np.intp]
    unit: Vectors


def stamp_of(path: Path, url: str) -> Stamp:
    """The stamp of a file as it is now.

    Raises:
        StoreError: it cannot be read.
    """
    log = None
    with suppress(OSError):
        found = path.with_name(f"{path.name}-wal").stat()
        log = (found.st_mtime_ns, found.st_size)
    try:
        with path.open("rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            counter = file.read(28)[24:]
    except OSError as error:
        raise StoreError(f"{url}: cannot read {path}: {error.strerror}") from error
    return Stamp(found.st_ino, found.st_mtime_ns, found.st_size, counter, log)


def contents_of(
    rows: Iterable[tuple[int, bytes]],
    stamp: Stamp,
    url: str,
    *,
    vector: str | None,
    options: Mapping[str, str],
) -> Contents:
    """What rows of a collection's file hold.

    Args:
        rows: numbers of rows and the pickles in them, in the order they were written in.
        stamp: of the file.
        url: what an error names.
        vector: name of the dense vector; None for the unnamed one.
        options: keys of the payload named by the user.

    Raises:
        StoreError: a point cannot be read, or its layout is not known.
    """
    numbers: list[int] = []

    def pickles() -> Iterator[bytes]:
        for number, pickled in rows:
            numbers.append(number)
            yield pickled

    read, read_vectors = read_points(pickles(), vector, url)
    newest: dict[int | str, int] = {}
    row_ids: dict[int | str, list[int]] = {}
    for i, point in enumerate(read):  # a point may be stored twice; the later one counts
        newest[point.id] = i
        row_ids.setdefault(point.id, []).append(numbers[i])
    points = [read[i] for i in newest.values()]
    layout = layout_of(points[0] if points else None, options, url)
    passages = tuple(map(layout.passage, points))
    vectors = _stacked([read_vectors[i] for i in newest.values()])
    return Contents(
        stamp,
        Batch(passages, vectors),
        layout,
        {passage.id: i for i, passage in enumerate(passages)},
        {p.id: row_ids[point.id] for p, point in zip(passages, points, strict=True)},
    )


def directions_of(vectors: Vectors) -> Directions:
    """Those that point somewhere: neither NaN nor infinite nor all zeros."""
    rows = np.flatnonzero(healthy(vectors))
    return Directions(rows, unit_rows(vectors[rows]))


def _stacked(rows: Sequence[Vector | None]) -> Vectors | None:
    width = next((len(row) for row in rows if row is not None), None)
    if width is None:
        return None
    missing = np.full(width, np.nan, dtype=np.float32)
    return np.stack([missing if row is None or len(row) != width else row for row in rows])
