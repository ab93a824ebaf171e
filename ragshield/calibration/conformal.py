"""Thresholds with a stated false-positive rate, from honest hits grouped by question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LOWEST = 1e-15
_KEPT = 256
"""Largest suspicions stored one by one, and quantiles stored of the rest."""


class Tail(NamedTuple):
    """Honest suspicions and how much of the honest mass lies at or above them.

    Attributes:
        values: increasing, all different.
        shares: mean over questions of the share of hits >= the value; decreasing.
        n: questions.
    """

    values: NDArray[np.float64]
    shares: NDArray[np.float64]
    n: int


class Threshold(NamedTuple):
    """A threshold and the false-positive rate behind it.

    Attributes:
        value: suspicion from which a hit is dropped.
        budget: the rate in force: the one asked for, or 1 / (n + 1) where that is larger.
        expected: rate that it has on average, at most `budget`.
        low: lower 95 % limit of the actual rate, given this calibration.
        high: upper limit.
        n_effective: independent hits that the calibration amounts to.
    """

    value: float
    budget: float
    expected: float
    low: float
    high: float
    n_effective: float


def questions_needed(budget: float) -> int:
    """Fewest honest questions that a budget can be calibrated on: ceil(1/budget) - 1."""
    return math.ceil(1 / budget - 1e-9) - 1


def tail_of(clusters: Sequence[NDArray[np.float64]]) -> Tail:
    """The honest tail; every question weighs the same, however many hits it has.

    Args:
        clusters: suspicions of the hits of each question, none empty.
    """
    values = np.concatenate(clusters)
    weights = np.concatenate([np.full(len(c), 1 / (len(c) * len(clusters))) for c in clusters])
    distinct, inverse = np.unique(values, return_inverse=True)
    mass = np.bincount(inverse, weights=weights)
    shares = np.minimum(np.cumsum(mass[::-1])[::-1], 1.0)
    return Tail(distinct, shares, len(clusters))


def threshold_at(tail: Tail, budget: float) -> float:
    """The lowest threshold whose conformal p-value is at most `budget`.

    A hit of suspicion s has p = (1 + n * share(s)) / (n + 1), share(s) being the honest
    mass at s or above; the hit is dropped where p <= budget. Where the question is
    exchangeable with the calibration's, the expected share of its honest hits that is
    dropped is at most `budget`: this is conformal risk control with the dropped share of
    a question as its loss (Angelopoulos et al., 2208.02814, theorem 1; the loss lies in
    [0, 1] and falls with the threshold).

    Args:
        tail: of the honest calibration hits.
        budget: at least 1 / (n + 1), below which nothing could ever be dropped.
    """
    limit = budget * (tail.n + 1) - 1
    # Rounding must not decide: 0.01 * 100 - 1 is a hair above or below 0.
    above = np.flatnonzero(tail.n * tail.shares > limit + 1e-9)
    if not len(above):
        return _LOWEST
    # Just above the last suspicion that must stay, by more than the rounding of a logit.
    last = min(max(float(tail.values[above[-1]]), _LOWEST), 1.0 - _LOWEST)
    logit = math.log(last / (1.0 - last)) + 1e-6
    return 1.0 / (1.0 + math.exp(-logit))


def calibrated_threshold(clusters: Sequence[NDArray[np.float64]], budget: float) -> Threshold:
    """The threshold for a budget, with the spread of the rate that it really has.

    Over calibrations the rate is at most the budget on average. Given one calibration
    of independent hits it is distributed as Beta(r + 1, n - r), r of n hits dropped
    (Vovk 2012, training-conditional validity). Here hits come by question, so n is
    replaced by the number of hits over the design effect (the number of questions where
    that cannot be seen): an approximation.

    Args:
        clusters: suspicions of the hits of each question, none empty.
        budget: (0, 0.5].
    """
    tail = tail_of(clusters)
    in_force = max(budget, 1 / (tail.n + 1))
    value = threshold_at(tail, in_force)
    share = float(np.mean([(c >= value).mean() for c in clusters]))
    n_effective = _effective(clusters, tail, in_force)
    a, b = n_effective * share + 1, n_effective * (1 - share)
    low, high = beta_interval(a, max(b, 1e-3))
    return Threshold(value, in_force, min(a / (a + b), in_force), low, high, n_effective)


def _effective(clusters: Sequence[NDArray[np.float64]], tail: Tail, budget: float) -> float:
    """Independent hits that the clusters amount to, from the number of questions up.

    Dropped hits are few, so their spread over questions is read at lower thresholds too
    and the largest design effect counts.
    """
    n_hits = sum(len(c) for c in clusters)
    largest = 1.0
    for factor in (1, 2, 5):
        value = threshold_at(tail, min(factor * budget, 0.5))
        losses = np.array([float((c >= value).mean()) for c in clusters])
        share = float(losses.mean())
        if not 0 < share < 1:
            continue
        variance = float(losses.var(ddof=1)) / tail.n
        largest = max(largest, variance * n_hits / (share * (1 - share)))
    seen = any(bool((c >= threshold_at(tail, budget)).any()) for c in clusters)
    return max(n_hits / largest, 1.0) if seen else float(tail.n)


def beta_interval(a: float, b: float, confidence: float = 0.95) -> tuple[float, float]:
    """Central interval of Beta(a, b), to about 1e-4 of its value."""
    # The density on the logit scale is smooth and has light tails for any a, b > 0.
    logit = np.linspace(-40.0, 40.0, 80_001)
    x = 1 / (1 + np.exp(-logit))
    log_density = -a * np.logaddexp(0.0, -logit) - b * np.logaddexp(0.0, logit)
    below = np.cumsum(np.exp(log_density - log_density.max()))
    below /= below[-1]
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    low, high = np.interp(tails, below, x)
    return float(low), float(high)


def compressed(tail: Tail, threshold: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The tail in at most some five hundred steps; p-values from it never come out lower.

    Args:
        tail: to be stored.
        threshold: the last value below it stays a step, so that p-values and threshold
            agree.

    Returns:
        Values, and for each the share above the value before it (for the first, 1).
    """
    n = len(tail.values)
    kept = np.arange(n)
    if n > 2 * _KEPT:
        lower = np.linspace(0, n - _KEPT - 1, _KEPT).astype(np.intp)
        below = max(int(np.searchsorted(tail.values, threshold)) - 1, 0)
        kept = np.unique(np.concatenate([lower, kept[n - _KEPT :], [below]]))
    shares = np.append(tail.shares[0], tail.shares[np.minimum(kept[:-1] + 1, n - 1)])
    return tuple(map(float, tail.values[kept])), tuple(map(float, shares))


def thinned(values: Sequence[float]) -> tuple[float, ...]:
    """At most 256 evenly spaced order statistics, increasing."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if len(ordered) > _KEPT:
        ordered = ordered[np.linspace(0, len(ordered) - 1, _KEPT).astype(np.intp)]
    return tuple(map(float, ordered))
