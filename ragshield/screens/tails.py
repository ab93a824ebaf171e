"""How unusual the largest values of a store are, told from its own tail."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_EVEN_ODDS = 0.05


def expected_beyond(
    values: NDArray[np.floating] | NDArray[np.integer], *, least_scale: float
) -> NDArray[np.float64]:
    """How many values at least as large an honest store of this size would have.

    The tail is taken for exponential, its scale from the 90 % and 99 % quantiles, which a
    few planted values do not move.

    Args:
        values: (n,), larger = more unusual.
        least_scale: the scale is never taken for smaller.

    Returns:
        (n,) above 0; infinite below the 99 % quantile.
    """
    high, higher = np.quantile(values, (0.9, 0.99))
    scale = max((higher - high) / math.log(10), least_scale)
    tail = np.exp(-np.maximum(values - higher, 0) / scale)
    found: NDArray[np.float64] = np.where(
        values > higher, np.maximum(0.01 * len(values) * tail, 1e-300), np.inf
    )
    return found


def suspicion_from(expected: NDArray[np.float64]) -> NDArray[np.float64]:
    """0.5 where one honest store in twenty has such a value, 0.15 more for each tenfold fewer.

    Returns:
        The shape of `expected`, [0, 0.98].
    """
    with np.errstate(divide="ignore"):  # infinitely many expected
        grown: NDArray[np.float64] = 0.5 + 0.15 * np.log10(_EVEN_ODDS / expected)
    return np.clip(grown, 0, 0.98)


def robust_z(values: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
    """Distance from the median in spreads, the spread from the median deviation."""
    median = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - median))
    z: NDArray[np.float64] = (values - median) / max(float(spread), 1e-9)
    return z
