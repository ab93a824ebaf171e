"""A batch as a snapshot: its neighbours are the nearest, whatever is wrong with a row."""

from __future__ import annotations

import numpy as np
import pytest

from ragshield.protocols import Snapshot
from ragshield.records import Batch, Passage
from ragshield.snapshot import memory
from ragshield.snapshot.memory import MemorySnapshot


def _batch(vectors: np.ndarray) -> Batch:
    return Batch(tuple(Passage(f"p{i}", f"text {i}") for i in range(len(vectors))), vectors)


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(60, 8)).astype(np.float32)


def test_the_nearest_rows_are_those_of_a_full_comparison(
    vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_BLOCK_CELLS", 7 * 60)
    snapshot = MemorySnapshot(_batch(vectors), depth=5)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    full = unit @ unit.T
    np.fill_diagonal(full, -2)
    expected = np.argsort(-full, axis=1, kind="stable")[:, :5]
    found = snapshot.nearest(range(60))
    assert (found.rows == expected).all()
    assert np.allclose(found.similarity, np.take_along_axis(full, expected, axis=1), atol=1e-6)


def test_a_row_without_a_usable_vector_is_nobodys_neighbour(vectors: np.ndarray) -> None:
    vectors[4] = np.nan
    vectors[9] = 0
    found = MemorySnapshot(_batch(vectors), depth=3).nearest(range(60))
    assert (found.rows[[4, 9]] == -1).all()
    assert (found.similarity[[4, 9]] == -2).all()
    assert not np.isin(found.rows, [4, 9]).any()


def test_fewer_rows_than_neighbours_leave_the_rest_empty(vectors: np.ndarray) -> None:
    found = MemorySnapshot(_batch(vectors[:3]), depth=4).nearest([0])
    assert sorted(found.rows[0].tolist()) == [-1, -1, 1, 2]


def test_parts_cover_every_row_once(vectors: np.ndarray) -> None:
    snapshot = MemorySnapshot(_batch(vectors), n_parts=7)
    assert isinstance(snapshot, Snapshot)
    assert [row for part in snapshot.parts() for row in part] == list(range(60))
    assert len(snapshot.parts()) == 7


def test_a_store_without_vectors_has_rows_and_no_neighbours() -> None:
    snapshot = MemorySnapshot(Batch((Passage("a", "x"), Passage("b", "y")), None))
    assert snapshot.dim is None
    assert snapshot.unit([0, 1]).shape == (2, 0)
    assert (snapshot.nearest([1]).rows == -1).all()
