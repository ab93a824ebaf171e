"""How alike two ranked lists are: rank-biased overlap."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ragshield.errors import UsageError


def rbo(one: Sequence[Hashable], other: Sequence[Hashable], p: float = 0.9) -> float:
    """Rank-biased overlap of two lists, extrapolated beyond their ends: [0, 1], 1 = the same.

    With X_d the number of items that the first d of both lists share, s and l the
    shorter and the longer length:

        RBO = (1-p)/p * (sum_{d=1..l} X_d/d p^d + sum_{d=s+1..l} X_s (d-s)/(s d) p^d)
              + ((X_l - X_s)/l + X_s/s) p^l

    Source: Webber, Moffat and Zobel (2010), A similarity measure for indefinite
    rankings, ACM TOIS 28(4), equation 32.
    Differs: two empty lists are the same (1); an empty one shares nothing with another (0).

    Args:
        one: items, best first, none twice.
        other: the same.
        p: weight of depth, (0, 1); with 0.9 the first ten ranks carry 86 % of it.

    Raises:
        UsageError: p outside (0, 1), or an item twice in a list.
    """
    if not 0 < p < 1:
        raise UsageError(f"p is {p}; it must be between 0 and 1")
    short, long = sorted((list(one), list(other)), key=len)
    if len(set(short)) < len(short) or len(set(long)) < len(long):
        raise UsageError("an item occurs twice in a ranked list")
    if short == long:
        return 1.0  # exactly, where sums of powers would miss it by a rounding
    s, n = len(short), len(long)
    if s == 0:
        return 0.0
    seen_short: set[Hashable] = set()
    seen_long: set[Hashable] = set()
    shared, shared_at_s, total = 0, 0, 0.0
    for d in range(1, n + 1):
        new_long = long[d - 1]
        seen_long.add(new_long)
        if d <= s:
            new_short = short[d - 1]
            seen_short.add(new_short)
            shared += int(new_short in seen_long) + int(new_long in seen_short)
            shared -= int(new_short == new_long)
            shared_at_s = shared
        else:
            shared += int(new_long in seen_short)
            total += shared_at_s * (d - s) / (s * d) * p**d
        total += shared / d * p**d
    return (1 - p) / p * total + ((shared - shared_at_s) / n + shared_at_s / s) * p**n
