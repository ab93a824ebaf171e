"""Noticing that a store or its questions are no longer like those calibrated on."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WINDOW = 200
"""Retrievals that are compared with the calibration at a time."""

FALSE_ALARM = 0.01
"""Largest probability of ever reporting a drift where there is none."""


class DriftMonitor:
    """Compare windows of retrievals with the calibration, one statistic at a time.

    Each retrieval gives one number per statistic (the medians of its hits, which a
    minority of poisoned hits hardly moves), so that the numbers are as independent as
    the questions. A window is closed when it holds `window` retrievals; its empirical
    distribution is then held against the calibration's: drift is reported where the
    largest gap between the two (Kolmogorov-Smirnov) is one that chance brings with
    probability at most `false_alarm`, over all windows that will ever be closed and all
    statistics together (window i may spend `false_alarm` * 6 / (pi^2 i^2); the gap is
    bounded by Massart's inequality for both samples, so the rate is an upper bound for
    any distribution).

    Memory is bounded by the window. Safe to use from many threads.

    Args:
        reference: for each statistic, its values in the calibration, increasing.
        n_reference: questions these stand for, at least as many as the values given.
        window: retrievals per window, at least 20.
        false_alarm: see above, (0, 1).
    """

    def __init__(
        self,
        reference: dict[str, Sequence[float]],
        n_reference: int,
        *,
        window: int = WINDOW,
        false_alarm: float = FALSE_ALARM,
    ) -> None:
        if window < 20:
            raise ValueError(f"window is {window}; it must be at least 20")
        if not 0 < false_alarm < 1:
            raise ValueError(f"false_alarm is {false_alarm}; it must lie between 0 and 1")
        self._reference = {k: np.asarray(v, dtype=np.float64) for k, v in reference.items()}
        self._n_reference = n_reference
        self._window = window
        self._false_alarm = false_alarm
        self._rows: list[tuple[float, ...]] = []
        self._n_windows = 0
        self._report: str | None = None
        self._lock = threading.Lock()

    @property
    def report(self) -> str | None:
        """What the last drifted window showed; None while nothing has drifted.

        Once reported it stays: only a new calibration clears it.
        """
        return self._report

    @property
    def n_windows(self) -> int:
        """Windows closed so far."""
        return self._n_windows

    def observe(self, values: dict[str, float]) -> str | None:
        """Take in one retrieval.

        Returns:
            The report, the first time drift is found; else None.
        """
        row = tuple(values[name] for name in self._reference)
        with self._lock:
            self._rows.append(row)
            if len(self._rows) < self._window:
                return None
            rows = np.sort(np.asarray(self._rows), axis=0)
            self._rows = []
            self._n_windows += 1
            if self._report is not None:
                return None
            self._report = self._compare(rows)
            return self._report

    def allowance(self, window_number: int) -> float:
        """The largest gap that is put down to chance in the i-th window, i >= 1."""
        spend = self._false_alarm * 6 / (math.pi * window_number) ** 2
        # Two samples and every statistic share what may be spent.
        root = math.sqrt(math.log(2 * 2 * len(self._reference) / spend) / 2)
        return root * (1 / math.sqrt(self._n_reference) + 1 / math.sqrt(self._window))

    def _compare(self, rows: NDArray[np.float64]) -> str | None:
        for j, (name, reference) in enumerate(self._reference.items()):
            seen = rows[:, j]
            gap = _gap(reference, seen)
            # Where the reference is thinned, its distribution is known to one step.
            thinned = 2 / len(reference) if len(reference) < self._n_reference else 0.0
            if gap > self.allowance(self._n_windows) + thinned:
                return (
                    f"the {name} of the last {len(seen)} retrievals is not as in the "
                    f"calibration: median {np.median(seen):.3g}, was "
                    f"{np.median(reference):.3g} (Kolmogorov-Smirnov gap {gap:.2f})"
                )
        return None


def _gap(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Largest distance of two empirical distributions, [0, 1]; both inputs sorted."""
    points = np.concatenate([one, two])
    left = np.searchsorted(one, points, side="right") / len(one)
    right = np.searchsorted(two, points, side="right") / len(two)
    return float(np.abs(left - right).max())
