"""Neighbours on disk: exact below a size, measured above it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragshield.protocols import Nearest, Snapshot
from ragshield.records import Batch, Passage
from ragshield.snapshot import cells, neighbours
from ragshield.snapshot.disk import DiskSnapshot
from ragshield.snapshot.memory import MemorySnapshot, exact_nearest
from ragshield.snapshot.select import best, nothing_found
from ragshield.snapshot.spool import Spool


def spooled(folder: Path, vectors: np.ndarray | None, n: int | None = None) -> DiskSnapshot:
    n = len(vectors) if vectors is not None else n or 0
    folder.mkdir(exist_ok=True)
    spool = Spool(folder, "memory:docs")
    for start in range(0, n, 500):
        rows = range(start, min(start + 500, n))
        part = None if vectors is None else vectors[start : rows.stop]
        spool.add(Batch(tuple(Passage(f"p{i}", f"text {i}") for i in rows), part))
    return spool.finish(complete=True, said={})


def clustered(n: int, seed: int = 0) -> np.ndarray:
    """Topics of unequal size, with passages spread around each."""
    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(60, 24))
    own = rng.zipf(1.6, size=n) % 60
    return (topics[own] + rng.normal(size=(n, 24))).astype(np.float32)


def test_on_disk_it_answers_as_in_memory(tmp_path: Path) -> None:
    vectors = clustered(700)
    vectors[4] = np.nan
    vectors[9] = 0
    vectors[11] = 1e30
    disk = spooled(tmp_path / "a", vectors)
    memory = MemorySnapshot(Batch(disk.passages(range(700)), np.where(vectors == 1e30, 1, vectors)))
    assert isinstance(disk, Snapshot)
    assert neighbours.find(disk, map) == neighbours.Found(1.0)
    for rows in (range(700), [3, 699, 4, 0]):
        assert np.allclose(disk.unit(rows), memory.unit(rows), atol=1e-6)
        ours, theirs = disk.nearest(rows), memory.nearest(rows)
        assert np.allclose(ours.similarity, theirs.similarity, atol=1e-6)
        assert (ours.rows == theirs.rows).mean() > 0.999
    assert (disk.nearest([4, 9]).rows == -1).all()
    assert (disk.dim, disk.depth, len(disk)) == (24, memory.depth, 700)


def test_before_they_were_looked_for_they_are_found_by_comparing(tmp_path: Path) -> None:
    disk = spooled(tmp_path / "a", clustered(200))
    before = disk.nearest([5, 150])
    neighbours.find(disk, map)
    after = disk.again().nearest([5, 150])
    assert (before.rows == after.rows).all()
    assert np.allclose(before.similarity, after.similarity, atol=1e-6)


def test_cells_find_the_share_of_neighbours_that_they_say(tmp_path: Path) -> None:
    vectors = clustered(6000)
    disk = spooled(tmp_path / "a", vectors)
    found = neighbours.find(disk, map, exact_up_to=1000)
    assert found.recall is not None
    assert found.n_cells > 200
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    true = exact_nearest(unit, disk.depth)
    ours = disk.nearest(range(6000))
    share = np.mean([np.isin(a, b).mean() for a, b in zip(true.rows, ours.rows, strict=True)])
    assert found.recall == pytest.approx(share, abs=0.03)
    assert share > 0.85
    # What is found is as near as it is said to be, best first, and never the row itself.
    said = np.einsum("nd,nkd->nk", unit, unit[ours.rows])
    assert np.allclose(said, ours.similarity, atol=1e-5)
    assert (np.diff(ours.similarity, axis=1) <= 1e-6).all()
    assert not (ours.rows == np.arange(6000)[:, None]).any()
    assert sorted(p.name for p in disk.folder.glob("cells.*")) == []


def test_groups_are_found_however_small_their_share(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    vectors = clustered(5000)
    groups = rng.choice(5000, (20, 5), replace=False)
    for members in groups:
        vectors[members] = rng.normal(size=24) + 0.15 * rng.normal(size=(5, 24))
    disk = spooled(tmp_path / "a", vectors)
    neighbours.find(disk, map, exact_up_to=1000)
    for members in groups:
        for row in members:
            assert set(members) - {row} <= set(disk.nearest([row]).rows[0].tolist())


def test_a_store_of_one_boilerplate_is_no_slower_and_finds_the_copies(tmp_path: Path) -> None:
    vectors = clustered(4000)
    vectors[::2] = vectors[0]
    disk = spooled(tmp_path / "a", vectors)
    found = neighbours.find(disk, map, exact_up_to=1000)
    assert found.recall is not None
    assert found.recall > 0.85
    copies = disk.nearest(range(0, 4000, 2))
    assert np.allclose(copies.similarity, 1, atol=1e-5)
    assert (copies.rows % 2 == 0).all()


def test_cells_that_grow_too_large_are_cut() -> None:
    usable = np.arange(1000)
    probes = np.tile(np.array([[0, 1, 2]], dtype=np.int32), (1000, 1))
    probes[900:] = [1, 0, 2]
    made = cells.laid_out(usable, probes, 40)
    sizes = np.diff(made.starts)
    assert sizes.max() <= 8 * 25
    assert sizes.sum() == 1000
    assert sorted(made.order.tolist()) == list(range(1000))
    # Each row is in the cell that it looks into first.
    for cell, (a, b) in enumerate(zip(made.starts[:-1], made.starts[1:], strict=True)):
        assert (made.probes[a:b, 0] == cell).all()
        assert (np.diff(made.order[a:b]) > 0).all()


@pytest.mark.parametrize("exact_up_to", [1000, 10_000])
def test_what_was_noted_before_a_kill_is_not_done_again(tmp_path: Path, exact_up_to: int) -> None:
    whole = spooled(tmp_path / "a", clustered(5000))
    neighbours.find(whole, map, exact_up_to=exact_up_to)
    disk = spooled(tmp_path / "b", clustered(5000))
    asked: list[object] = []

    def breaking(function, tasks) -> Iterator[object]:
        for i, task in enumerate(tasks):
            if function.func.__name__ in {"_exact_part", "_search_cells"}:
                if i == 2:
                    raise KeyboardInterrupt
                asked.append(str(task))
            yield function(task)

    with pytest.raises(KeyboardInterrupt):
        neighbours.find(disk, breaking, exact_up_to=exact_up_to)
    done = list(asked)

    def watched(function, tasks) -> Iterator[object]:
        asked.extend(map(str, tasks))
        return map(function, tasks)

    neighbours.find(disk, watched, exact_up_to=exact_up_to)
    assert len(done) == 2
    assert len(set(asked)) == len(asked)
    ours, theirs = disk.nearest(range(5000)), whole.nearest(range(5000))
    assert (ours.rows == theirs.rows).all()
    assert (ours.similarity == theirs.similarity).all()


def test_a_store_without_vectors_has_no_neighbours_and_no_recall(tmp_path: Path) -> None:
    disk = spooled(tmp_path / "a", None, 30)
    assert neighbours.find(disk, map) == neighbours.Found(None)
    assert disk.dim is None
    assert disk.unit(range(3)).shape == (3, 0)
    assert (disk.nearest([0, 7]).rows == -1).all()


@pytest.mark.parametrize("n_offered", [3, 50, 700])
def test_the_best_are_those_of_a_full_sort(n_offered: int) -> None:
    rng = np.random.default_rng(n_offered)
    asked, offered = rng.normal(size=(40, 8)), rng.normal(size=(n_offered, 8))
    asked, offered = (
        (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in (asked, offered)
    )
    offered[1], asked[5] = 0, 0
    asked[7] = offered[2]
    found = best(asked, np.full(40, -9), offered, np.arange(n_offered), nothing_found(40, 6))
    similarity = asked @ offered.T
    similarity[:, 1] = similarity[5] = -2
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :6]
    expected = np.take_along_axis(similarity, order, axis=1)
    k = expected.shape[1]
    assert np.allclose(found.similarity[:, :k], expected, atol=1e-6)
    assert (found.rows[:, :k][expected > -2] == order[expected > -2]).all()
    assert (found.rows[5] == -1).all()


def test_what_is_known_stays_among_the_best() -> None:
    known = Nearest(np.array([[70, 71]], np.int32), np.array([[0.9, 0.1]], np.float32))
    offered = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    found = best(np.array([[0.6, 0.8]], np.float32), np.array([9]), offered, np.arange(3), known)
    assert found.rows.tolist() == [[70, 1]]
    assert found.similarity.tolist() == [[pytest.approx(0.9), pytest.approx(0.8)]]
