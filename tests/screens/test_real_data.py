"""The screens on real questions, with the real encoder."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from ragshield.records import Batch, Passage
from ragshield.scanning import scan
from ragshield.stores.memory import MemoryStore

pytestmark = [pytest.mark.model, pytest.mark.slow]

N_QUESTIONS = 8


@pytest.fixture(scope="module")
def clean_and_rows(shared_data, minilm):
    with gzip.open(shared_data / "poisoned_qa.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    texts = list(dict.fromkeys(t for row in rows for t in row["golden"] + row["clean_other"]))
    passages = tuple(Passage(f"clean-{i}", text) for i, text in enumerate(texts))
    return Batch(passages, minilm.encode(texts)), rows[:: len(rows) // N_QUESTIONS][:N_QUESTIONS]


def test_clean_passages_are_not_accused(clean_and_rows) -> None:
    clean, _ = clean_and_rows
    report = scan(MemoryStore("memory:clean", clean))
    assert len({f.passage_id for f in report.findings}) <= 0.01 * len(clean)


@pytest.mark.parametrize(("prefix", "least"), [(True, 0.95), (False, 0.7)])
def test_five_poisoned_texts_a_question_are_found(clean_and_rows, minilm, prefix, least) -> None:
    clean, rows = clean_and_rows
    texts = [
        (row["question"] + "." if prefix else "") + text
        for row in rows
        for text in row["poison"]["poisonedrag"]
    ]
    poison = tuple(Passage(f"poison-{i}", text) for i, text in enumerate(texts))
    vectors = np.vstack([clean.vectors, minilm.encode(texts)])
    report = scan(MemoryStore("memory:poisoned", Batch(clean.passages + poison, vectors)))
    found = {f.passage_id for f in report.findings}
    assert len(found & {p.id for p in poison}) >= least * len(poison)
    assert len(found - {p.id for p in poison}) <= 0.01 * len(clean)
