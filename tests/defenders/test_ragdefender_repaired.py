"""RAGDefender repaired: finds one, finds none, has no ceiling, minds no order."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ragshield.defenders.ragdefender import pair_weights
from ragshield.defenders.ragdefender_repaired import RAGDefenderRepaired, ranked_groups
from ragshield.errors import InputError, UsageError
from ragshield.records import Hit, Passage, Retrieval, Verdict

DIM = 64


def retrieval(n_clean: int, n_poison: int, *, seed: int = 0, squeeze: float = 0.0) -> Retrieval:
    """Clean hits about a subject, poison close around the question.

    Cosines in round figures: question to clean .5, clean to clean .5, poison to question
    .9. `squeeze` adds a shared direction, as encoders do whose cosines are all high.
    """
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]
    subject, asked_only, shared = basis[0], basis[1], basis[2]
    own = basis[3:]
    asked = (subject + asked_only) / np.sqrt(2)
    clean = [(subject + own[i]) / np.sqrt(2) for i in range(n_clean)]
    poison = [asked * 0.9 + own[n_clean + i] * np.sqrt(1 - 0.81) for i in range(n_poison)]
    rows = np.array([asked, *clean, *poison])
    rows = np.sqrt(1 - squeeze) * rows + np.sqrt(squeeze) * shared
    rows = rows.astype(np.float32)
    ids = [f"c{i}" for i in range(n_clean)] + [f"x{i}" for i in range(n_poison)]
    hits = tuple(Hit(Passage(i, f"text {i}"), 0.5) for i in ids)
    return Retrieval("Who?", hits, rows[1:], rows[0])


def dropped(verdict: Verdict) -> set[str]:
    return {finding.passage_id for finding in verdict.dropped}


@pytest.mark.parametrize("n", [3, 5, 10, 37])
def test_drops_nothing_where_nothing_stands_apart(n: int) -> None:
    verdict = RAGDefenderRepaired().inspect(retrieval(n, 0))
    assert (dropped(verdict), verdict.status) == (set(), "clean")
    assert max(f.suspicion for f in verdict.findings) < 0.5


@pytest.mark.parametrize("n_poison", [1, 2, 5])
def test_removes_exactly_the_poison_among_ten(n_poison: int) -> None:
    verdict = RAGDefenderRepaired().inspect(retrieval(10, n_poison))
    assert dropped(verdict) == {f"x{i}" for i in range(n_poison)}
    assert verdict.status == "filtered"
    assert min(f.suspicion for f in verdict.dropped) >= 0.5


def test_the_count_has_no_ceiling_at_half_and_says_that_the_poison_is_the_majority() -> None:
    verdict = RAGDefenderRepaired(separation=2.0).inspect(retrieval(3, 9))
    assert dropped(verdict) == {f"x{i}" for i in range(9)}
    assert verdict.status == "majority_assumption_violated"


@pytest.mark.parametrize("seed", range(5))
def test_neither_the_order_of_the_hits_nor_that_of_the_list_matters(seed: int) -> None:
    judged = retrieval(8, 2, seed=seed)
    shuffled = judged.select(np.random.default_rng(seed).permutation(10).tolist())
    first = RAGDefenderRepaired().inspect(judged)
    second = RAGDefenderRepaired().inspect(shuffled)
    assert {f.passage_id: f for f in first.findings} == {f.passage_id: f for f in second.findings}


@pytest.mark.parametrize("squeeze", [0.5, 0.9])
def test_an_encoder_whose_cosines_are_all_high_changes_nothing(squeeze: float) -> None:
    guard = RAGDefenderRepaired()
    plain, squeezed = (guard.inspect(retrieval(10, 2, squeeze=s)) for s in (0.0, squeeze))
    assert dropped(squeezed) == dropped(plain) == {"x0", "x1"}
    for before, after in zip(plain.dropped, squeezed.dropped, strict=True):
        expected = before.evidence["group_separation"]
        assert after.evidence["group_separation"] == pytest.approx(expected, rel=1e-3)


def test_the_ranking_is_that_of_ragdefender_on_the_pairs_with_the_question() -> None:
    judged = retrieval(6, 3)
    rows = np.vstack([judged.question_vector, judged.vectors])
    cosines = rows @ rows.T
    for g, group in enumerate(ranked_groups(cosines), start=1):
        weights = pair_weights(cosines, g + 1)[1:]
        assert len(group) == g
        rest = [w for i, w in enumerate(weights) if i not in group]
        assert min(weights[group]) >= max(rest) - 1e-6


def test_separation_is_the_ratio_of_mean_distances_worked_out_by_hand() -> None:
    # Question and x0 at .9: inside .1. c0..c2 to the question .5, to x0 .45: outside .525.
    verdict = RAGDefenderRepaired().inspect(retrieval(3, 1))
    assert dropped(verdict) == {"x0"}
    found = verdict.findings[3].evidence["group_separation"]
    assert found == pytest.approx(0.525 / 0.1, abs=1e-4)
    assert verdict.findings[3].suspicion == pytest.approx(5.25 / 8.25, abs=1e-4)
    assert "5.2 times nearer" in verdict.findings[3].reason


def test_two_hits_are_not_judged() -> None:
    verdict = RAGDefenderRepaired().inspect(retrieval(1, 1))
    assert (dropped(verdict), verdict.status) == (set(), "not_judged")
    assert [f.suspicion for f in verdict.findings] == [None, None]


@pytest.mark.parametrize("wrong", [{"separation": 1.0}, {"p": 0.5}, {"min_hits": 1}])
def test_refuses_arguments_that_mean_nothing(wrong) -> None:
    with pytest.raises(UsageError, match=f"ragdefender-repaired: {next(iter(wrong))} is"):
        RAGDefenderRepaired(**wrong)


def test_refuses_a_question_vector_of_another_width() -> None:
    judged = retrieval(5, 0)
    broken = Retrieval("Who?", judged.hits, judged.vectors, judged.question_vector[:5])
    with pytest.raises(InputError, match="question_vector has 5 dimensions"):
        RAGDefenderRepaired().inspect(broken)


@pytest.mark.model
@pytest.mark.slow
def test_on_real_contexts_it_costs_little_and_finds_one_prefixed_passage(
    minilm, shared_data
) -> None:
    lines = (shared_data / "retrieved_contexts.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    n_lost = n_found = 0
    for row in rows:
        texts = [*row["contexts"], f"{row['question']}.{row['poison'][0]}"]
        vectors = minilm.encode([row["question"], *texts])
        hits = tuple(Hit(Passage(str(i), text), 0.5) for i, text in enumerate(texts))
        judged = Retrieval(row["question"], hits, vectors[1:], vectors[0])
        n_lost += len(dropped(RAGDefenderRepaired().inspect(judged.select(range(10)))))
        n_found += "10" in dropped(RAGDefenderRepaired().inspect(judged))
    # Measured: 4 of 500 and 39 of 50. RAGDefender: 190 of 500 and 29 of 50.
    assert n_lost <= 8
    assert n_found >= 36
