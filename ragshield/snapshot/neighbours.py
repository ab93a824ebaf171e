"""The nearest rows of every row: exact in small stores, by an inverted file in large ones."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.files import writing
from ragshield.protocols import Nearest
from ragshield.snapshot import cells as inverted
from ragshield.snapshot.disk import DiskSnapshot, read_block
from ragshield.snapshot.layout import UNUSABLE
from ragshield.snapshot.select import best, compared, merged, nothing_found

EXACT_UP_TO = 25_000
"""Rows with a usable vector up to which every pair is compared."""

TARGET_RECALL = 0.9
"""Share of the true nearest that should be found. Of passages that are as near as copies and
paraphrases (a cosine of 0.85), 0.99 are when 0.9 of all are (123,000 MiniLM vectors)."""

Map: TypeAlias = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[Any]]
"""Apply a picklable function to tasks, results in the order of the tasks."""

_N_SAMPLED = 512
_CHOICES = (4, 6, 8, 12, 16, 24, 32)
_MOST_COMPARED = 12_000
"""Rows that one row may be compared with; bounds the work at a million rows."""

_EXACT_ROWS = 1024
_ASSIGNED_ROWS = 8192
_CELLS_PER_BLOCK = 4
"""Cells, side by side in space and on disk, that are compared with as one."""

_CELLS_PER_TASK = 64


@dataclass(frozen=True, slots=True)
class Found:
    """How the neighbours in a snapshot were found.

    Attributes:
        recall: share of the true nearest rows that were found; 1.0 where all pairs were
            compared; None where there is nothing to compare.
        n_sampled: neighbours that the share was measured on; 0 where it was not needed.
        n_cells: cells of the inverted file; 0 where all pairs were compared.
        n_probes: cells that each row was compared with.
    """

    recall: float | None
    n_sampled: int = 0
    n_cells: int = 0
    n_probes: int = 0


def find(
    snapshot: DiskSnapshot,
    apply: Map,
    on_done: Callable[[int], None] = lambda _: None,
    *,
    exact_up_to: int | None = None,
) -> Found:
    """Find and note the nearest rows of every row, going on where an earlier call stopped.

    Args:
        snapshot: whose rows; the tables are written into its folder.
        apply: runs the tasks, in this process or in others.
        on_done: told how many rows have been dealt with.
        exact_up_to: rows up to which every pair is compared; None for `EXACT_UP_TO`.

    Raises:
        OSError: the disk is full.
    """
    folder = snapshot.folder
    with suppress(FileNotFoundError):
        return Found(**json.loads((folder / "neighbours.json").read_text(encoding="utf-8")))
    usable = np.flatnonzero(snapshot.flags & UNUSABLE == 0)
    if snapshot.dim is None or len(usable) < 2:
        tables = _Tables(snapshot, n_tasks=0)
        found = Found(None)
    elif len(usable) <= (EXACT_UP_TO if exact_up_to is None else exact_up_to):
        tables, found = _exact(snapshot, apply, on_done), Found(1.0)
    else:
        tables, found = _by_cells(snapshot, usable, apply, on_done)
    tables.close()
    with writing(folder / "neighbours.json") as file:
        json.dump(asdict(found), file)
    for path in (*folder.glob("cells.*"), folder / "neighbours.done"):
        path.unlink(missing_ok=True)
    return found


def _exact(snapshot: DiskSnapshot, apply: Map, on_done: Callable[[int], None]) -> _Tables:
    n = len(snapshot)
    parts = [np.arange(a, min(a + _EXACT_ROWS, n)) for a in range(0, n, _EXACT_ROWS)]
    tables = _Tables(snapshot, n_tasks=len(parts))
    todo = tables.todo()
    results = apply(partial(_exact_part, snapshot), [parts[task] for task in todo])
    for task, found in zip(todo, results, strict=True):
        tables.put(task, parts[task], found)
        on_done(int(parts[task][-1]) + 1)
    return tables


def _exact_part(snapshot: DiskSnapshot, rows: NDArray[np.intp]) -> Nearest:
    return snapshot.exact_nearest(rows)


def _by_cells(
    snapshot: DiskSnapshot,
    usable: NDArray[np.intp],
    apply: Map,
    on_done: Callable[[int], None],
) -> tuple[_Tables, Found]:
    folder = snapshot.folder
    if not (folder / "cells.json").is_file():
        (folder / "neighbours.done").unlink(missing_ok=True)
        _lay_out(snapshot, usable, apply)
    layout = json.loads((folder / "cells.json").read_text(encoding="utf-8"))
    cells = inverted.load(folder)
    n_cells = len(cells.starts) - 1
    tasks = [
        range(a, min(a + _CELLS_PER_TASK, n_cells)) for a in range(0, n_cells, _CELLS_PER_TASK)
    ]
    tables = _Tables(snapshot, n_tasks=len(tasks))
    todo = tables.todo()
    search = partial(_search_cells, snapshot, layout["n_probes"])
    for task, found in zip(todo, apply(search, [tasks[t] for t in todo]), strict=True):
        start, end = (int(cells.starts[c]) for c in (tasks[task].start, tasks[task].stop))
        tables.put(task, cells.order[start:end], found)
        on_done(end)
    truth = np.load(folder / "cells.truth.npz")
    recall, n = _recall(tables.similarity_of(truth["rows"]), truth["similarity"])
    return tables, Found(recall, n, n_cells, layout["n_probes"])


def _lay_out(snapshot: DiskSnapshot, usable: NDArray[np.intp], apply: Map) -> None:
    """Make the cells, and choose by a sample how many of them a row looks into."""
    folder = snapshot.folder
    centre = inverted.centres(snapshot, usable)
    rng = np.random.default_rng(1)
    sampled = np.sort(rng.choice(usable, min(_N_SAMPLED, len(usable)), replace=False))
    np.save(folder / "cells.centres.npy", centre)
    np.save(folder / "cells.sampled.npy", sampled)
    n = len(snapshot)
    parts = [range(a, min(a + _ASSIGNED_ROWS, n)) for a in range(0, n, _ASSIGNED_ROWS)]
    probes = []
    truth = nothing_found(len(sampled), snapshot.depth)
    for nearest, offered in apply(partial(_assign, snapshot), parts):
        probes.append(nearest)
        truth = _better(truth, offered)
    every = np.concatenate(probes)[usable]
    del probes
    cells = inverted.laid_out(usable, every, len(centre))
    cells.save(folder)
    inverted.write_vectors(snapshot, cells)
    np.savez(folder / "cells.truth.npz", rows=sampled, similarity=truth.similarity)
    n_probes = _n_probes(cells, sampled, truth)
    with writing(folder / "cells.json") as file:
        json.dump({"n_probes": n_probes}, file)


def _assign(snapshot: DiskSnapshot, part: range) -> tuple[NDArray[np.int32], Nearest]:
    """Each row's nearest centres, and the nearest of these rows to the sampled rows."""
    unit = snapshot.unit(part)
    centre = np.load(snapshot.folder / "cells.centres.npy")
    probes = inverted.nearest_centres(unit, centre, inverted.PROBES)
    sampled = np.load(snapshot.folder / "cells.sampled.npy")
    none = nothing_found(len(sampled), snapshot.depth)
    asked = snapshot.unit(sampled.tolist())
    ids = np.arange(part.start, part.stop, dtype=np.int32)
    return probes, best(asked, sampled, unit, ids, none)


def _better(a: Nearest, b: Nearest) -> Nearest:
    """The best of two findings about the same rows."""
    rows = np.hstack([a.rows, b.rows])
    similarity = np.hstack([a.similarity, b.similarity])
    order = np.argsort(-similarity, axis=1, kind="stable")[:, : a.rows.shape[1]]
    return Nearest(
        np.take_along_axis(rows, order, axis=1), np.take_along_axis(similarity, order, axis=1)
    )


def _n_probes(cells: inverted.Cells, sampled: NDArray[np.intp], truth: Nearest) -> int:
    """The fewest cells whose blocks hold `TARGET_RECALL` of the sample's true neighbours.

    Fewer where that would compare a row with more than `_MOST_COMPARED` others.
    """
    place_of = np.empty(int(cells.order.max()) + 1, dtype=np.int64)
    place_of[cells.order] = np.arange(len(cells.order))
    asked = np.asarray(cells.probes[place_of[sampled]]) // _CELLS_PER_BLOCK
    true = truth.rows >= 0
    home = np.searchsorted(cells.starts, place_of[truth.rows[true]], side="right") - 1
    home //= _CELLS_PER_BLOCK
    row = np.nonzero(true)[0]
    sizes = np.add.reduceat(
        np.diff(cells.starts), range(0, len(cells.starts) - 1, _CELLS_PER_BLOCK)
    )
    chosen = _CHOICES[0]
    for choice in _CHOICES:
        blocks = [np.unique(part) for part in asked[:, :choice]]
        if np.mean([sizes[part].sum() for part in blocks]) > _MOST_COMPARED:
            break
        chosen = choice
        if np.mean((asked[row, :choice] == home[:, None]).any(axis=1)) >= TARGET_RECALL:
            break
    return chosen


def _search_cells(snapshot: DiskSnapshot, n_probes: int, numbers: range) -> Nearest:
    """The nearest rows of all rows of some cells, in the order of their places."""
    folder, dim, depth = snapshot.folder, snapshot.dim or 0, snapshot.depth
    cells = inverted.load(folder)
    places = range(int(cells.starts[numbers.start]), int(cells.starts[numbers.stop]))
    own = np.arange(places.start, places.stop)
    unit = read_block(folder / "cells.f32", places, dim)
    probes = np.asarray(cells.probes[places.start : places.stop, :n_probes])
    asking = _asking(probes // _CELLS_PER_BLOCK)
    n_cells = len(cells.starts) - 1
    found = nothing_found(len(own), depth)
    # The cells at hand first: what they give is the bar for those further off.
    for cells_at_hand in (True, False):
        offers = []
        for number, at in asking:
            first = number * _CELLS_PER_BLOCK
            if (first in numbers) is cells_at_hand:
                last = min(first + _CELLS_PER_BLOCK, n_cells)
                held = range(int(cells.starts[first]), int(cells.starts[last]))
                offered = read_block(folder / "cells.f32", held, dim)
                least = found.similarity[at, -1]
                new = compared(
                    unit[at], own[at], offered, np.arange(held.start, held.stop), least, depth
                )
                offers.append(new._replace(row=at[new.row]))
        found = merged(found, offers)
    order = np.asarray(cells.order)
    return Nearest(np.where(found.rows < 0, -1, order[found.rows]), found.similarity)


def _asking(blocks: NDArray[np.int32]) -> list[tuple[int, NDArray[np.intp]]]:
    """Each block of cells that is looked into, with the positions of the rows that do."""
    if not len(blocks):
        return []
    order = np.argsort(blocks, axis=None, kind="stable")
    numbers, first = np.unique(blocks.ravel()[order], return_index=True)
    at = [np.unique(part) for part in np.split(order // blocks.shape[1], first[1:])]
    return list(zip(numbers.tolist(), at, strict=True))


def _recall(found: NDArray[np.float32], true: NDArray[np.float32]) -> tuple[float | None, int]:
    """Share of true neighbours found; among equally near ones, any will do."""
    wanted = true > -1.5
    least = np.where(wanted, true, np.inf).min(axis=1)
    reached = (found >= least[:, None] - 1e-6).sum(axis=1)
    n = int(wanted.sum())
    return (float(np.minimum(reached, wanted.sum(axis=1)).sum() / n) if n else None), n


class _Tables:
    """The two files of neighbours while they are written, and which tasks are done."""

    def __init__(self, snapshot: DiskSnapshot, n_tasks: int) -> None:
        self._n_tasks = n_tasks
        shape = (len(snapshot), snapshot.depth)
        done = snapshot.folder / "neighbours.done"
        self._finished: set[int] = set()
        if done.is_file():
            self._finished = set(np.fromfile(done, dtype="<i4", count=done.stat().st_size // 4))
        nothing = nothing_found(1, snapshot.depth)
        self._rows = _table(snapshot.folder / "neighbours.i32", shape, nothing.rows, self._finished)
        self._similarity = _table(
            snapshot.folder / "neighbours.f32", shape, nothing.similarity, self._finished
        )
        self._done = done.open("ab", buffering=0)

    def todo(self) -> list[int]:
        """The tasks whose results are not on disk."""
        return [task for task in range(self._n_tasks) if task not in self._finished]

    def put(self, task: int, rows: NDArray[np.integer], found: Nearest) -> None:
        """Note what a task found about some rows."""
        self._rows[rows] = found.rows
        self._similarity[rows] = found.similarity
        self._done.write(np.int32(task).astype("<i4").tobytes())

    def similarity_of(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """What was noted of some rows."""
        return np.array(self._similarity[rows])

    def close(self) -> None:
        """Write everything out."""
        self._done.close()
        for table in (self._rows, self._similarity):
            if isinstance(table, np.memmap):
                table.flush()


def _table(
    path: Path, shape: tuple[int, int], nothing: NDArray[Any], finished: Iterable[int]
) -> NDArray[Any]:
    size = shape[0] * shape[1] * 4
    if not size:
        return np.empty(shape, dtype=nothing.dtype)
    if not finished or not path.is_file() or path.stat().st_size != size:
        # Written out, not mapped at first: a mapped file on a full disk kills the process.
        with path.open("wb") as file:
            step = 65_536
            for start in range(0, shape[0], step):
                np.repeat(nothing, min(step, shape[0] - start), axis=0).tofile(file)
            file.flush()
            os.fsync(file.fileno())
    return np.memmap(path, dtype=nothing.dtype, mode="r+", shape=shape)
