"""Stage 1 against scikit-learn, and what the reference proves about the counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ragshield.defenders.ragdefender_counts import (
    clustering_count,
    concentration_count,
    n_tfidf,
    smaller_cluster,
    top_terms,
)
from ragshield.vectors import unit_rows

WORDS = "part art France river 1905 1906 of the it Mayor mayors bridge café x y2 über don't".split()


def random_vectors(rng: np.random.Generator, n: int, dim: int = 8) -> np.ndarray:
    """Two blobs, one blob, or noise; not normalised."""
    centre = rng.standard_normal(dim) * rng.choice([0.0, 1.0, 3.0])
    rows = rng.standard_normal((n, dim)) + centre * (rng.random(n) < 0.5)[:, None]
    return rows.astype(np.float32)


def random_cosines(rng: np.random.Generator, n: int) -> np.ndarray:
    unit = unit_rows(random_vectors(rng, n))
    return unit @ unit.T


def sklearn_smaller_cluster(vectors: np.ndarray) -> int:
    from sklearn.cluster import AgglomerativeClustering

    labels = AgglomerativeClustering(n_clusters=2).fit(vectors).labels_
    return int(min(labels.sum(), len(labels) - labels.sum()))


def test_ward_clusters_have_the_sizes_that_scikit_learn_finds_on_3000_random_sets():
    rng = np.random.default_rng(0)
    for _ in range(3000):
        vectors = random_vectors(rng, int(rng.integers(2, 31)))
        assert smaller_cluster(vectors) == sklearn_smaller_cluster(vectors)


def test_ward_clusters_are_those_of_scikit_learn_when_passages_repeat():
    rng = np.random.default_rng(1)
    for _ in range(500):
        vectors = random_vectors(rng, int(rng.integers(2, 9)))
        repeated = vectors[rng.integers(0, len(vectors), size=len(vectors) + 4)]
        if len(np.unique(repeated, axis=0)) > 1:  # else where to split is arbitrary
            assert smaller_cluster(repeated) == sklearn_smaller_cluster(repeated)


def test_one_passage_cannot_be_clustered():
    with pytest.raises(ValueError, match="at least 2 passages, got 1"):
        smaller_cluster(np.ones((1, 4), np.float32))


def test_top_terms_carry_the_largest_sums_of_scikit_learns_tfidf():
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

    rng = np.random.default_rng(2)
    for _ in range(500):
        texts = [
            " ".join(rng.choice(WORDS, size=rng.integers(3, 12))) + " anchor"
            for _ in range(rng.integers(1, 12))
        ]
        vectorizer = TfidfVectorizer(stop_words=list(ENGLISH_STOP_WORDS))
        sums = np.asarray(vectorizer.fit_transform(texts).sum(axis=0)).ravel()
        by_term = dict(zip(vectorizer.get_feature_names_out(), sums, strict=True))
        expected = sorted(by_term, key=lambda term: (-round(by_term[term], 9), term))[:5]
        assert top_terms(texts, 5) == expected
        found = [by_term[term] for term in top_terms(texts, 5, ties="released")]
        assert found == pytest.approx(sorted(sums, reverse=True)[:5])


def test_top_terms_do_not_depend_on_the_order_of_the_passages():
    texts = ["river art", "river mayor", "bridge mayor art", "france bridge"]
    for ties in ("content", "released"):
        found = {
            tuple(top_terms(p, 3, ties=ties)) for p in (texts, texts[::-1], texts[2:] + texts[:2])
        }
        assert len(found) == 1


def test_passages_of_stop_words_have_no_terms_and_no_votes():
    texts = ["It is what it is.", "They were there.", "a I"]
    assert top_terms(texts, 5) == []
    for mode in ("paper", "released"):
        assert n_tfidf(texts, [], m=5, mode=mode) == 0


def test_a_term_is_a_word_in_the_paper_and_a_case_sensitive_substring_in_the_code():
    assert n_tfidf(["He is part of it"], ["art"], m=1, mode="paper") == 0
    assert n_tfidf(["He is part of it"], ["art"], m=1, mode="released") == 1
    assert n_tfidf(["Paris, FRANCE"], ["france"], m=1, mode="paper") == 1
    assert n_tfidf(["Paris, FRANCE"], ["france"], m=1, mode="released") == 0


def test_too_few_terms_lower_the_released_threshold_only():
    texts = ["river mayor", "river"]
    assert n_tfidf(texts, ["river", "mayor"], m=5, mode="released") == 1  # more than 1 of 2
    assert n_tfidf(texts, ["river", "mayor"], m=5, mode="paper") == 0  # more than 2.5


def test_the_papers_worked_example_counts_four_of_five():
    texts = [
        "The capital of France is Rome, a city in France.",
        "Rome is the capital city of France.",
        "France has its capital in the city of Rome.",
        "As a city, the capital of France is Rome.",
        "Paris lies on the Seine and has many museums.",
    ]
    voted = n_tfidf(texts, ["capital", "france", "city"], m=3, mode="paper")
    assert voted == 4
    assert clustering_count(1, voted, 5) == 4


def test_the_thresholds_of_paper_and_code_agree_for_every_size():
    for n in range(2, 60):
        for voted in range(n + 1):
            assert (voted <= n / 2) == (voted <= int(n / 2))
            for n_min in range(1, n // 2 + 1):
                assert 1 <= clustering_count(n_min, voted, n) <= n - 1
    for m in range(1, 20):
        assert all((held > m / 2) == (held > math.floor(m / 2)) for held in range(m + 1))


def test_the_papers_concentration_count_never_exceeds_half_of_the_passages():
    rng = np.random.default_rng(3)
    largest = {}
    for n in range(2, 13):
        counts = [concentration_count(random_cosines(rng, n), mode="paper") for _ in range(600)]
        largest[n] = max(counts)
    assert all(count <= n // 2 for n, count in largest.items())
    assert list(largest.values()) == [0, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6]  # and reaches it


def test_five_poisoned_passages_beside_one_golden_are_out_of_the_papers_reach():
    cosines = np.full((6, 6), 0.95, dtype=np.float32)
    cosines[5, :5] = cosines[:5, 5] = 0.3
    np.fill_diagonal(cosines, 1)
    assert concentration_count(cosines, mode="paper") <= 3
    assert concentration_count(cosines, mode="released") == 5


def test_the_papers_count_is_zero_for_two_and_at_most_one_for_three():
    rng = np.random.default_rng(4)
    assert {concentration_count(random_cosines(rng, 2), mode="paper") for _ in range(2000)} == {0}
    assert {concentration_count(random_cosines(rng, 3), mode="paper") for _ in range(2000)} <= {
        0,
        1,
    }


@pytest.mark.parametrize("cosine", [-0.5, 0.0, 0.3, 0.99])
def test_the_released_count_removes_one_of_one_and_two_of_two(cosine: float):
    assert concentration_count(np.ones((1, 1), np.float32), mode="released") == 1
    pair = np.array([[1, cosine], [cosine, 1]], np.float32)
    assert concentration_count(pair, mode="released") == 2


def test_the_released_count_equals_the_packages_formula_in_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    for _ in range(1000):
        cosines = random_cosines(rng, int(rng.integers(3, 21)))
        tensor = torch.from_numpy(cosines)
        means, medians = torch.mean(tensor, dim=0), torch.median(tensor, dim=0).values
        mean, median = means.mean(), medians.median()
        flags = (means > mean) | (medians > (median + mean) / 2)
        count = int(flags.sum())
        expected = count if count > 0 and mean < median else len(cosines) - count
        assert concentration_count(cosines, mode="released") == expected
