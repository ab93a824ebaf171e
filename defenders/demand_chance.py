"""How surprising a passage's demand is: binomial tails and shares of an error budget."""

from __future__ import annotations

import math

_Z = 2.326  # one-sided 99 %: the usual demand is estimated from above
# 1 / sum over j >= 1 of 1 / ((j + 1) ln(j + 1)^2), so that all trials' shares add up to 1.
_SHARES = 1 / 2.1097428


def trial_share(number: int) -> float:
    """Share of the error budget that trial `number` (from 1) may spend; they sum to 1."""
    return _SHARES / ((number + 1) * math.log(number + 1) ** 2)


def look_share(number: int) -> float:
    """Share of a trial's budget that look `number` (from 1) may spend; they sum to 1."""
    return 1 / (number * (number + 1))


def binomial_tail(n_wins: int, n: int, probability: float) -> float:
    """At least the probability of `n_wins` or more successes in n trials; 1 up to the mean.

    The first term times the geometric series that bounds the rest: above the mean the
    ratio of neighbouring terms only falls. Within a factor of 2 from two standard
    deviations on, and never below the true tail.
    """
    if n_wins <= n * probability:
        return 1.0
    if n_wins > n or probability <= 0:
        return 0.0
    log_term = (
        math.lgamma(n + 1)
        - math.lgamma(n_wins + 1)
        - math.lgamma(n - n_wins + 1)
        + n_wins * math.log(probability)
        + (n - n_wins) * math.log1p(-probability)
    )
    ratio = (n - n_wins) * probability / ((n_wins + 1) * (1 - probability))
    return min(1.0, math.exp(log_term) / (1 - ratio))


def upper_rate(wins: float, n: float) -> float:
    """Upper 99 % limit (Wilson, one-sided) of a share of `wins` in n; 1 for n = 0."""
    if n <= 0:
        return 1.0
    share, z2 = min(1.0, wins / n), _Z**2
    centre = share + z2 / (2 * n)
    half = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return min(1.0, (centre + half) / (1 + z2 / n))
