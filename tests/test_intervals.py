from __future__ import annotations

import math

import numpy as np
import pytest

from ragshield.errors import UsageError
from ragshield.intervals import clustered_rate, paired_difference, rate


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Wilson limits as published: Newcombe, Statistics in Medicine 17 (1998), 857-872, table I.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_of_a_rate_is_wilsons(successes: int, n: int, low: float, high: float) -> None:
    found = rate(successes, n)
    assert found.value == successes / n
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_a_rate_of_nothing_is_none_and_never_zero() -> None:
    found = rate(0, 0)
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 0)
    assert str(found) == "-"


def test_a_rate_reads_with_its_interval() -> None:
    assert str(rate(5, 10)) == "0.50 [0.24, 0.76]"


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3), (1, 0)])
def test_impossible_counts_are_refused(successes: int, n: int) -> None:
    with pytest.raises(UsageError, match="need 0 <= successes <= n"):
        rate(successes, n)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_outside_zero_to_one_is_refused(confidence: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        rate(1, 2, confidence)


def test_clusters_of_one_are_independent_trials() -> None:
    assert clustered_rate([(1, 1)] * 7 + [(0, 1)] * 5 + [(0, 0)] * 9) == rate(7, 12)


def test_identical_passages_of_a_question_add_no_certainty() -> None:
    alone = clustered_rate([(1, 1)] * 10 + [(0, 1)] * 30)
    together = clustered_rate([(5, 5)] * 10 + [(0, 5)] * 30)
    assert together.value == alone.value == 0.25
    assert together.n == 200
    assert together.n_clusters == 40
    assert together.high - together.low >= alone.high - alone.low


def test_a_share_of_zero_in_clusters_stays_as_wide_as_its_number_of_clusters() -> None:
    found = clustered_rate([(0, 5)] * 20)
    assert found.low == 0.0
    assert found.high >= rate(0, 20).high


def test_one_cluster_is_one_observation() -> None:
    found = clustered_rate([(3, 6)])
    assert (found.value, found.n_clusters) == (0.5, 1)
    assert found.high - found.low > 0.85


@pytest.mark.parametrize("n_clusters", [15, 50])
@pytest.mark.parametrize("share", [0.1, 0.4])
@pytest.mark.parametrize("correlation", [0.0, 0.3, 1.0])
def test_clustered_intervals_cover_the_truth_about_as_often_as_they_say(
    n_clusters: int, share: float, correlation: float
) -> None:
    rng = np.random.default_rng(7)
    n_rounds, n_covered, n_naive = 800, 0, 0
    for _ in range(n_rounds):
        sizes = rng.integers(3, 10, n_clusters)
        if correlation == 0:
            shares = np.full(n_clusters, share)
        elif correlation == 1:
            shares = (rng.random(n_clusters) < share).astype(float)
        else:
            spread = (1 - correlation) / correlation
            shares = rng.beta(share * spread, (1 - share) * spread, n_clusters)
        successes = rng.binomial(sizes, shares)
        found = clustered_rate(zip(successes.tolist(), sizes.tolist(), strict=True))
        n_covered += found.low <= share <= found.high
        naive = rate(int(successes.sum()), int(sizes.sum()))
        n_naive += naive.low <= share <= naive.high
    assert n_covered / n_rounds >= 0.90
    if correlation == 1:  # what the clustering is for
        assert n_naive / n_rounds < 0.75


def test_a_paired_difference_is_newcombes_method_10() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), 2635-2650: 36, 12, 2 and 0 of 50.
    both = [(1, 1)] * 36 + [(1, 0)] * 12 + [(0, 1)] * 2
    found = paired_difference([(a, 1) for a, _ in both], [(b, 1) for _, b in both])
    assert found.value == pytest.approx(0.20)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0569, 0.3404)


def test_the_p_value_is_the_exact_mcnemar_test() -> None:
    both = [(1, 0)] * 12 + [(0, 1)] * 2 + [(1, 1)] * 36
    found = paired_difference([(a, 1) for a, _ in both], [(b, 1) for _, b in both])
    expected = 2 * sum(math.comb(14, i) for i in range(3)) / 2**14
    assert found.p_value == pytest.approx(expected)


def test_no_difference_has_an_interval_around_zero() -> None:
    same = [(1, 1)] * 20 + [(0, 1)] * 20
    found = paired_difference(same, same)
    assert found.value == 0
    assert found.low < 0 < found.high
    assert found.p_value == 1.0


def test_pairing_is_worth_something() -> None:
    rng = np.random.default_rng(1)
    base = (rng.random(100) < 0.5).astype(int)
    better = np.maximum(base, (rng.random(100) < 0.2).astype(int))
    shuffled = rng.permutation(better)
    one, two, three = ([(int(v), 1) for v in values] for values in (better, base, shuffled))
    paired, unpaired = paired_difference(one, two), paired_difference(three, two)
    assert paired.value == pytest.approx(unpaired.value)
    assert paired.high - paired.low < unpaired.high - unpaired.low
    assert paired.low > 0


@pytest.mark.parametrize("n_trials", [1, 3])
def test_paired_intervals_cover_the_truth_about_as_often_as_they_say(n_trials: int) -> None:
    rng = np.random.default_rng(3)
    n_rounds, n_covered = 800, 0
    for _ in range(n_rounds):
        shares = rng.beta(1, 1, 40)
        first = rng.binomial(n_trials, shares)  # share 0.5
        second = rng.binomial(n_trials, shares * 0.6)  # share 0.3
        found = paired_difference(
            [(int(s), n_trials) for s in first], [(int(s), n_trials) for s in second]
        )
        n_covered += found.low <= 0.2 <= found.high
    assert n_covered / n_rounds >= 0.92


def test_questions_that_one_side_did_not_score_are_left_out() -> None:
    found = paired_difference([(1, 1), (1, 1), (0, 0)], [(0, 1), (0, 0), (1, 1)])
    assert (found.value, found.n_clusters) == (1.0, 1)
    assert paired_difference([(0, 0)], [(1, 1)]).value is None


def test_pairs_of_unlike_length_are_refused() -> None:
    with pytest.raises(UsageError, match="pair the same ones"):
        paired_difference([(1, 1)], [])
