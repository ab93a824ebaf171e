from __future__ import annotations

import numpy as np
import pytest

from ragshield.corpora.world import load
from ragshield.corpora.world_vectors import ENCODER, shipped


def test_the_default_world_has_vectors_and_no_other_passages_do() -> None:
    passages = load().passages
    rows = shipped(passages)
    assert rows is not None
    assert rows.shape == (len(passages), 384)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-3)
    assert shipped(passages[1:]) is None
    assert shipped(load(seed=1).passages) is None


@pytest.mark.model
def test_they_are_what_the_encoder_gives(minilm) -> None:
    passages = load().passages
    rows = shipped(passages)
    assert rows is not None
    assert minilm.name == ENCODER
    chosen = np.random.default_rng(0).choice(len(passages), 40, replace=False)
    fresh = minilm.encode([passages[i].text for i in chosen])
    assert np.einsum("ij,ij->i", fresh, rows[chosen]) == pytest.approx(np.ones(40), abs=5e-4)
    assert np.abs(fresh @ fresh.T - rows[chosen] @ rows[chosen].T).max() < 5e-4
