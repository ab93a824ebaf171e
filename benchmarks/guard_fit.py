"""Fits the fused defender: a logistic model with non-negative weights, and its thresholds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from guard_trials import Trial
from scipy.optimize import minimize

from ragshield.defenders.fused_model import ALARMS, Group
from ragshield.defenders.signals import measure

TERMS = (
    "rise", "gap", "window", "beyond", "unique_terms", "density_gap", "in_order_gap",
    "bigrams_gap", "echo", "brevity", "agreement_gap", "bloc", "rise*beyond", "rise*window",
    "pull", "soup", "typos", "instruction", "request", "refusal", "insistence", "hidden",
    "plain", "emphasis",
)  # fmt: skip
CAPS = {
    "emphasis": 3.5,
    "insistence": 3.0,
    "refusal": 3.0,
    "instruction": 5.0,
    "hidden": 5.0,
    "soup": 6.0,
    "typos": 6.0,
}
"""Largest weights of the alarms: their patterns and some of the attacks they were tried on
were written by the same hand, so the fit would trust them too much."""
BUDGETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
L2 = 1e-3
MIN_PASSAGES = 1000
"""Honest sets with fewer passages are too small to set a 1 % threshold by: pooled."""
GROUP = Group(lift=2.0, start=0.5, width=0.3)

EVIDENCE = 5.0
"""Where one passage answers and the rest are about other things, that passage is nearest for
the best of reasons, and losing it costs the answer. So the evidence itself, and not the share
of all passages, may be lost in at most this many times the budget."""

VERBATIM = frozenset({"tofu", "dusk", "wordnet", "foldoc", "gcide"})
"""Honest sets in which each question restates a stored passage word for word."""


@dataclass(frozen=True)
class Scored:
    """A trial with its signals: the rows of `terms` belong to the hits."""

    trial: Trial
    terms: Any
    pairs: Any


@dataclass(frozen=True)
class Fit:
    """Weights per term, bias, and the sum at which each budget is met."""

    weights: Any
    bias: float
    logits: dict[float, float]

    def sums(self, terms: Any) -> tuple[Any, Any]:
        """Sums of each row with all terms, and without the alarms."""
        claims = np.array([name not in ALARMS for name in TERMS])
        total = self.total(terms)
        return total, total - terms[:, ~claims] @ self.weights[~claims]

    def dropped(self, row: Scored, budget: float = 0.01) -> Any:
        """Which hits the defender would drop: (k,) bool."""
        total, claim = self.sums(row.terms)
        logit = self.logits[budget]
        return GROUP.raised(total, claim, row.pairs, logit) >= logit

    def total(self, terms: Any) -> Any:
        """The weighted sum of each row."""
        return terms @ self.weights + self.bias


def scored(trials: Sequence[Trial]) -> list[Scored]:
    """Signals of every trial, as a (k, terms) matrix each."""
    out = []
    for trial in trials:
        values, pairs = measure(trial.retrieval)
        out.append(Scored(trial, term_matrix(values), pairs))
    return out


def term_matrix(values: dict[str, Any]) -> Any:
    """Columns in the order of `TERMS`; `a*b` is a product."""
    columns = []
    for name in TERMS:
        first, _, second = name.partition("*")
        columns.append(values[first] * values[second] if second else values[first])
    return np.column_stack(columns)


def fit(rows: Sequence[Scored], budgets: Sequence[float] = BUDGETS) -> Fit:
    """Weights by penalised likelihood, thresholds by the worst honest set."""
    weights, bias = _logistic(rows)
    model = Fit(weights, bias, {})
    return Fit(weights, bias, thresholds(model, rows, budgets))


def thresholds(
    model: Fit, rows: Sequence[Scored], budgets: Sequence[float], *, group: bool = True
) -> dict[float, float]:
    """For each budget the smallest sum at which no honest set loses more than the budget.

    A set is one dataset in one regime without poison; sets of fewer than `MIN_PASSAGES`
    passages are pooled. Sets whose questions were made from the very passage that
    answers them (`VERBATIM`) may on average lose twice the budget, and the evidence that
    stands alone (`EVIDENCE`) five times the budget. What is lost includes what a dropped
    hit takes with it (`GROUP`).
    """
    alone: dict[str, list[Any]] = defaultdict(list)
    sets: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in rows:
        if not row.trial.poisoned.any():
            sums = (*model.sums(row.terms), row.pairs)
            everything = np.ones(len(row.pairs), dtype=bool)
            sets[(row.trial.regime, row.trial.dataset)].append((*sums, everything))
            if row.trial.evidence.any():
                alone[row.trial.regime].append((*sums, row.trial.evidence))
    pooled: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for key, found in sets.items():
        large = sum(len(total) for total, *_ in found) >= MIN_PASSAGES
        pooled[key if large else ("", "")] += found
    ordinary = [found for (_, dataset), found in pooled.items() if dataset not in VERBATIM]
    verbatim = [found for (_, dataset), found in pooled.items() if dataset in VERBATIM]
    out = {}
    for budget in budgets:
        limits = [_limit([found], budget, group=group) for found in ordinary]
        if verbatim:
            limits.append(_limit(verbatim, 2 * budget, group=group))
        if alone:
            limits.append(_limit(list(alone.values()), EVIDENCE * budget, group=group))
        out[budget] = max(limits) + 1e-6
    return out


def _limit(sets: Sequence[Sequence[Any]], share: float, *, group: bool) -> float:
    """The smallest sum at which the sets lose at most `share` on average."""
    values = np.concatenate([total for found in sets for total, *_ in found])
    low, high = float(np.quantile(values, max(1 - 20 * share, 0.0))), float(values.max())
    for _ in range(24):
        middle = 0.5 * (low + high)
        loss = np.mean([_loss(found, middle, group=group) for found in sets])
        low, high = (middle, high) if loss > share else (low, middle)
    return high


def _loss(found: Sequence[Any], threshold: float, *, group: bool) -> float:
    lost = n = 0
    for total, claim, pairs, counted in found:
        n += int(counted.sum())
        if total.max() >= threshold:
            final = GROUP.raised(total, claim, pairs, threshold) if group else total
            lost += int((final >= threshold)[counted].sum())
    return lost / n


def _logistic(rows: Sequence[Scored]) -> tuple[Any, float]:
    x = np.vstack([row.terms for row in rows])
    y = np.concatenate([row.trial.poisoned for row in rows]).astype(float)
    w = _case_weights(rows)
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = (x - mean) / scale

    def loss(b: Any) -> tuple[float, Any]:
        logit = np.clip(z @ b[1:] + b[0], -30, 30)
        p = 1 / (1 + np.exp(-logit))
        value = -(w * (y * np.log(p + 1e-12) + (1 - y) * np.log(1 - p + 1e-12))).sum()
        gradient = w * (p - y)
        return (
            value + L2 * (b[1:] ** 2).sum(),
            np.concatenate([[gradient.sum()], z.T @ gradient + 2 * L2 * b[1:]]),
        )

    bounds = [(None, None)] + [
        (0.0, CAPS[name] * scale[j] if name in CAPS else None) for j, name in enumerate(TERMS)
    ]
    found = minimize(
        loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": 400},
    ).x  # fmt: skip
    return found[1:] / scale, float(found[0] - (found[1:] * mean / scale).sum())


def _case_weights(rows: Sequence[Scored]) -> Any:
    """Every cell of regime, family and dose counts the same; so do its two classes."""

    def cell(trial: Trial) -> tuple[Any, ...]:
        dataset = "" if trial.family else trial.dataset
        return trial.regime, dataset, trial.family, trial.prefixed, trial.n_poison

    counts = Counter(cell(row.trial) for row in rows)
    out = []
    for row in rows:
        poisoned = row.trial.poisoned
        weight = np.zeros(len(poisoned))
        share = 0.5 if poisoned.any() else 1.0
        if poisoned.any():
            weight[poisoned] = 0.5 / poisoned.sum()
        if (~poisoned).any():
            weight[~poisoned] = share / (~poisoned).sum()
        out.append(weight / counts[cell(row.trial)])
    total = np.concatenate(out)
    return total / total.sum()
