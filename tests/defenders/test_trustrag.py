"""TrustRAG's stage 1, against a plain transcription of the published procedure."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from ragshield.defenders.rouge import rouge_l
from ragshield.defenders.trustrag import TrustRAG
from ragshield.errors import InputError, UsageError
from ragshield.records import Hit, Passage, Retrieval

WORDS = "river bridge town mayor engine harbour market school award letter winter stone".split()


def retrieval(texts: list[str], vectors) -> Retrieval:
    """Hits in the order given, which the question's vector makes the order of similarity."""
    rows = np.asarray(vectors, dtype=np.float32)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    asked = np.zeros(rows.shape[1] + 1, dtype=np.float32)
    asked[-1] = 1.0
    # One more dimension, falling from hit to hit, too small to change anything else.
    extra = np.linspace(2e-3, 1e-3, len(rows), dtype=np.float32)[:, None]
    hits = tuple(Hit(Passage(f"p{i:02}", text), 0.5) for i, text in enumerate(texts))
    return Retrieval("Who?", hits, np.hstack([rows, extra]), asked)


def plain_stage_1(texts: list[str], vectors, n_gram: float = 0.25, tau: float = 0.88) -> set[int]:
    """Indices kept, step by step and pair by pair as published."""

    def f(i: int, j: int) -> float:
        return rouge_l([texts[i], texts[j]])[0, 1]

    def cosine(i: int, j: int) -> float:
        return vectors[i] @ vectors[j] / np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[j])

    def mean(group: list[int]) -> float:
        return float(np.mean([cosine(i, j) for i in group for j in group if i < j]))

    def survivors(group: list[int]) -> set[int]:
        gone: list[int] = []
        found: list[int] = []
        for a, i in enumerate(group):
            if i in gone:
                continue
            for j in group[a + 1 :]:
                if f(i, j) > n_gram:
                    gone += [i, j]
                    found.append(i)
                    break
            if found and f(i, found[0]) > n_gram:
                gone.append(i)
        return set(group) - set(gone)

    n = len(texts)
    if not any(f(i, j) > n_gram for i in range(n) for j in range(i + 1, n)):
        return set(range(n))
    scaled = StandardScaler().fit_transform(vectors)
    scaled = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    labels = KMeans(2, n_init=10, max_iter=500, random_state=0).fit(scaled).labels_
    groups = [[i for i in range(n) if labels[i] == label] for label in (0, 1)]
    for lone, other in ((1, 0), (0, 1)):
        if len(groups[lone]) == 1:
            if len(groups[other]) > 1 and mean(groups[other]) > tau:
                near = cosine(groups[other][0], groups[lone][0]) > tau
                return set() if near else set(groups[lone])
            return set(groups[other])
    dense = 1 if mean(groups[1]) > mean(groups[0]) else 0
    if mean(groups[1 - dense]) > tau:
        return set()
    if mean(groups[dense]) < tau:
        return survivors(groups[0]) | survivors(groups[1])
    return survivors(groups[1 - dense])


def kept(verdict) -> set[int]:
    return {int(i[1:]) for i in verdict.kept_ids}


@pytest.mark.parametrize("seed", range(60))
def test_keeps_what_the_published_procedure_keeps(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 13))
    n_words = int(rng.integers(4, 14))
    texts = [" ".join(rng.choice(WORDS, n_words)) for _ in range(n)]
    # Some groups tight, some loose, some of one: every branch occurs over the seeds.
    centres = rng.standard_normal((2, 8))
    spread = rng.choice([0.02, 0.3, 1.0], size=2)
    side = (np.arange(n) < rng.integers(1, n)).astype(int)
    vectors = centres[side] + spread[side][:, None] * rng.standard_normal((n, 8))
    judged = retrieval(texts, vectors)
    assert kept(TrustRAG().inspect(judged)) == plain_stage_1(texts, judged.vectors)


FAR = np.eye(8)


def test_does_nothing_when_no_two_passages_share_words() -> None:
    texts = ["alpha beta", "gamma delta", "epsilon zeta"]
    verdict = TrustRAG().inspect(retrieval(texts, np.ones((3, 8)) + 0.01 * FAR[:3]))
    assert (kept(verdict), verdict.status) == ({0, 1, 2}, "clean")
    assert [f.suspicion for f in verdict.findings] == [0.0, 0.0, 0.0]


def test_drops_the_dense_cluster_and_keeps_the_sparse_one() -> None:
    texts = ["the mayor is Ann", "the mayor is Ben", "an old bridge", "cold winter", "red stone"]
    vectors = np.vstack([FAR[0], FAR[0] + 0.01 * FAR[1], FAR[2:5] + FAR[7]])
    verdict = TrustRAG().inspect(retrieval(texts, vectors))
    assert (kept(verdict), verdict.status) == ({2, 3, 4}, "filtered")
    assert min(f.suspicion for f in verdict.dropped) > 0.5


def test_says_so_when_both_clusters_are_dense_and_nothing_is_kept() -> None:
    texts = ["the mayor is Ann", "the mayor is Ben", "an old bridge", "an old bridge too"]
    vectors = [FAR[0], FAR[0] + 0.01 * FAR[1], FAR[2], FAR[2] + 0.01 * FAR[3]]
    verdict = TrustRAG().inspect(retrieval(texts, vectors))
    assert (verdict.kept, verdict.status) == ((), "majority_assumption_violated")


def test_equal_vectors_are_dropped_and_said_to_be() -> None:
    hits = tuple(Hit(Passage(str(i), "one text"), 1.0) for i in range(4))
    ones = np.ones((4, 8), dtype=np.float32)
    verdict = TrustRAG().inspect(Retrieval("Who?", hits, ones, ones[0]))
    assert (verdict.kept, verdict.status) == ((), "majority_assumption_violated")
    assert {f.reason for f in verdict.findings} == {"dropped: all vectors are equal"}


def test_one_passage_is_not_judged() -> None:
    verdict = TrustRAG().inspect(retrieval(["alone"], FAR[:1]))
    assert (kept(verdict), verdict.status) == ({0}, "not_judged")
    assert verdict.findings[0].suspicion is None


@pytest.mark.parametrize("wrong", [{"overlap": 1.5}, {"overlap": float("nan")}, {"density": -2}])
def test_refuses_thresholds_that_mean_nothing(wrong) -> None:
    with pytest.raises(UsageError, match=f"trustrag: {next(iter(wrong))} is"):
        TrustRAG(**wrong)


def test_refuses_vectors_of_another_number_than_hits() -> None:
    judged = retrieval(["a", "b"], FAR[:2])
    broken = Retrieval("Who?", judged.hits, judged.vectors[:1], judged.question_vector)
    with pytest.raises(InputError, match="1 rows for 2 passages"):
        TrustRAG().inspect(broken)
