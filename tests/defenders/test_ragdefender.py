from __future__ import annotations

import itertools

import numpy as np
import pytest

from ragshield.defenders.ragdefender import RAGDefender, pair_weights
from ragshield.errors import InputError, UsageError
from ragshield.records import Action, Hit, Passage, Retrieval
from ragshield.vectors import cosine_matrix

MODES = [*itertools.product(("paper", "released"), ("single", "multi"))]


def retrieval(texts: list[str], vectors: np.ndarray) -> Retrieval:
    hits = tuple(Hit(Passage(f"p{i}", text), 0.5) for i, text in enumerate(texts))
    vectors = np.asarray(vectors, np.float32)
    return Retrieval("Who?", hits, vectors, np.ones(vectors.shape[1], np.float32))


def attacked(encoder, n_clean: int = 4, n_poison: int = 5) -> Retrieval:
    """Poison that says the same in other words, beside unrelated clean passages."""
    poison = [
        f"The mayor of the harbour town was Orla Venn in {1900 + i}." for i in range(n_poison)
    ]
    clean = [
        "Herring was salted in barrels and shipped to the southern islands.",
        "A comet passed over the observatory during the coldest winter.",
        "The railway museum keeps nine engines and a wooden crane.",
        "School choirs sing every spring beneath the old viaduct.",
        "Glass from this valley was sold as far as the coast.",
        "Two rivers meet below the castle and flood the meadows.",
    ][:n_clean]
    texts = poison + clean
    return retrieval(texts, encoder.encode(texts))


def removed(verdict) -> list[str]:
    return [f.passage_id for f in verdict.dropped]


@pytest.mark.parametrize("mode", ["paper", "released"])
def test_single_hop_removes_exactly_five_poisoned_passages_beside_four(mode, word_encoder):
    verdict = RAGDefender(mode, "single").inspect(attacked(word_encoder))
    assert removed(verdict) == ["p0", "p1", "p2", "p3", "p4"]
    assert verdict.kept_ids == ("p5", "p6", "p7", "p8")
    assert verdict.status == "majority_assumption_violated"
    evidence = verdict.findings[0].evidence
    assert (evidence["n_adv"], evidence["n_hits"], evidence["n_min"]) == (5, 9, 4)
    assert evidence["n_tfidf"] == 5
    assert set(evidence["top_terms"]) == {"harbour", "mayor", "orla", "town", "venn"}


def test_released_multi_hop_removes_more_than_half_and_the_papers_cannot(word_encoder):
    judged = attacked(word_encoder, n_clean=2)
    released = RAGDefender("released", "multi").inspect(judged)
    assert removed(released) == ["p0", "p1", "p2", "p3", "p4"]
    paper = RAGDefender("paper", "multi").inspect(judged)
    assert len(removed(paper)) <= 3
    assert set(removed(paper)) < set(removed(released))


def test_suspicion_is_the_mean_squared_similarity_to_the_group(word_encoder):
    judged = attacked(word_encoder)
    verdict = RAGDefender("paper", "single").inspect(judged)
    cosines = cosine_matrix(judged.vectors)[:5, :5]
    expected = (np.square(cosines).sum(axis=1) - 1) / 4
    assert [f.suspicion for f in verdict.findings[:5]] == pytest.approx(expected.tolist(), abs=1e-5)
    assert [f.suspicion for f in verdict.findings[5:]] == [0, 0, 0, 0]


@pytest.mark.parametrize(("mode", "hop"), MODES)
def test_no_removed_passage_is_less_suspicious_than_a_kept_one(mode, hop):
    rng = np.random.default_rng(0)
    for n in range(3, 15):
        judged = retrieval([f"text {i} river {i % 3}" for i in range(n)], rng.normal(size=(n, 6)))
        findings = RAGDefender(mode, hop).inspect(judged).findings
        dropped = [f.suspicion for f in findings if f.action is Action.DROP]
        kept = [f.suspicion for f in findings if f.action is Action.KEEP]
        assert all(0 <= s <= 1 for s in dropped + kept)
        assert min(dropped, default=1) >= max(kept, default=0) - 1e-6


@pytest.mark.parametrize("mode", ["paper", "released"])
def test_single_hop_always_removes_one_and_keeps_one(mode):
    rng = np.random.default_rng(1)
    for _ in range(300):
        n = int(rng.integers(2, 15))
        texts = [" ".join(rng.choice(["river", "mayor", "bridge", "town"], 4)) for _ in range(n)]
        kept = RAGDefender(mode, "single").inspect(retrieval(texts, rng.normal(size=(n, 5)))).kept
        assert 1 <= len(kept) <= n - 1


@pytest.mark.parametrize(("mode", "hop"), MODES)
def test_one_passage_is_not_judged_and_is_kept(mode, hop):
    judged = retrieval(["A lone passage."], np.ones((1, 4)))
    verdict = RAGDefender(mode, hop).inspect(judged)
    assert verdict.kept == judged.hits
    assert verdict.status == "not_judged"
    assert verdict.findings[0].suspicion is None


def test_two_passages_are_not_judged_by_the_papers_multi_hop_and_removed_by_the_code():
    judged = retrieval(["One.", "Two."], np.eye(2))
    paper = RAGDefender("paper", "multi").inspect(judged)
    assert (paper.status, paper.kept_ids) == ("not_judged", ("p0", "p1"))
    released = RAGDefender("released", "multi").inspect(judged)
    assert removed(released) == ["p0", "p1"]
    assert released.kept == ()


@pytest.mark.parametrize(("mode", "hop"), MODES)
def test_passages_of_stop_words_only_are_judged_without_terms(mode, hop):
    judged = retrieval(["It is what it is.", "They were there.", "Who are you?"], np.eye(3) + 0.1)
    assert len(RAGDefender(mode, hop).inspect(judged).findings) == 3


def test_a_count_of_one_is_decided_by_list_order_as_released_only():
    # p0 and p1 are the best pair; p1 is nearer to the rest.
    vectors = np.array([[1, 0, 0], [0.96, 0.28, 0], [0.8, 0.6, 0], [0, 0, -1]], np.float32)
    judged = retrieval(["red fox", "blue owl", "green elk", "black bat"], vectors)
    turned = judged.select([1, 0, 2, 3])
    for ties, expected in (
        ("released", [["p0"], ["p1"]]),
        ("rank", [["p0"], ["p1"]]),
        ("content", [["p1"], ["p1"]]),
    ):
        guard = RAGDefender("released", "single", ties=ties)
        found = [removed(guard.inspect(each)) for each in (judged, turned)]
        assert guard.inspect(judged).findings[0].evidence["n_adv"] == 1
        assert found == expected


@pytest.mark.parametrize(("mode", "hop"), MODES)
def test_ties_by_content_make_the_order_of_the_hits_irrelevant(mode, hop, word_encoder):
    rng = np.random.default_rng(2)
    guard = RAGDefender(mode, hop, ties="content")
    judged = attacked(word_encoder, n_clean=6, n_poison=3)
    judged = judged.select([*range(9), 0, 7])  # two passages occur twice
    expected = sorted((f.passage_id, f.suspicion, f.action) for f in guard.inspect(judged).findings)
    for _ in range(20):
        turned = judged.select(rng.permutation(len(judged)).tolist())
        found = sorted(
            (f.passage_id, f.suspicion, f.action) for f in guard.inspect(turned).findings
        )
        assert found == expected


def test_pair_weights_follow_equations_4_to_6_by_hand():
    cosines = np.array(
        [[1, 0.9, 0.5, 0.1], [0.9, 1, 0.8, 0], [0.5, 0.8, 1, -0.4], [0.1, 0, -0.4, 1]], np.float32
    )
    assert pair_weights(cosines, 0).tolist() == [0, 0, 0, 0]
    assert pair_weights(cosines, 1) == pytest.approx([0.81, 0.81, 0, 0])
    assert pair_weights(cosines, 2) == pytest.approx([0.81, 0.81, 0, 0])
    assert pair_weights(cosines, 3) == pytest.approx([1.06, 1.45, 0.89, 0])
    every = pair_weights(cosines, 4)
    assert every == pytest.approx([1.07, 1.45, 0.89 - 0.16, 0.01 - 0.16])
    assert pair_weights(cosines, 3, p=1) == pytest.approx([1.4, 1.7, 1.3, 0])


def test_vectors_need_not_be_unit_length_and_lengths_matter_to_the_clusters_only():
    rng = np.random.default_rng(3)
    judged = retrieval([f"word{i} river" for i in range(8)], rng.normal(size=(8, 5)))
    scaled = retrieval([f"word{i} river" for i in range(8)], judged.vectors * 7)
    for mode, hop in MODES:
        guard = RAGDefender(mode, hop)
        assert guard.inspect(scaled).kept_ids == guard.inspect(judged).kept_ids


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "papers"}, "mode is 'papers'; allowed: paper, released"),
        ({"hop": "auto"}, "hop is 'auto'; allowed: single, multi"),
        ({"ties": "list"}, "ties is 'list'; allowed: content, rank, released"),
        ({"m": 0}, "m is 0; it must be a whole number >= 1"),
        ({"m": 2.5}, "m is 2.5; it must be a whole number >= 1"),
        ({"p": 0.5}, "p is 0.5; it must be at least 1"),
        ({"min_hits": 1}, "min_hits is 1; it must be a whole number >= 2"),
    ],
)
def test_refuses_options_that_make_no_sense(options, message):
    with pytest.raises(UsageError, match=message):
        RAGDefender(**options)


def test_refuses_vectors_that_hold_nan():
    judged = retrieval(["One.", "Two.", "Three."], [[1, 0], [np.nan, 1], [0, 1]])
    with pytest.raises(InputError, match="row 1 holds NaN"):
        RAGDefender().inspect(judged)
