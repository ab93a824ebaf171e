"""Whether two samples of similarities may come from one distribution."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ragshield.errors import UsageError


class KS(NamedTuple):
    """A two-sample Kolmogorov-Smirnov test.

    Attributes:
        statistic: largest distance of the two empirical distribution functions, [0, 1].
        p: chance of such a distance or a larger one if both are from one distribution.
        n: values in the smaller sample.
    """

    statistic: float
    p: float
    n: int


def ks_test(one: Sequence[float], other: Sequence[float]) -> KS:
    """Compare two samples by scipy's `ks_2samp`, exactly where they are small.

    Raises:
        UsageError: a sample is empty or holds NaN.
    """
    from scipy.stats import ks_2samp

    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if not len(a) or not len(b) or np.isnan(a).any() or np.isnan(b).any():
        raise UsageError("a Kolmogorov-Smirnov test needs two samples of numbers, neither empty")
    if np.array_equal(np.sort(a), np.sort(b)):
        return KS(0.0, 1.0, min(len(a), len(b)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that it took the asymptotic form
        found = ks_2samp(a, b, method="auto")
    return KS(float(found.statistic), float(found.pvalue), min(len(a), len(b)))


def auc(members: Sequence[float], others: Sequence[float]) -> float:
    """Area under the ROC curve: chance that a member's value is higher, ties counting half.

    Raises:
        UsageError: a sample is empty.
    """
    a, b = np.asarray(members, dtype=np.float64), np.sort(np.asarray(others, dtype=np.float64))
    if not len(a) or not len(b):
        raise UsageError("an AUC needs values of members and of others")
    below = np.searchsorted(b, a, side="left")
    tied = np.searchsorted(b, a, side="right") - below
    return float((below + tied / 2).mean() / len(b))
