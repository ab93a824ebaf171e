"""The fitted weights of the fused defender and how hits raise one another."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ragshield.defenders.signals import Values
from ragshield.errors import UsageError

ALARMS = frozenset(
    {"echo", "soup", "typos", "instruction", "request", "refusal", "insistence", "hidden"}
)
"""Signals that are about how a text is written, not about what it claims."""


@dataclass(frozen=True, slots=True)
class Group:
    """How a dropped hit raises those that say nearly the same.

    Attributes:
        lift: added to the sum of a hit that is as good as the same.
        start: likeness beyond the question from which it counts, [-1, 1].
        width: how much more likeness gives the full lift.
    """

    lift: float
    start: float
    width: float

    def raised(self, total: Values, claim: Values, pairs: Values, logit: float) -> Values:
        """The sums (k,), raised for hits like those at or above `logit`.

        Args:
            total: sums of all signals.
            claim: sums without `ALARMS`. A hit with an alarm raises nobody: a misspelt,
                injected or prefixed copy is most like the honest text it was made from.
            pairs: likeness beyond the question, (k, k), diagonal -1.
            logit: the sum from which a hit is dropped.
        """
        seeds = (claim >= logit) & (total - claim < 1.0)
        if not seeds.any():
            return total
        nearest = pairs[:, seeds].max(axis=1)
        tie = np.clip((nearest - self.start) / self.width, 0.0, 1.0)
        raised: Values = np.where(total >= logit, total, total + self.lift * tie)
        return raised

    def critical(self, total: Values, claim: Values, pairs: Values) -> Values:
        """For each hit the largest sum to drop from at which it is still dropped: (k,).

        It is dropped from `logit` exactly where its critical sum is at least `logit`:
        by its own sum, or with a hit whose claim is dropped. It does not depend on any
        threshold, so it is what a threshold can be calibrated on. Arguments as in
        `raised`.
        """
        tie = np.clip((pairs - self.start) / self.width, 0.0, 1.0)
        carried = np.minimum(claim[None, :], total[:, None] + self.lift * tie)
        carried[:, total - claim >= 1.0] = -np.inf
        found: Values = np.maximum(total, carried.max(axis=1))
        return found


@dataclass(frozen=True, slots=True)
class Model:
    """The fitted weights.

    Attributes:
        bias: added to the weighted sum.
        weights: weight by signal name; `a*b` is the product of two signals.
        group: how hits raise one another.
        budgets: increasing budgets.
        logits: the sum at which each budget was met, decreasing.
    """

    bias: float
    weights: dict[str, float]
    group: Group
    budgets: tuple[float, ...]
    logits: tuple[float, ...]

    def parts(self, values: dict[str, Values]) -> dict[str, Values]:
        """What each term adds to the sum, by its name."""
        found = {}
        for name, weight in self.weights.items():
            first, _, second = name.partition("*")
            found[name] = weight * (values[first] * values[second] if second else values[first])
        return found

    def total(self, values: dict[str, Values]) -> Values:
        """The weighted sum of each hit: (k,)."""
        parts = list(self.parts(values).values())
        total: Values = self.bias + np.sum(parts, axis=0)
        return total

    def threshold(self, budget: float) -> float:
        """Suspicion at which `budget` was met, between the fitted budgets log-linearly.

        Raises:
            UsageError: outside the fitted budgets.
        """
        low, high = self.budgets[0], self.budgets[-1]
        if not low <= budget <= high:
            raise UsageError(f"fused: budget is {budget!r}; it must be from {low} to {high}")
        logit = float(np.interp(math.log(budget), np.log(self.budgets), self.logits))
        return 1.0 / (1.0 + math.exp(-logit))


@cache
def model() -> Model:
    """The weights that ship with the package (benchmarks/fit_fused.py makes them)."""
    text = Path(__file__).with_name("fused.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    pairs = sorted((float(k), float(v)) for k, v in table["thresholds"].items())
    return Model(
        bias=float(table["bias"]),
        weights={name: float(weight) for name, weight in table["weights"].items()},
        group=Group(**{name: float(value) for name, value in table["group"].items()}),
        budgets=tuple(budget for budget, _ in pairs),
        logits=tuple(logit for _, logit in pairs),
    )
