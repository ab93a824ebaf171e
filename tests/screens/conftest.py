"""What the tests of screens over whole stores share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ragshield.records import Batch, Passage, Vectors


def topics_store(n_topics: int = 40, per_topic: int = 12, dim: int = 48, seed: int = 4) -> Vectors:
    """Passages about topics: unit rows round topic centres, which lie round a common one."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(dim)
    rows = []
    for _ in range(n_topics):
        centre = 0.5 * common + rng.standard_normal(dim)
        rows.append(centre + 0.8 * rng.standard_normal((per_topic, dim)))
    found = np.vstack(rows)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def topics() -> Vectors:
    return topics_store()


@pytest.fixture
def as_batch() -> Callable[[Sequence[str], Vectors | None], Batch]:
    def made(texts: Sequence[str], vectors: Vectors | None) -> Batch:
        return Batch(tuple(Passage(f"p{i}", text) for i, text in enumerate(texts)), vectors)

    return made
