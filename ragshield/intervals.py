"""Rates and differences of rates, with intervals that know what is independent.

Shares of passages are not shares of independent things: the passages of one question
are judged together. Every share is therefore taken over clusters (one per question)
wherever a question brings more than one passage or trial.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

from ragshield.errors import UsageError


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its interval.

    Attributes:
        successes: how many of the n.
        n: how many were counted; what could not be judged is not among them.
        value: successes / n, [0, 1]; None when n is 0.
        low: lower limit of the interval, [0, 1]; None when n is 0.
        high: upper limit of the interval, [0, 1]; None when n is 0.
        n_clusters: how many independent groups (questions) the n come from.
    """

    successes: int
    n: int
    value: float | None
    low: float | None
    high: float | None
    n_clusters: int

    def __str__(self) -> str:
        """For example `0.62 [0.48, 0.74]`; `-` when nothing was counted."""
        if self.value is None:
            return "-"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


class Counts(NamedTuple):
    """What one cluster (question) contributes to a share: successes of n, n >= 0."""

    successes: int
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """First rate minus second rate, both measured on the same retrievals.

    Attributes:
        value: difference, [-1, 1]; None when either rate has n = 0.
        low: lower limit; None like `value`.
        high: upper limit; None like `value`.
        n_clusters: questions that both were measured on.
        p_value: exact two-sided sign test over the questions on which the two differ;
            with one trial per question this is the exact McNemar test.
    """

    value: float | None
    low: float | None
    high: float | None
    n_clusters: int
    p_value: float | None


def rate(successes: int, n: int, confidence: float = 0.95) -> Rate:
    """A share of n independent trials with the Wilson score interval.

    Source: Wilson, 1927; it keeps its coverage for small n and for rates near 0 and 1,
    where the normal interval collapses to a point.

    Raises:
        UsageError: not 0 <= successes <= n, or confidence outside (0, 1).
    """
    if not 0 <= successes <= n:
        raise UsageError(f"{successes} successes of {n}: need 0 <= successes <= n")
    return _wilson(successes, n, n, _normal_quantile(confidence), n_clusters=n)


def clustered_rate(clusters: Iterable[tuple[int, int]], confidence: float = 0.95) -> Rate:
    """A share of things that come in groups, with an interval that knows the groups.

    The share is the pooled one, sum of successes / sum of n. Its variance is that of a
    ratio estimator over clusters; the interval is Wilson's with n divided by the design
    effect (never below 1) and Student's t for the number of clusters (Korn and
    Graubard, 1998, with Wilson in place of Clopper-Pearson). Where the variance cannot
    be seen (all or none succeeded, or one cluster) the clusters are taken as fully
    correlated, the cautious end. With one thing per cluster it is `rate`.

    Args:
        clusters: (successes, n) of each group; groups with n = 0 count for nothing.
        confidence: of the interval, (0, 1).

    Raises:
        UsageError: not 0 <= successes <= n in a group, or confidence outside (0, 1).
    """
    groups = [Counts(*group) for group in clusters if group[1] != 0]
    for successes, n in groups:
        if not 0 <= successes <= n:
            raise UsageError(f"{successes} successes of {n}: need 0 <= successes <= n")
    successes, n, n_clusters = (
        sum(g.successes for g in groups),
        sum(g.n for g in groups),
        len(groups),
    )
    z = _normal_quantile(confidence)
    if n == n_clusters:  # also when both are 0
        return _wilson(successes, n, n, z, n_clusters)
    fully_correlated = n * n / sum(g.n * g.n for g in groups)
    if n_clusters == 1 or successes in (0, n):
        effective = fully_correlated
    else:
        share = successes / n
        variance = sum(residual * residual for residual in _residuals(groups)) / n**2
        variance *= n_clusters / (n_clusters - 1)
        effective = min(n, share * (1 - share) / variance) if variance > 0 else n
    quantile = _student_quantile(confidence, n_clusters - 1) if n_clusters > 1 else z
    return _wilson(successes, n, effective, quantile, n_clusters)


def paired_difference(
    first: Sequence[tuple[int, int]],
    second: Sequence[tuple[int, int]],
    *,
    confidence: float = 0.95,
) -> Difference:
    """How much two rates differ that were measured on the same questions.

    The interval combines the two rates' own intervals and their correlation over the
    questions. With one trial per question it is method 10 of Newcombe, Statistics in
    Medicine 17 (1998), 2635-2650, including its correction of the correlation.

    Args:
        first: (successes, n) per question, for example under one defender.
        second: the same questions in the same order under another.
        confidence: of the interval, (0, 1).

    Raises:
        UsageError: not the same number of questions, or counts that cannot be.
    """
    if len(first) != len(second):
        raise UsageError(f"{len(first)} and {len(second)} questions; pair the same ones")
    pairs = [(Counts(*a), Counts(*b)) for a, b in zip(first, second, strict=True) if a[1] and b[1]]
    if not pairs:
        return Difference(None, None, None, 0, None)
    left, right = [a for a, _ in pairs], [b for _, b in pairs]
    one, two = clustered_rate(left, confidence), clustered_rate(right, confidence)
    p1, l1, u1 = _limits(one)
    p2, l2, u2 = _limits(two)
    correlation = _correlation(left, right)
    low = p1 - p2 - _combine(p1 - l1, u2 - p2, correlation)
    high = p1 - p2 + _combine(u1 - p1, p2 - l2, correlation)
    signs = [a.successes * b.n - b.successes * a.n for a, b in pairs]
    p_value = _sign_test(sum(s > 0 for s in signs), sum(s < 0 for s in signs))
    return Difference(p1 - p2, max(low, -1.0), min(high, 1.0), len(pairs), p_value)


def _wilson(successes: int, n: int, effective: float, z: float, n_clusters: int) -> Rate:
    if n == 0:
        return Rate(0, 0, None, None, None, 0)
    value = successes / n
    scale = 1 + z * z / effective
    centre = (value + z * z / (2 * effective)) / scale
    half = z / scale * math.sqrt(value * (1 - value) / effective + (z / (2 * effective)) ** 2)
    # Rounding may leave 1e-17 where the limit is exactly 0 or 1.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Rate(successes, n, value, low, high, n_clusters)


def _residuals(groups: Sequence[Counts]) -> list[float]:
    share_ = sum(g.successes for g in groups) / sum(g.n for g in groups)
    return [g.successes - share_ * g.n for g in groups]


def _correlation(left: Sequence[Counts], right: Sequence[Counts]) -> float:
    """Of the two outcomes over clusters, shrunk towards 0 by half a cluster (Newcombe)."""
    n_clusters = len(left)
    a, b = _residuals(left), _residuals(right)
    mean_left = sum(g.n for g in left) / n_clusters
    mean_right = sum(g.n for g in right) / n_clusters
    covariance = sum(x * y for x, y in zip(a, b, strict=True)) / n_clusters
    covariance /= mean_left * mean_right
    spread = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b)) / n_clusters
    spread /= mean_left * mean_right
    if spread == 0:
        return 0.0
    if covariance > 0:
        covariance = max(0.0, covariance - 1 / (2 * n_clusters))
    return max(-1.0, min(1.0, covariance / spread))


def _combine(one: float, two: float, correlation: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * correlation * one * two + two * two))


def _limits(found: Rate) -> tuple[float, float, float]:
    if found.value is None or found.low is None or found.high is None:
        raise UsageError("a rate of nothing has no limits")
    return found.value, found.low, found.high


def _sign_test(n_more: int, n_less: int) -> float:
    n = n_more + n_less
    tail: float = sum(math.comb(n, i) for i in range(min(n_more, n_less) + 1)) / 2**n
    return min(1.0, 2 * tail)


def _normal_quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise UsageError(f"confidence is {confidence}; it must lie between 0 and 1, e.g. 0.95")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _student_quantile(confidence: float, df: int) -> float:
    """Two-sided quantile of Student's t, by its expansion (error < 0.005 at 0.95)."""
    if df == 1:
        return math.tan(math.pi * confidence / 2)
    if df == 2:
        tail = (1 - confidence) / 2
        return (1 - 2 * tail) * math.sqrt(2 / (4 * tail * (1 - tail)))
    z = _normal_quantile(confidence)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(df) ** (i + 1) for i, term in enumerate(terms))
