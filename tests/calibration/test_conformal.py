from __future__ import annotations

import numpy as np
import pytest

from ragshield.calibration.conformal import (
    beta_interval,
    calibrated_threshold,
    compressed,
    questions_needed,
    tail_of,
    thinned,
    threshold_at,
)


def clusters(rng: np.random.Generator, n: int, k: int = 10) -> list[np.ndarray]:
    """Suspicions of hits that depend on each other within a question."""
    shared = rng.normal(size=(n, 1))
    logits = -3 + shared + rng.normal(size=(n, k))
    return list(1 / (1 + np.exp(-logits)))


@pytest.mark.parametrize(("budget", "needed"), [(0.01, 99), (0.05, 19), (0.5, 1), (0.002, 499)])
def test_a_budget_needs_one_over_budget_minus_one_questions(budget: float, needed: int) -> None:
    assert questions_needed(budget) == needed


def test_one_hit_a_question_gives_the_textbook_split_conformal_quantile() -> None:
    values = [np.array([v]) for v in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)]
    tail = tail_of(values)
    # (1 + #{>= s}) / 10 <= 0.2 holds from just above the second largest.
    for budget, last in ((0.2, 0.8), (0.1, 0.9)):
        found = threshold_at(tail, budget)
        assert last < found < last + 1e-6


def test_every_question_weighs_the_same_however_many_hits_it_has() -> None:
    tail = tail_of([np.array([0.9] * 100), np.array([0.1])])
    assert tail.values.tolist() == [0.1, 0.9]
    assert tail.shares.tolist() == pytest.approx([1.0, 0.5])


@pytest.mark.parametrize("budget", [0.01, 0.05])
def test_the_mean_rate_over_calibrations_stays_within_the_budget(budget: float) -> None:
    rng = np.random.default_rng(4)
    fresh = np.stack(clusters(rng, 20_000))
    rates, inside = [], 0
    for _ in range(300):
        found = calibrated_threshold(clusters(rng, 150), budget)
        rate = float((fresh >= found.value).mean())
        rates.append(rate)
        inside += found.low <= rate <= found.high
    standard_error = float(np.std(rates)) / np.sqrt(len(rates))
    assert np.mean(rates) <= budget + 2 * standard_error
    # Not by dropping nothing: most of what one question more would allow is used.
    assert np.mean(rates) > 0.6 * (budget - 1 / 151)
    assert inside / 300 >= 0.88


def test_a_budget_that_the_questions_cannot_carry_is_raised_to_the_lowest_they_can() -> None:
    values = [np.array([0.1, 0.7]), np.array([0.2, 0.3]), np.array([0.4, 0.5])]
    found = calibrated_threshold(values, 0.01)
    assert found.budget == 0.25
    assert 0.7 < found.value < 0.7 + 1e-6


@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    # Closed forms: Beta(1, b) has quantiles 1 - (1 - q)^(1/b), Beta(a, 1) has q^(1/a).
    [
        (1.0, 200.0, 1 - 0.975 ** (1 / 200), 1 - 0.025 ** (1 / 200)),
        (3.0, 1.0, 0.025 ** (1 / 3), 0.975 ** (1 / 3)),
        (1.0, 1.0, 0.025, 0.975),
    ],
)
def test_beta_intervals_are_those_of_the_closed_forms(a, b, low, high) -> None:
    assert beta_interval(a, b) == pytest.approx((low, high), rel=2e-3)


def test_a_compressed_tail_never_understates_a_p_value() -> None:
    rng = np.random.default_rng(1)
    tail = tail_of(clusters(rng, 400))
    threshold = threshold_at(tail, 0.05)
    values, shares = map(np.asarray, compressed(tail, threshold))
    assert len(values) < 520 < len(tail.values)
    asked = np.concatenate([rng.random(500), tail.values, values, [0.0, 1.0, threshold]])

    def share(of_values, of_shares):
        return np.append(of_shares, 0.0)[np.searchsorted(of_values, asked, side="left")]

    exact, stored = share(tail.values, tail.shares), share(values, shares)
    assert (stored >= exact - 1e-12).all()
    assert stored[-1] == pytest.approx(exact[-1])


def test_a_short_tail_is_stored_exactly() -> None:
    tail = tail_of([np.array([0.2, 0.4]), np.array([0.4, 0.8])])
    values, shares = compressed(tail, 0.5)
    assert values == (0.2, 0.4, 0.8)
    assert shares == pytest.approx((1.0, 0.75, 0.25))


def test_thinning_keeps_the_ends_and_the_order() -> None:
    found = thinned(list(np.random.default_rng(0).permutation(10_000) / 10_000))
    assert len(found) == 256
    assert (found[0], found[-1]) == (0.0, 0.9999)
    assert list(found) == sorted(found)


@pytest.mark.parametrize("value", [0.0, 1.0, 1 - 1e-13])
def test_a_threshold_stays_between_0_and_1(value: float) -> None:
    assert value < threshold_at(tail_of([np.array([value])] * 5), 0.2) < 1 or value == 1.0
    assert 0 < threshold_at(tail_of([np.array([value])] * 5), 0.2) < 1
