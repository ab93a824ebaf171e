from __future__ import annotations

import numpy as np
import pytest

from ragshield.screens import shape
from ragshield.screens.neighbours import usual_gap, usual_similarity
from ragshield.screens.shape import between, shape_of
from ragshield.snapshot.memory import MemorySnapshot


@pytest.fixture
def store(topics, as_batch) -> MemorySnapshot:
    """Ordinary topics, five rows apart from all (480 to 484), five amid a topic (485 to 489)."""
    rng = np.random.default_rng(2)
    away = -topics.mean(axis=0) + 0.02 * rng.standard_normal((5, topics.shape[1]))
    amid = topics[7] + 0.02 * rng.standard_normal((5, topics.shape[1]))
    vectors = np.vstack([topics, away, amid]).astype(np.float32)
    return MemorySnapshot(as_batch(["x"] * len(vectors), vectors))


def measured(store, members):
    usual = usual_similarity(store, depth=shape.DEPTH)
    return shape_of(store, members, usual, usual_gap(store, depth=shape.DEPTH), 0.65)


def test_a_tight_group_apart_from_all_stands_out_most(store) -> None:
    away, amid, topic = (measured(store, m) for m in (range(480, 485), range(485, 490), range(12)))
    assert away.gap > 0.5
    assert amid.gap < 0.05  # the passage that they lie round is as near
    assert away.stands_out.min() > 0.95
    assert away.stands_out.mean() > amid.stands_out.mean() > topic.stands_out.mean()
    unit = store.unit(range(480, 485))
    np.testing.assert_allclose(away.kth, np.sort(unit @ unit.T, axis=1)[:, 0], atol=1e-5)


def test_a_group_too_large_for_every_pair_is_judged_by_the_neighbours_known(
    store, monkeypatch
) -> None:
    whole = measured(store, list(range(480, 485)))
    monkeypatch.setattr(shape, "WHOLE_GROUP", 4)
    known = measured(store, list(range(480, 485)))
    np.testing.assert_allclose(known.kth, whole.kth, atol=1e-5)
    assert known.gap == pytest.approx(whole.gap, abs=1e-5)


def test_between_is_the_cosine_of_every_pair(store) -> None:
    found = between(store, [0, 1, 480])
    assert (np.diag(found) == -2).all()
    assert found[0, 2] == found[2, 0] == pytest.approx(store.unit([0])[0] @ store.unit([480])[0])
