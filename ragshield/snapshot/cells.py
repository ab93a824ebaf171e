"""An inverted file: every row in the cell of its nearest centre, cells side by side on disk.

Source: the inverted file of Jégou, Douze and Schmid, "Product quantization for nearest
neighbor search", IEEE TPAMI 2011, section IV, without its quantisation.
Differs: vectors are kept whole, so similarities are exact and only the choice of what is
compared is approximate; cells that grow far beyond the others are cut, so that a store
full of one boilerplate costs no more than another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Vectors
from ragshield.snapshot.disk import DiskSnapshot
from ragshield.snapshot.select import candidates
from ragshield.vectors import unit_rows

PROBES = 32
"""Nearest cells noted for every row; how many are compared is decided by measuring."""

_CELLS_PER_ROOT = 4
"""Cells for n rows, in units of sqrt(n). Measured on 123,000 MiniLM vectors: of 1, 2, 4 and
8, four finds most neighbours for the comparisons it costs, those with the centres included."""

_FEW_CENTRES = 512
_GROUPS_LOOKED_INTO = 24
_ROWS_AT_A_TIME = 2048
_NOT_ASKED = np.float32(-2)
_SAMPLED_PER_CELL = 24
_ROUNDS = 8
_LARGE = 8
"""Times the mean size from which a cell is cut."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Where each cell's rows lie in `cells.f32`, and which cells each row looks into.

    Attributes:
        order: (n_usable,) int32; row of the snapshot at each place, ascending in a cell.
        starts: (n_cells + 1,) int64; first place of each cell.
        probes: (n_usable, n_probes) int32; by place, the cells to compare with, own first.
    """

    order: NDArray[np.int32]
    starts: NDArray[np.int64]
    probes: NDArray[np.int32]

    def save(self, folder: Path) -> None:
        """Write all three beside the snapshot."""
        np.save(folder / "cells.order.npy", self.order)
        np.save(folder / "cells.starts.npy", self.starts)
        np.save(folder / "cells.probes.npy", self.probes)


def load(folder: Path) -> Cells:
    """What `Cells.save` wrote, mapped."""
    order, starts, probes = (
        np.load(folder / f"cells.{name}.npy", mmap_mode="r")
        for name in ("order", "starts", "probes")
    )
    return Cells(order, starts, probes)


def centres(snapshot: DiskSnapshot, usable: NDArray[np.intp], *, seed: int = 0) -> Vectors:
    """Centres of cells, by k-means on the sphere over a sample, in two levels.

    The sample is divided into about sqrt(n_cells) regions, and each of them into its share
    of the cells: far less work than one k-means, cells of about one size, and neighbours
    in the list of centres are neighbours in space.

    Args:
        snapshot: where the vectors are.
        usable: rows that have one.
        seed: of the sample.

    Returns:
        (n_cells, dim) float32, unit rows; n_cells is about `_CELLS_PER_ROOT` * sqrt(n).
    """
    rng = np.random.default_rng(seed)
    n_cells = max(2, round(_CELLS_PER_ROOT * len(usable) ** 0.5))
    n_sampled = min(len(usable), n_cells * _SAMPLED_PER_CELL)
    sample = snapshot.unit(np.sort(rng.choice(usable, n_sampled, replace=False)).tolist())
    regions = _k_means(sample, round(n_cells**0.5), rng)
    own = _nearest_centre(sample, regions)
    found = []
    for region in range(len(regions)):
        members = sample[own == region]
        if len(members):
            k = max(1, round(len(members) * n_cells / n_sampled))
            found.append(_k_means(members, k, rng))
    return np.vstack(found)


def nearest_centres(unit: Vectors, centre: Vectors, n: int) -> NDArray[np.int32]:
    """The n nearest centres of each row, nearest first: (m, n) int32.

    Of many centres only those in the groups nearest to a row are looked at. Centres that
    follow one another lie close together, so that groups are cut by number.
    """
    k = len(centre)
    size = k if k <= _FEW_CENTRES else round(k**0.5)
    starts = np.arange(0, k, size)
    groups = unit_rows(np.add.reduceat(centre, starts, axis=0))
    found = [
        _nearest_of(unit[at : at + _ROWS_AT_A_TIME], centre, starts, groups, min(n, k))
        for at in range(0, len(unit), _ROWS_AT_A_TIME)
    ]
    return np.concatenate(found) if found else np.empty((0, min(n, k)), dtype=np.int32)


def _nearest_of(
    unit: Vectors, centre: Vectors, starts: NDArray[np.intp], groups: Vectors, n: int
) -> NDArray[np.int32]:
    m, k = len(unit), len(centre)
    sizes = np.diff([*starts.tolist(), k])
    n_groups = min(len(groups), _GROUPS_LOOKED_INTO)
    near = np.argpartition(-(unit @ groups.T), n_groups - 1, axis=1)[:, :n_groups]
    looked_into = np.zeros((m, len(groups)), dtype=bool)
    np.put_along_axis(looked_into, near, True, axis=1)
    if 2 * n_groups > len(groups):
        # Most groups are looked into: one product of all is quicker than many of some.
        similarity = unit @ centre.T
        similarity[~np.repeat(looked_into, sizes, axis=1)] = _NOT_ASKED
    else:
        similarity = np.full((m, k), _NOT_ASKED, dtype=np.float32)
        for group, (start, own) in enumerate(zip(starts.tolist(), sizes.tolist(), strict=True)):
            rows = np.flatnonzero(looked_into[:, group])
            similarity[rows, start : start + own] = unit[rows] @ centre[start : start + own].T
    row, column = candidates(similarity, np.full(m, _NOT_ASKED, dtype=np.float32), n)
    order = np.lexsort((-similarity[row, column], row))
    row, column = row[order], column[order]
    place = np.arange(len(row)) - np.searchsorted(row, np.arange(m))[row]
    found = np.empty((m, n), dtype=np.int32)
    found[row[place < n], place[place < n]] = column[place < n]
    return found


def laid_out(usable: NDArray[np.intp], probes: NDArray[np.int32], n_cells: int) -> Cells:
    """Cells from each row's nearest centres; those far larger than the others are cut.

    A row that looks into a cell that was cut looks into one piece of it: its own, or one
    chosen by its number.
    """
    own = probes[:, 0].astype(np.int64)
    sizes = np.bincount(own, minlength=n_cells)
    most = int(_LARGE * np.ceil(len(usable) / n_cells))
    n_pieces = np.maximum(1, -(-sizes // most))
    first = np.concatenate([[0], np.cumsum(n_pieces)])
    order = np.argsort(own, kind="stable")
    place_in_cell = np.arange(len(own)) - np.concatenate([[0], np.cumsum(sizes)])[own[order]]
    piece = np.empty_like(own)
    piece[order] = place_in_cell * n_pieces[own[order]] // sizes[own[order]]
    numbers = first[probes].astype(np.int32)
    turn = usable[:, None] % n_pieces[probes]
    numbers += turn.astype(np.int32)
    numbers[:, 0] = first[own] + piece
    starts = np.concatenate([[0], np.cumsum(np.bincount(numbers[:, 0], minlength=first[-1]))])
    by_cell = np.argsort(numbers[:, 0], kind="stable")
    return Cells(usable[by_cell].astype(np.int32), starts.astype(np.int64), numbers[by_cell])


def write_vectors(snapshot: DiskSnapshot, cells: Cells) -> None:
    """Copy the vectors to `cells.f32` in the order of the cells.

    Raises:
        OSError: the disk is full.
    """
    dim = snapshot.dim or 0
    place_of = np.full(len(snapshot), -1, dtype=np.int64)
    place_of[cells.order] = np.arange(len(cells.order))
    descriptor = os.open(snapshot.folder / "cells.f32", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        for start in range(0, len(snapshot), 65_536):
            rows = range(start, min(start + 65_536, len(snapshot)))
            places = place_of[rows.start : rows.stop]
            order = np.argsort(places, kind="stable")
            order = order[places[order] >= 0]
            unit = snapshot.unit(rows)[order]
            places = places[order]
            # Neighbouring places go out in one write.
            edges = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
            for a, b in pairwise(edges):
                if a < b:
                    _write_all(descriptor, unit[a:b], int(places[a]) * dim * 4)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, unit: Vectors, offset: int) -> None:
    data = memoryview(unit.tobytes())
    while len(data):
        n = os.pwrite(descriptor, data, offset)
        data, offset = data[n:], offset + n


def _k_means(sample: Vectors, k: int, rng: np.random.Generator) -> Vectors:
    centre = sample[np.sort(rng.choice(len(sample), min(k, len(sample)), replace=False))].copy()
    for _ in range(_ROUNDS):
        own = _nearest_centre(sample, centre)
        order = np.argsort(own, kind="stable")
        filled, first = np.unique(own[order], return_index=True)
        centre[filled] = unit_rows(np.add.reduceat(sample[order], first, axis=0))
        empty = np.setdiff1d(np.arange(len(centre)), filled)
        centre[empty] = sample[rng.choice(len(sample), len(empty))]
    # Copies of one passage give copies of one centre, of which one has all the rows.
    return centre[np.unique(_nearest_centre(sample, centre))]


def _nearest_centre(unit: Vectors, centre: Vectors) -> NDArray[np.intp]:
    step = max(1, 4_000_000 // len(centre))
    found = [np.argmax(unit[s : s + step] @ centre.T, axis=1) for s in range(0, len(unit), step)]
    return np.concatenate(found)
