from __future__ import annotations

import numpy as np

from ragshield.records import Batch, Passage
from ragshield.reports.projection import project
from ragshield.snapshot.memory import MemorySnapshot


def snapshot(vectors: np.ndarray | None, n: int | None = None) -> MemorySnapshot:
    n = len(vectors) if vectors is not None else (n or 0)
    return MemorySnapshot(Batch(tuple(Passage(f"p{i}", "") for i in range(n)), vectors))


def wide(n: int = 400, dim: int = 32) -> np.ndarray:
    rng = np.random.default_rng(4)
    spread = np.full(dim, 0.02)
    spread[[3, 7]] = 1.0, 0.6
    return (rng.standard_normal((n, dim)) * spread).astype(np.float32)


def test_it_finds_the_two_widest_directions() -> None:
    vectors = wide()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    drawn = project(snapshot(vectors), range(400))
    assert drawn is not None
    across = np.corrcoef(drawn.points[:, 0], unit[:, 3])[0, 1]
    down = np.corrcoef(drawn.points[:, 1], unit[:, 7])[0, 1]
    assert abs(across) > 0.99
    assert abs(down) > 0.99
    assert 0.9 < drawn.share <= 1.0
    np.testing.assert_allclose(drawn.sample, drawn.points, atol=1e-5)


def test_the_share_is_that_of_a_full_decomposition() -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 24)).astype(np.float32)
    drawn = project(snapshot(vectors), [])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    values = np.linalg.svd(unit - unit.mean(axis=0), compute_uv=False) ** 2
    assert drawn is not None
    assert drawn.share == np.float64(drawn.share)
    np.testing.assert_allclose(drawn.share, values[:2].sum() / values.sum(), rtol=0.02)


def test_the_same_store_gives_the_same_map_and_everything_is_inside() -> None:
    first, again = (project(snapshot(wide()), [1, 5, 7], n_sample=50) for _ in range(2))
    assert first is not None
    assert again is not None
    np.testing.assert_array_equal(first.points, again.points)
    assert first.sample.shape == (50, 2)
    everything = np.vstack([first.sample, first.points])
    assert everything.min() >= 0
    assert everything.max() <= 1
    assert first.n_rows == 400


def test_rows_without_a_usable_vector_have_no_place() -> None:
    vectors = wide()
    vectors[5] = np.nan
    drawn = project(snapshot(vectors), [4, 5])
    assert drawn is not None
    assert np.isfinite(drawn.points[0]).all()
    assert np.isnan(drawn.points[1]).all()


def test_without_vectors_there_is_no_map() -> None:
    assert project(snapshot(None, 10), [1]) is None
    assert project(snapshot(wide(1)), [0]) is None
    assert project(snapshot(np.zeros((9, 4), dtype=np.float32)), [0]) is None


def test_vectors_of_one_dimension_and_equal_vectors_do_not_break_it() -> None:
    for vectors in (np.array([[1.0], [-1.0], [2.0]]), np.ones((5, 6))):
        drawn = project(snapshot(vectors.astype(np.float32)), [0])
        assert drawn is not None
        assert np.isfinite(drawn.points).all()
