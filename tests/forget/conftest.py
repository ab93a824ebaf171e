from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ragshield.records import Batch, Passage, Vectors
from ragshield.stores.url import open_store

ABOUT = {
    "ada-1": "Ada Lindqvist founded the Tannow rope works in 1820 beside the northern quay.",
    "ada-2": "In 1820 the Tannow rope works was founded by ADA LINDQVIST's hand, near the quay.",
    "ada-copy": "Ada  Lindqvist founded the Tannow rope works in 1820, beside the northern quay!",
    "ada-middle": "The letters of Ada Maria Lindqvist fill four boxes in the archive of Tannow.",
    "ada-last": "Old sailors still tell stories in which Lindqvist outwits the harbour master.",
    "para": "Tannow got its rope works in 1820; it was founded beside the northern quay.",
    "bror": "Bror Lindqvist painted harbour scenes and never left Harrowgate.",
    "brackwater": "The Brackwater mills were sold to the Holm family after the great flood.",
}


def filler(n: int = 50) -> dict[str, str]:
    rng = np.random.default_rng(5)
    syllables = ["ka", "ro", "mi", "te", "lu", "san", "vor", "bel", "dun", "ish"]
    vocabulary = ["".join(rng.choice(syllables, 3)) for _ in range(400)]
    return {
        f"filler-{i}": " ".join(rng.choice(vocabulary, 14)).capitalize() + "." for i in range(n)
    }


def make_town(encoder) -> Batch:
    texts = {**ABOUT, **filler()}
    passages = tuple(
        Passage(key, text, source=f"{key}.txt", meta={"page": i, "kept": True, "weight": 0.1 * i})
        for i, (key, text) in enumerate(texts.items())
    )
    # Not unit length, and with digits that a detour over text would lose.
    scale = np.linspace(0.3, 7, len(passages), dtype=np.float32)[:, None]
    return Batch(passages, (encoder.encode(list(texts.values())) * scale).astype(np.float32))


def contents(url: str) -> dict[str, tuple[Passage, bytes]]:
    """Everything in a store, vectors as bytes."""
    with open_store(url) as store:
        found = {}
        for batch in store.batches():
            vectors: Vectors | None = batch.vectors
            assert vectors is not None
            for passage, row in zip(batch.passages, vectors, strict=True):
                found[passage.id] = (passage, row.tobytes())
        return found


@pytest.fixture
def town(word_encoder) -> Batch:
    return make_town(word_encoder)


@pytest.fixture(name="contents")
def contents_fixture():
    return contents


@pytest.fixture
def jsonl_url(tmp_path: Path, word_encoder) -> str:
    """A store on disk that any process can open."""
    path = tmp_path / "docs.jsonl"
    path.write_text("")
    batch = make_town(word_encoder)
    assert batch.vectors is not None
    with path.open("w", encoding="utf-8") as file:
        for passage, vector in zip(batch.passages, batch.vectors, strict=True):
            row = {
                "id": passage.id,
                "text": passage.text,
                "source": passage.source,
                "meta": dict(passage.meta),
                "vector": [float(x) for x in vector],
            }
            file.write(json.dumps(row) + "\n")
    return f"jsonl:{path}"
