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
    "bigrams_gap", "echo", "brevity", "agreement_gap", "bloc", "shared_topic", "praise",
    "adverbs", "vague", "soup", "typos", "instruction", "request", "refusal", "insistence",
    "hidden", "plain", "emphasis",
)  # fmt: skip
FIXED = {"late": 0.5, "one_source": 0.5}
"""Weights of signals that the development data cannot show: it carries no metadata. Small,
so that together they never drop a hit that is not within 1 of the threshold by itself."""
CAPS = {
    "emphasis": 3.5,
    "insistence": 3.0,
    "refusal": 3.0,
    "instruction": 5.0,
    "hidden": 5.0,
    "soup": 6.0,
    "typos": 6.0,
    "shared_topic": 1.0,
}
"""Largest weights of the alarms: their patterns and some of the attacks they were tried on
were written by the same hand, so the fit would trust them too much. And that of the topic,
which is about a retrieval and not about a hit."""
BUDGETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
L2 = 1e-3
MIN_PASSAGES = 1000
"""Honest sets with fewer passages are too small to set a 1 % threshold by: pooled."""
GROUP = Group(lift=2.0, start=0.5, width=0.3)

MARGIN, VERBATIM_MARGIN = 0.5, 0.8
"""Shares of the budget that an honest set may use, and `VERBATIM` sets on average: a set that
is not fitted on uses more."""

EVIDENCE = 5.0
"""Where one passage answers and the rest are about other things, that passage is nearest for
the best of reasons, and losing it costs the answer. So the evidence itself, and not the share
of all passages, may be lost in at most this many times the budget."""

HONEST_WEIGHT, EVIDENCE_WEIGHT = 8.0, 2.0
"""In the second pass: how much more honest retrievals count than poisoned ones, and evidence
that stands alone more than other hits of them. A threshold is set by the few honest hits that
look worst, so these are what the weights have to lower."""
TAIL = 1.5
"""How far below the threshold of the first pass a hit counts half in the second."""

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
    """Weights by penalised likelihood in two passes, thresholds by the worst honest set.

    The second pass sees honest hits by how near they come to the threshold of the first:
    what lies far below it needs no lowering.
    """
    x = np.vstack([row.terms for row in rows])
    y = np.concatenate([row.trial.poisoned for row in rows])
    weight = _case_weights(rows)
    model = Fit(*_logistic(x, y, weight), {})
    limit = thresholds(model, rows, (0.01,))[0.01]
    near = 1.0 / (1.0 + np.exp(-np.clip(model.total(x) - limit + TAIL, -30, 30)))
    weight = weight * np.concatenate([_importance(row.trial) for row in rows])
    honest = weight[~y].sum()
    weight[~y] *= near[~y]
    weight[~y] *= honest / weight[~y].sum()
    model = Fit(*_logistic(x, y, weight / weight.sum(), start=model), {})
    return Fit(model.weights, model.bias, thresholds(model, rows, budgets))


def _importance(trial: Trial) -> Any:
    if trial.poisoned.any():
        return np.ones(len(trial.poisoned))
    return HONEST_WEIGHT * np.where(trial.evidence, EVIDENCE_WEIGHT, 1.0)


def thresholds(
    model: Fit, rows: Sequence[Scored], budgets: Sequence[float], *, group: bool = True
) -> dict[float, float]:
    """For each budget the smallest sum at which no honest set loses more than it may.

    A set is one dataset in one regime without poison; sets of fewer than `MIN_PASSAGES`
    passages are pooled. An ordinary set may lose `MARGIN` of the budget; sets whose
    questions were made from the very passage that answers them (`VERBATIM`) may lose
    `VERBATIM_MARGIN` of it on average, and the evidence that stands alone (`EVIDENCE`)
    five times the budget. What is lost includes what a dropped hit takes with it (`GROUP`).
    """
    alone: dict[str, list[Any]] = defaultdict(list)
    sets: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in rows:
        trial = row.trial
        if not trial.poisoned.any():
            total, claim = model.sums(row.terms)
            worst = GROUP.critical(total, claim, row.pairs) if group else total
            sets[(trial.regime, trial.dataset)].append(worst)
            if trial.evidence.any():
                alone[trial.regime].append(worst[trial.evidence])
    pooled: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for key, found in sets.items():
        large = sum(map(len, found)) >= MIN_PASSAGES
        pooled[key if large else ("", "")] += found
    ordinary = [found for (_, dataset), found in pooled.items() if dataset not in VERBATIM]
    verbatim = [found for (_, dataset), found in pooled.items() if dataset in VERBATIM]
    groups = [([found], MARGIN) for found in ordinary]
    groups += [(verbatim, VERBATIM_MARGIN)] if verbatim else []
    groups += [(list(alone.values()), EVIDENCE)] if alone else []
    ready = [([np.sort(np.concatenate(found)) for found in sets], s) for sets, s in groups]
    return {b: max(_limit(sets, share * b) for sets, share in ready) + 1e-6 for b in budgets}


def _limit(sets: Sequence[Any], share: float) -> float:
    """The smallest sum at which the sets (sorted values) lose at most `share` on average."""
    low, high = min(float(s[0]) for s in sets), max(float(s[-1]) for s in sets) + 1e-6
    for _ in range(40):
        middle = 0.5 * (low + high)
        loss = np.mean([1.0 - np.searchsorted(s, middle) / len(s) for s in sets])
        low, high = (middle, high) if loss > share else (low, middle)
    return high


def _logistic(x: Any, y: Any, w: Any, start: Fit | None = None) -> tuple[Any, float]:
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = ((x - mean) / scale).astype(np.float32)
    first = np.zeros(x.shape[1] + 1)
    if start is not None:
        first[1:] = start.weights * scale
        first[0] = start.bias + start.weights @ mean

    def loss(b: Any) -> tuple[float, Any]:
        logit = np.clip(z @ b[1:].astype(np.float32) + b[0], -30, 30)
        p = 1 / (1 + np.exp(-logit))
        value = -(w * (y * np.log(p + 1e-12) + (1 - y) * np.log(1 - p + 1e-12))).sum()
        gradient = w * (p - y)
        slope = (z.T @ gradient.astype(np.float32)).astype(float)
        return (
            value + L2 * (b[1:] ** 2).sum(),
            np.concatenate([[gradient.sum()], slope + 2 * L2 * b[1:]]),
        )

    bounds = [(None, None)] + [
        (0.0, CAPS[name] * scale[j] if name in CAPS else None) for j, name in enumerate(TERMS)
    ]
    found = minimize(
        loss, first, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": 300, "ftol": 1e-8},
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
