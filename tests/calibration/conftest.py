from __future__ import annotations

import pytest

from ragshield.corpora.world import load
from ragshield.records import Batch
from ragshield.stores.memory import MemoryStore


@pytest.fixture
def world_store(word_encoder):
    """A store of a small generated world under the bag-of-words encoder."""

    def make(seed: int = 0, n: int | None = None) -> MemoryStore:
        passages = load(seed=seed, people=120, firms=40, places=40).passages[:n]
        vectors = word_encoder.encode([p.text for p in passages])
        return MemoryStore(f"memory:world-{seed}", Batch(passages, vectors))

    return make
