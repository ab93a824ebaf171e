"""A shield given to the guard itself: what is built, and what is held against the store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ragshield
from ragshield.calibration import calibrate
from ragshield.calibration.reading import read_store
from ragshield.chain import DefenderChain
from ragshield.defenders.calibrated import Calibrated
from ragshield.defenders.calibrated_shield import Shield, write_shield
from ragshield.defenders.calibrated_store import moved
from ragshield.errors import InputError, UsageError
from ragshield.experiment import Experiment
from ragshield.protocols import StoreFacts
from ragshield.records import Batch, Passage, Spec
from ragshield.retriever import StoreRetriever, store_facts
from ragshield.stores.memory import MemoryStore

TOWNS = [f"{a}{b}" for a in ("North", "East", "Old", "Lower", "Upper") for b in "abcdefgh"]
KINDS = ("bridge", "market", "tower", "school", "mill")


def texts(n: int = 200) -> list[str]:
    facts = [
        f"The {kind} of {town} was built in {1700 + 7 * i + j} by the {kind} masters of {town}."
        for i, town in enumerate(TOWNS)
        for j, kind in enumerate(KINDS)
    ]
    return facts[:n]


@pytest.fixture
def store_of(word_encoder) -> Callable[..., MemoryStore]:
    def make(given: list[str]) -> MemoryStore:
        passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(given))
        return MemoryStore("memory:towns", Batch(passages, word_encoder.encode(given)))

    return make


@pytest.fixture
def shield(store_of, word_encoder) -> Shield:
    return calibrate(
        store_of(texts()), word_encoder, budget=0.05, k=12, n_questions=40, n_attacked=0
    )


@pytest.fixture
def shield_file(shield: Shield, tmp_path: Path) -> Path:
    path = tmp_path / "shield.toml"
    write_shield(shield, path)
    return path


QUESTION = "When was the bridge of Northc built?"


def test_the_guard_takes_the_file_or_what_is_in_it(store_of, word_encoder, shield, shield_file):
    retriever = StoreRetriever(store_of(texts()), word_encoder)
    for given in (shield, shield_file, str(shield_file)):
        found = ragshield.Guard(retriever, shield=given).retrieve(QUESTION, k=5)
        assert len(found) == 5
        assert found.verdict.detector == "calibrated"
        evidence = found.verdict.findings[0].evidence
        assert (evidence["budget"], evidence["n_calibration"]) == (0.05, 40)
        assert "drift" not in evidence
        assert "calibrated to remove at most 0.05 of the honest" in found.verdict.explain()


def test_it_judges_as_many_hits_as_it_was_calibrated_with(shield):
    chain = DefenderChain(shield=shield)
    assert [chain.depth(k) for k in (1, 10, 12, 30)] == [12, 12, 12, 30]
    assert chain.depth(10, 40) == 40


def test_without_a_shield_the_default_says_that_it_is_not_calibrated(store_of, word_encoder):
    retriever = StoreRetriever(store_of(texts()), word_encoder)
    said = ragshield.Guard(retriever).retrieve(QUESTION).verdict.explain()
    assert "The threshold is ragshield's default and not calibrated on this store" in said
    bare = ragshield.Guard(retriever, "calibrated").retrieve(QUESTION).verdict.explain()
    assert "default and not calibrated on this store" in bare


def test_judge_takes_a_shield(shield, word_encoder):
    verdict = ragshield.judge(QUESTION, texts(12), encoder=word_encoder, shield=shield)
    assert 0 < verdict.findings[0].evidence["p_value"] <= 1


def test_a_shield_beside_defenders_is_refused(store_of, word_encoder, shield):
    retriever = StoreRetriever(store_of(texts()), word_encoder)
    with pytest.raises(UsageError, match="give either a shield or defenders"):
        ragshield.Guard(retriever, "tris", shield=shield)
    with pytest.raises(UsageError, match="give either a shield or defenders"):
        ragshield.judge(QUESTION, ["x"], defender="tris", shield=shield)


def test_a_missing_foreign_or_outdated_file_is_one_clear_line(
    store_of, word_encoder, shield, tmp_path
):
    retriever = StoreRetriever(store_of(texts()), word_encoder)
    foreign = tmp_path / "pyproject.toml"
    foreign.write_text("[project]\nname = 'x'\n")
    outdated = tmp_path / "old.toml"
    write_shield(replace(shield, weights_sha256="0" * 64), outdated)
    for path, message in (
        (tmp_path / "none.toml", "none.toml does not exist; make it with: ragshield calibrate"),
        (foreign, "is no calibration; make one with: ragshield calibrate URL"),
        (outdated, "with other weights of the fused defender"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            ragshield.Guard(retriever, shield=path)
        assert "\n" not in str(caught.value)


def test_another_encoder_or_width_is_an_error_when_the_guard_is_built(store_of, shield):
    wide = _named("word-hash", 96)
    other = _named("other", 64)
    for encoder, message in (
        (wide, r"'word-hash' \(64 dimensions\), this retriever uses 'word-hash' \(96 dim"),
        (other, r"'word-hash' \(64 dimensions\), this retriever uses 'other' \(64 dimensions\)"),
    ):
        rows = encoder.encode(texts())
        passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(texts()))
        store = MemoryStore("memory:towns", Batch(passages, rows))
        with pytest.raises(InputError, match=message):
            ragshield.Guard(StoreRetriever(store, encoder), shield=shield)
        with pytest.raises(InputError, match="use that encoder, or calibrate again"):
            ragshield.Guard(StoreRetriever(store, encoder), Calibrated(shield))


def _named(name: str, dim: int) -> Any:
    class Named:
        def __init__(self) -> None:
            self.name, self.dim = name, dim

        def encode(self, given):
            rows = [np.random.default_rng(len(t)).standard_normal(dim) for t in given]
            return np.array(rows, dtype=np.float32)

    return Named()


def test_a_store_that_grew_is_a_drift_in_log_evidence_and_words(
    store_of, word_encoder, shield, caplog
):
    grown = StoreRetriever(
        store_of([*texts(), *(f"New fact {i}." for i in range(40))]), word_encoder
    )
    with caplog.at_level(logging.WARNING, logger="ragshield.guard"):
        guard = ragshield.Guard(grown, shield=shield)
    assert "drift: the store holds 240 passages, it held 200 when calibrated" in caplog.text
    (defender,) = guard.defenders
    assert defender.drifted
    verdict = guard.retrieve(QUESTION).verdict
    assert verdict.findings[0].evidence["drift"].startswith("the store holds 240 passages")
    assert "may not hold any more: the store holds 240 passages" in verdict.explain()


def test_other_passages_in_the_same_number_are_a_drift(store_of, word_encoder, shield):
    other = [f"Recipe {i}: whisk {i} eggs with sugar, flour and butter." for i in range(200)]
    guard = ragshield.Guard(StoreRetriever(store_of(other), word_encoder), shield=shield)
    drift = guard.retrieve("how many eggs").verdict.findings[0].evidence["drift"]
    assert drift == "the store's passages are about other things than when it was calibrated"


def test_a_few_new_passages_are_no_drift(store_of, word_encoder, shield, caplog):
    near = [*texts()[5:], *(f"The old well of {town} is deep." for town in TOWNS[:15])]
    guard = ragshield.Guard(StoreRetriever(store_of(near), word_encoder), shield=shield)
    assert "drift" not in guard.retrieve(QUESTION).verdict.findings[0].evidence
    assert caplog.text == ""


def test_a_large_store_is_counted_and_not_read(word_encoder, shield):
    class Large(MemoryStore):
        def count(self):
            return 1_000_000

        def batches(self, size=1024):
            raise AssertionError("read")

    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(texts()))
    store = Large("memory:large", Batch(passages, word_encoder.encode(texts())))
    facts = store_facts(StoreRetriever(store, word_encoder))
    assert (facts.n_passages, facts.dim, facts.encoder) == (1_000_000, 64, "word-hash")
    assert facts.vectors is None
    assert moved(shield, facts) == "the store holds 1,000,000 passages, it held 200 when calibrated"


def test_the_same_store_shows_no_move(store_of, word_encoder, shield):
    store = store_of(texts())
    facts = store_facts(StoreRetriever(store, word_encoder))
    assert facts.vectors.shape == (200, 64)
    assert moved(shield, facts) is None
    assert read_store(store, 10).fingerprint.mean_projection == shield.store.mean_projection
    assert moved(shield, StoreFacts()) is None


def test_what_has_no_store_is_not_held_against_one(shield):
    class Elsewhere:
        def retrieve(self, question, k=10):
            raise AssertionError("asked")

    assert store_facts(Elsewhere()) is None
    assert not ragshield.Guard(Elsewhere(), shield=shield).defenders[0].drifted


def test_an_experiment_with_a_shield_of_another_encoder_fails_before_it_starts(
    shield_file, word_encoder
):
    word_encoder.name = "other"
    experiment = Experiment(
        corpora={"world": Spec("corpus", "world")},
        defenders={"mine": Spec("defender", "calibrated", {"shield": str(shield_file)})},
    )
    with pytest.raises(InputError, match="this retriever uses 'other'"):
        list(experiment.run(encoder=word_encoder))
    assert word_encoder.n_texts == 200 + 40
