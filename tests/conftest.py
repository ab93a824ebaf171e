"""Fixtures that many tests share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ragshield.records import Vectors
from ragshield.text import content_words

ROOT = Path(__file__).parent.parent

# One thread per worker: the suite runs in parallel, and torch would fight itself.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


class WordEncoder:
    """A deterministic bag of words: each word adds its own fixed random direction."""

    name = "word-hash"

    def __init__(self, dim: int = 64) -> None:
        self.dim = dim
        self.n_texts = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.n_texts += len(texts)
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for i, text in enumerate(texts):
            for word in content_words(text) or ["<empty>"]:
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
                rows[i] += np.random.default_rng(seed).standard_normal(self.dim)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def word_encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture(scope="session")
def minilm():
    """The real offline encoder; tests that ask for it carry the marker `model`."""
    from ragshield.encoders import open_encoder

    return open_encoder("minilm")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real questions and poisoned passages, or a skip with the reason."""
    folder = Path(os.environ.get("RAGSHIELD_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "poisoned_qa.jsonl.gz").is_file():
        pytest.skip(f"no real data at {folder}; set RAGSHIELD_DATA to run this test")
    return folder
