"""The honest store of the detection benchmark, compared once, and what is planted in it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Nearest
from ragshield.records import Passage, Vectors
from ragshield.snapshot.memory import DEPTH
from ragshield.vectors import unit_rows

COMPARED = 20
"""Neighbours kept of each passage: what the local outlier factor asks for by default."""

_PART_ROWS = 2048
_BLOCK = 512


@dataclass(frozen=True)
class Table:
    """The nearest rows of every row, best first: (n, COMPARED) each."""

    rows: NDArray[np.int32]
    similarity: NDArray[np.float32]


class Store:
    """Passages with their neighbours, all pairs compared: a `Snapshot` in memory.

    Unlike the engine's inverted file, nothing is missed; the benchmark says what a whole
    scan through the engine finds beside it.
    """

    def __init__(
        self, passages: Sequence[Passage], unit: Vectors, table: Table, n_honest: int | None = None
    ) -> None:
        self.all = tuple(passages)
        self.vectors = unit
        self.table = table
        self.n_honest = len(self.all) if n_honest is None else n_honest

    @property
    def dim(self) -> int | None:
        """Width of the vectors."""
        return int(self.vectors.shape[1])

    @property
    def depth(self) -> int:
        """Neighbours that screens are shown."""
        return DEPTH

    def __len__(self) -> int:
        return len(self.all)

    def passages(self, rows: Sequence[int]) -> tuple[Passage, ...]:
        """The passages at these rows."""
        if isinstance(rows, range) and rows.step == 1:
            return self.all[rows.start : rows.stop]
        return tuple(self.all[row] for row in rows)

    def unit(self, rows: Sequence[int]) -> Vectors:
        """Their unit vectors."""
        if isinstance(rows, range) and rows.step == 1:
            return self.vectors[rows.start : rows.stop]
        return self.vectors[np.asarray(rows, dtype=np.intp)]

    def nearest(self, rows: Sequence[int]) -> Nearest:
        """Their nearest other rows."""
        if isinstance(rows, range) and rows.step == 1:
            at: slice | NDArray[np.intp] = slice(rows.start, rows.stop)
        else:
            at = np.asarray(rows, dtype=np.intp)
        return Nearest(self.table.rows[at, :DEPTH], self.table.similarity[at, :DEPTH])

    def parts(self) -> tuple[range, ...]:
        """Parts of the engine's size; what is planted has its own."""
        cuts = [*range(0, self.n_honest, _PART_ROWS), self.n_honest]
        if len(self) > self.n_honest:
            cuts.append(len(self))
        return tuple(range(a, b) for a, b in pairwise(cuts))


def honest_store(passages: Sequence[Passage], vectors: Vectors, cache: Path) -> Store:
    """The store without poison; its neighbours are kept in a file of `cache`."""
    unit = unit_rows(vectors)
    name = hashlib.sha256(unit.tobytes()).hexdigest()[:16]
    path = cache / f"scan-neighbours-{name}.npz"
    if path.is_file():
        kept = np.load(path)
        return Store(passages, unit, Table(kept["rows"], kept["similarity"]))
    table = _compared(unit)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, rows=table.rows, similarity=table.similarity)
    return Store(passages, unit, table)


def planted(store: Store, poison: Sequence[Passage], vectors: Vectors) -> Store:
    """The store with more passages behind its own, compared with all the others."""
    n, m = len(store), len(poison)
    new = unit_rows(vectors)
    unit = np.vstack([store.vectors, new])
    product = new @ unit.T
    product[np.arange(m), n + np.arange(m)] = -2.0
    rows = np.vstack([store.table.rows, np.empty((m, COMPARED), np.int32)])
    similarity = np.vstack([store.table.similarity, np.empty((m, COMPARED), np.float32)])
    for i in range(m):
        rows[n + i], similarity[n + i] = _top(product[i])
    reached = np.flatnonzero(product[:, :n].max(axis=0) > store.table.similarity[:, -1])
    offered = np.hstack([similarity[reached], product[:, reached].T])
    ids = np.hstack(
        [rows[reached], np.tile(np.arange(n, n + m, dtype=np.int32), (len(reached), 1))]
    )
    order = np.argsort(-offered, axis=1, kind="stable")[:, :COMPARED]
    rows[reached] = np.take_along_axis(ids, order, axis=1)
    similarity[reached] = np.take_along_axis(offered, order, axis=1)
    return Store((*store.all, *poison), unit, Table(rows, similarity), n)


def _top(products: NDArray[np.float32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    found = np.argpartition(-products, COMPARED)[:COMPARED]
    found = found[np.argsort(-products[found], kind="stable")]
    return found.astype(np.int32), products[found]


def _compared(unit: Vectors) -> Table:
    n = len(unit)
    rows = np.empty((n, COMPARED), np.int32)
    similarity = np.empty((n, COMPARED), np.float32)
    for start in range(0, n, _BLOCK):
        block = np.arange(start, min(start + _BLOCK, n))
        product = unit[block] @ unit.T
        product[np.arange(len(block)), block] = -2.0
        found = np.argpartition(product, n - COMPARED, axis=1)[:, -COMPARED:]
        values = np.take_along_axis(product, found, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[block] = np.take_along_axis(found, order, axis=1)
        similarity[block] = np.take_along_axis(values, order, axis=1)
    return Table(rows, similarity)
