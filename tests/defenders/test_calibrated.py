from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragshield.calibration import calibrate
from ragshield.calibration.drawing import draw_questions
from ragshield.corpora.world import load
from ragshield.defenders.calibrated import Calibrated
from ragshield.defenders.calibrated_drift import DriftMonitor
from ragshield.defenders.calibrated_shield import Shield, read_shield, write_shield
from ragshield.defenders.fused import Fused
from ragshield.defenders.fused_model import Group
from ragshield.errors import InputError, UsageError
from ragshield.records import Action, Batch, Passage, Retrieval
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MemoryStore
from ragshield.text import content_words


class Words:
    """A bag of words; the fixture of the same kind lives too short for a shared shield."""

    name, dim = "words", 48

    def encode(self, texts):
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in content_words(text) or ["<empty>"]:
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
                row += np.random.default_rng(seed).standard_normal(self.dim)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def passages() -> tuple[Passage, ...]:
    return load(seed=0, people=100, firms=35, places=30).passages


@pytest.fixture(scope="module")
def retriever(passages) -> StoreRetriever:
    vectors = Words().encode([p.text for p in passages])
    return StoreRetriever(MemoryStore("memory:", Batch(passages, vectors)), Words())


@pytest.fixture(scope="module")
def shield(retriever) -> Shield:
    return calibrate(retriever.store, Words(), k=10, n_questions=150, n_attacked=5)


@pytest.fixture(scope="module")
def fresh(passages, retriever) -> list[Retrieval]:
    drawn = draw_questions(passages, 420, seed=8)
    return [retriever.retrieve(h.target.question.text) for h in drawn]


def poisoned(retriever: StoreRetriever, question: str) -> Retrieval:
    found = retriever.retrieve(question, 9)
    text = f"{question}. {question} It is Orla Venn."
    vector = Words().encode([text])
    passage = Passage("x", text)
    hit = replace(found.hits[0], passage=passage, similarity=0.99)
    return Retrieval(
        question, (hit, *found.hits), np.vstack([vector, found.vectors]), found.question_vector
    )


QUESTION = "Where was the founder of the brewery near the old bridge born?"


def test_a_dropped_hit_has_a_small_p_value_and_says_so(shield, retriever) -> None:
    verdict = Calibrated(shield).inspect(poisoned(retriever, QUESTION))
    assert [f.passage_id for f in verdict.dropped] == ["x"]
    finding = verdict.findings[0]
    assert finding.detector == verdict.detector == "calibrated"
    assert finding.evidence["p_value"] <= 0.01
    assert finding.evidence["budget"] == 0.01
    assert finding.evidence["threshold"] == shield.threshold
    assert f"p = {finding.evidence['p_value']:.2g}" in finding.reason
    assert verdict.status == "filtered"


def test_dropped_is_exactly_what_has_a_p_value_within_the_budget(shield, fresh) -> None:
    guard = Calibrated(shield)
    findings = [f for r in fresh[:150] for f in guard.inspect(r).findings]
    assert all(
        (f.action is Action.DROP) == (f.evidence["p_value"] <= shield.budget) for f in findings
    )
    ordered = sorted(findings, key=lambda f: f.evidence["critical"])
    p_values = [f.evidence["p_value"] for f in ordered]
    assert p_values == sorted(p_values, reverse=True)


def test_p_values_of_fresh_honest_hits_are_no_smaller_than_uniform(shield, fresh) -> None:
    guard = Calibrated(shield)
    p = np.array([f.evidence["p_value"] for r in fresh for f in guard.inspect(r).findings])
    for level in (0.02, 0.05, 0.1, 0.2, 0.5):
        assert (p <= level).mean() <= level + 0.05 * np.sqrt(level)


def test_without_a_shield_it_is_fused_and_says_that_it_is_uncalibrated(fresh) -> None:
    guard, fused = Calibrated(), Fused()
    for retrieval in fresh[:20]:
        one, two = guard.inspect(retrieval), fused.inspect(retrieval)
        assert one.kept == two.kept
        assert [f.suspicion for f in one.findings] == [f.suspicion for f in two.findings]
        assert all(f.evidence["calibrated"] is False for f in one.findings)
        assert all("p_value" not in f.evidence for f in one.findings)
    assert guard.warnings[0].startswith("uncalibrated")
    assert not guard.drifted


def test_a_shield_survives_its_file(shield, tmp_path: Path) -> None:
    path = tmp_path / "shield.toml"
    write_shield(shield, path)
    assert read_shield(path) == shield
    assert Calibrated(path).threshold == Calibrated(str(path)).threshold == shield.threshold


def test_a_shield_holds_no_text_and_no_id(shield, passages, tmp_path: Path) -> None:
    write_shield(shield, tmp_path / "shield.toml")
    text = (tmp_path / "shield.toml").read_text(encoding="utf-8")
    assert not any(p.id in text for p in passages)
    assert "Orla" not in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 99", "has schema 99, this ragshield reads 1"),
        ('format = "ragshield-shield"', 'format = "x"', "is no calibration"),
        ("threshold = ", "threshold = nan #", "threshold is nan"),
        ("threshold = ", "threshold = true #", "threshold is True"),
        ("threshold = ", "limit = ", "unknown entry 'limit'"),
        ("shares = [1.0", "shares = [0.0, 1.0", "shares is not in order"),
        ("shares = [1.0, ", "shares = [", "differ in length"),
        ("suspicions = [", 'suspicions = ["x", ', "damaged"),
        ("n_questions = ", "n_questions = -", "n_questions is -150"),
        ("[store]", "[shop]", "'store' is missing"),
        ("k = ", "k = = ", "not TOML"),
    ],
)
def test_a_damaged_shield_is_refused_with_a_reason(shield, tmp_path, old, new, message) -> None:
    path = tmp_path / "shield.toml"
    write_shield(shield, path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_shield(path)


def test_a_missing_shield_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; make it with: ragshield calibrate"):
        Calibrated(tmp_path / "none.toml")


def test_a_shield_of_other_weights_is_refused(shield) -> None:
    with pytest.raises(InputError, match=r"other weights of the fused defender.*recalibrate"):
        Calibrated(replace(shield, weights_sha256="0" * 64))


def test_vectors_of_another_width_are_refused(shield, fresh) -> None:
    found = fresh[0]
    narrow = replace(
        found, vectors=found.vectors[:, :20], question_vector=found.question_vector[:20]
    )
    with pytest.raises(
        InputError, match=r"encoder 'words' \(48 dimensions\), this retrieval has 20"
    ):
        Calibrated(shield).inspect(narrow)


def test_another_k_is_noted_once_and_does_not_count_for_drift(shield, retriever, caplog) -> None:
    guard = Calibrated(shield, drift_window=20)
    with caplog.at_level(logging.WARNING, "ragshield.guard"):
        for k in (30, 40, 2):
            verdict = guard.inspect(retriever.retrieve(QUESTION, k))
            assert verdict.findings[0].evidence["calibrated_k"] == 10
    assert len(caplog.records) == 1
    assert "calibrate with --k 30" in guard.warnings[-1]


def test_questions_like_those_calibrated_on_are_no_drift(shield, fresh) -> None:
    guard = Calibrated(shield, drift_window=100)
    for retrieval in fresh:
        guard.inspect(retrieval)
    assert guard._monitor.n_windows == 4
    assert not guard.drifted


def test_a_store_that_has_changed_is_reported_once_and_noted_in_the_evidence(
    shield, fresh, caplog
) -> None:
    guard = Calibrated(shield, drift_window=50)
    # Another encoder of the same width: similarities fall to chance.
    turned = [
        replace(r, question_vector=np.roll(r.question_vector, 7), vectors=r.vectors) for r in fresh
    ]
    with caplog.at_level(logging.WARNING, "ragshield.guard"):
        for retrieval in turned[:120]:
            verdict = guard.inspect(retrieval)
    assert guard.drifted
    assert len(caplog.records) == 1
    assert guard.warnings[-1].startswith("drift: the median")
    assert "is not as in the calibration" in verdict.findings[0].evidence["drift"]


@pytest.mark.parametrize("params", [{"drift_window": 5}, {"false_alarm": 0.0}])
def test_a_drift_test_out_of_range_is_refused(shield, params) -> None:
    with pytest.raises(UsageError, match="calibrated: "):
        Calibrated(shield, **params)


def test_drift_is_counted_once_over_many_threads(shield, fresh) -> None:
    guard = Calibrated(shield, drift_window=40)

    def work(part: int) -> None:
        for retrieval in fresh[part::4]:
            guard.inspect(retrieval)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert guard._monitor.n_windows == len(fresh) // 40


def test_false_alarms_stay_below_the_stated_rate() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        reference = np.sort(rng.random(100))
        monitor = DriftMonitor({"x": reference}, 100, window=25, false_alarm=0.1)
        for value in rng.random(500):
            monitor.observe({"x": float(value)})
        alarms += monitor.report is not None
    assert alarms / 200 <= 0.1


def test_a_shift_of_half_a_distribution_is_found_in_the_next_window() -> None:
    rng = np.random.default_rng(1)
    monitor = DriftMonitor({"x": np.sort(rng.random(300))}, 300, window=200)
    reports = [monitor.observe({"x": float(v)}) for v in rng.random(200)]
    assert not any(reports)
    reports = [monitor.observe({"x": float(v)}) for v in 0.5 + rng.random(200)]
    assert reports[-1].startswith("the x of the last 200 retrievals")
    assert monitor.observe({"x": 0.0}) is None


def test_critical_is_the_highest_threshold_at_which_fused_drops_a_hit(retriever, fresh) -> None:
    cases = [*fresh[:40], poisoned(retriever, QUESTION)]
    for threshold in (0.003, 0.02, 0.1, 0.4):
        guard = Fused(threshold=threshold)
        for retrieval in cases:
            for finding in guard.inspect(retrieval).findings:
                critical = finding.evidence["critical"]
                assert (finding.action is Action.DROP) == (critical >= threshold)


@pytest.mark.parametrize("seed", range(20))
def test_critical_sums_are_exact_for_hits_that_carry_one_another(seed: int) -> None:
    rng = np.random.default_rng(seed)
    total = rng.normal(size=8)
    claim = total - rng.choice([0.0, 0.3, 2.0], size=8)
    pairs = np.clip(rng.normal(0.6, 0.2, size=(8, 8)), -1, 1)
    pairs = np.minimum(pairs, pairs.T)
    np.fill_diagonal(pairs, -1.0)
    group = Group(lift=2.0, start=0.5, width=0.3)
    critical = group.critical(total, claim, pairs)
    n_carried = 0
    for logit in np.linspace(-4, 4, 161) + 1e-4:
        dropped = group.raised(total, claim, pairs, logit) >= logit
        assert np.array_equal(dropped, critical >= logit)
        n_carried += int((dropped & (total < logit)).sum())
    assert n_carried > 0
