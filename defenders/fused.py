"""Fused: weigh many cheap signals, remove only what stands out, abstain otherwise."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from ragshield.defenders.signals import Values, signals
from ragshield.errors import InputError, UsageError
from ragshield.records import Action, Finding, Retrieval, Status, Verdict
from ragshield.vectors import as_vector, as_vectors

WORDS = {
    "gap": "it is nearer to the question than the other hits",
    "rise": "it is far nearer to the question than the lower hits",
    "window": "a short stretch of it holds most of the question's words",
    "window_gap": "it packs the question's words closer than the other hits",
    "unique_terms": "it alone has question words that the other hits lack",
    "density": "much of it is words of the question",
    "density_gap": "more of it is words of the question than in the other hits",
    "coverage": "it has most of the question's words",
    "coverage_gap": "it has more of the question's words than the other hits",
    "bigrams": "it repeats the question's wording",
    "bigrams_gap": "it repeats the question's wording, unlike the other hits",
    "echo": "it quotes the question",
    "brevity": "it is much shorter than the other hits",
    "soup": "it has a long run of words that make no sentence",
    "typos": "many of its common words are misspelt",
    "instruction": "it gives instructions to a model",
    "request": "it asks for something in the imperative",
    "refusal": "it refuses, or asks for a refusal",
    "insistence": "it discredits other sources",
    "hidden": "it hides characters or text",
    "agreement": "another hit says nearly the same",
    "company": "several hits say nearly the same",
    "agreement_gap": "it agrees with another hit more than the topic explains",
    "twin": "it shares its wording with another hit",
}


class Fused:
    """Drop passages that look planted for the question; keep everything when none does.

    The default defender. It reads the question, the hits' texts and the stored vectors
    (nothing is embedded, no model is called), computes some twenty signals per hit
    (`ragshield.defenders.signals`) and adds them with fixed, non-negative weights. Most
    signals compare a hit with the others retrieved beside it, so they carry over to
    other encoders and stores. A hit is dropped only if the sum passes a threshold, so a
    retrieval in which nothing stands out loses nothing, and no question type has to be
    chosen.

    The threshold is the one that removed at most `budget` of the honest passages in
    every honest regime it was fitted on (benchmarks/results/guard.md lists them, with
    held-out numbers). This is an uncalibrated default: on another knowledge base the
    clean loss may differ.

    Suspicion is the logistic function of the weighted sum, [0, 1]; 0.5 is the threshold
    at budget 0.01. It ranks hits; it is no probability.

    Status `majority_assumption_violated`: at least half of the hits (and at least two)
    were dropped, so honest passages may be the minority and what was kept may be what
    the attacker left. With a single hit dropped nothing is kept, and the status says so
    too. What is dropped stays dropped.

    Limits: a passage that merely changes a number or a name in a true text moves its
    vector and words by almost nothing and is not found; nor is off-topic or untargeted
    text that reads like a document.

    Source: own; signals after TRIS (2609.00470, layer 2), FilterRAG (2508.02835),
    EcoSafeRAG (2505.13506) and RAGDefender (2511.01268, stage 2).

    Args:
        budget: largest share of honest passages it may cost, as measured when fitted;
            one of the budgets in fused.toml or between them.

    Raises:
        UsageError: the budget is outside the fitted range.
    """

    name: ClassVar[str] = "fused"

    def __init__(self, *, budget: float = 0.01) -> None:
        self.budget = budget
        self._model = model()
        self.threshold = self._model.threshold(budget)

    def inspect(self, retrieval: Retrieval) -> Verdict:
        """Judge every hit.

        Raises:
            InputError: the vectors are not one finite, non-zero row per hit, or the
                question's vector is of another width.
        """
        k = len(retrieval)
        if k == 0:
            return Verdict(kept=(), findings=(), status="clean", detector=self.name)
        vectors = as_vectors(retrieval.vectors, rows=k)
        as_vector(retrieval.question_vector, dim=vectors.shape[1], what="question_vector")
        if not retrieval.question.strip():
            raise InputError("the question is empty; fused needs the question's words")
        # One canonical order: not even rounding may tell two orders of the hits apart.
        order = sorted(range(k), key=lambda i: (retrieval.hits[i].id, retrieval.hits[i].text))
        judged = retrieval.select(order)
        values = signals(judged)
        parts = self._model.parts(values)
        total = self._model.bias + sum(parts.values())
        suspicion = np.empty(k)
        rows = np.empty(k, dtype=np.intp)
        suspicion[order] = 1.0 / (1.0 + np.exp(-np.clip(total, -30.0, 30.0)))
        rows[order] = np.arange(k)

        dropped = suspicion >= self.threshold
        n_dropped = int(dropped.sum())
        status: Status = "clean"
        if n_dropped:
            many = n_dropped == k or (n_dropped >= 2 and 2 * n_dropped >= k)
            status = "majority_assumption_violated" if many else "filtered"
        findings = tuple(
            Finding(
                passage_id=hit.id,
                suspicion=float(suspicion[i]),
                detector=self.name,
                action=Action.DROP if dropped[i] else Action.KEEP,
                reason=_reason(parts, int(rows[i]), drop=bool(dropped[i])),
                evidence={name: round(float(v[rows[i]]), 4) for name, v in values.items()}
                | {"threshold": self.threshold},
            )
            for i, hit in enumerate(retrieval.hits)
        )
        kept = tuple(hit for hit, gone in zip(retrieval.hits, dropped, strict=True) if not gone)
        return Verdict(kept=kept, findings=findings, status=status, detector=self.name)


@dataclass(frozen=True, slots=True)
class Model:
    """The fitted weights.

    Attributes:
        bias: added to the weighted sum.
        weights: weight by signal name; `a*b` is the product of two signals.
        budgets: increasing budgets.
        logits: the sum at which each budget was met, decreasing.
    """

    bias: float
    weights: dict[str, float]
    budgets: tuple[float, ...]
    logits: tuple[float, ...]

    def parts(self, values: dict[str, Values]) -> dict[str, Values]:
        """What each term adds to the sum, by its name."""
        found = {}
        for name, weight in self.weights.items():
            first, _, second = name.partition("*")
            found[name] = weight * (values[first] * values[second] if second else values[first])
        return found

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
        budgets=tuple(budget for budget, _ in pairs),
        logits=tuple(logit for _, logit in pairs),
    )


def _reason(parts: dict[str, Values], row: int, *, drop: bool) -> str:
    """A sentence that names the strongest signals of one hit."""
    if not drop:
        return "kept: nothing about it stands out enough"
    by_signal: dict[str, float] = {}
    for name, values in parts.items():
        # A product is told by its first factor.
        first = name.partition("*")[0]
        by_signal[first] = by_signal.get(first, 0.0) + float(values[row])
    strongest = sorted(by_signal, key=lambda name: -by_signal[name])[:3]
    said = [WORDS.get(name, name) for name in strongest if by_signal[name] > 0.2]
    return "dropped: " + ("; ".join(said) or "the sum of many weak signals") + "."
