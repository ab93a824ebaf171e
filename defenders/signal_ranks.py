"""What is usual among the other hits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def others_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each entry the median of all other entries; itself where it is the only one."""
    k = len(values)
    if k < 2:
        return values.copy()
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    rank = np.empty(k, dtype=np.intp)
    rank[order] = np.arange(k)
    low, high = (k - 2) // 2, (k - 1) // 2  # middle positions among the k - 1 others
    median: NDArray[np.float64] = 0.5 * (
        ordered[low + (rank <= low)] + ordered[high + (rank <= high)]
    )
    return median
