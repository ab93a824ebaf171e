"""Fused: weigh many cheap signals, remove only what stands out, abstain otherwise."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from ragshield.defenders.fused_model import ALARMS, model
from ragshield.defenders.signal_claims import beside
from ragshield.defenders.signals import Values, measure
from ragshield.errors import InputError, UsageError
from ragshield.records import Action, Finding, Retrieval, Status, Verdict
from ragshield.vectors import as_vector, as_vectors

WORDS = {
    "gap": "it is nearer to the question than the other hits",
    "rise": "it is far nearer to the question than the lower hits",
    "window": "a short stretch of it holds most of the question's words",
    "unique_terms": "it alone has question words that the other hits lack",
    "density_gap": "more of it is words of the question than in the other hits",
    "bigrams_gap": "it repeats the question's wording, unlike the other hits",
    "echo": "it quotes the question",
    "brevity": "it is much shorter than the other hits",
    "soup": "it has a long run of words that make no sentence",
    "typos": "many of its common words are misspelt",
    "instruction": "it gives instructions to a model",
    "request": "it asks for something in the imperative",
    "refusal": "it refuses, or asks for a refusal",
    "insistence": "it discredits other sources",
    "emphasis": "it presents its claim as surprising or beyond doubt",
    "beyond": "a short stretch of it holds more of the question than its topic",
    "in_order_gap": "it follows the order of the question's words, unlike the other hits",
    "pull": "it is nearer to the question than to the other hits",
    "bloc": "several hits say the same about the question",
    "hidden": "it hides characters or text",
    "praise": "it praises or stresses where the other hits state",
    "adverbs": "it colours its statements more than the other hits do",
    "vague": "it names fewer names and numbers of its own than the other hits",
    "late": "it was added long after the other hits",
    "one_source": "its source says nearly the same in another hit",
    "agreement": "another hit says nearly the same",
    "agreement_gap": "it agrees with another hit more than the topic explains",
}


class Fused:
    """Drop passages that look planted for the question; keep everything when none does.

    The default defender. It reads the question, the hits' texts and the stored vectors
    (nothing is embedded, no model is called), computes some twenty-five signals per hit
    (`ragshield.defenders.signals`) and adds them with fixed, non-negative weights. Most
    signals compare a hit with the others retrieved beside it, so they carry over to
    other encoders and stores. A hit is dropped only if the sum passes a threshold, so a
    retrieval in which nothing stands out loses nothing, and no question type has to be
    chosen. A dropped hit raises the suspicion of those that say nearly the same, beyond
    what the question explains, so that the rest of a campaign follows it.

    A budget's threshold is the one at which no honest set that it was fitted on lost more
    than half of the budget of its passages, which leaves room for sets that it was not
    fitted on. Where each question restates a stored passage word for word the sets may
    lose .8 of it on average, and where one passage answers and all others are about
    something else, that passage may be lost in five times the budget. With its dataset
    left out of the fit every honest set stayed at .010 or below at the default, but for
    lone evidence (.011) and documents that repeat one fact (.04).
    benchmarks/results/guard.md has the held-out numbers. This is an uncalibrated default:
    on another knowledge base the clean loss may differ; `ragshield calibrate` finds the
    threshold for yours.

    Suspicion is the logistic function of the weighted sum, [0, 1]; 0.5 is the threshold
    at budget 0.01. It ranks hits; it is no probability. `critical` in the evidence is
    the highest threshold at which the hit would be dropped, alone or with others. A
    dropped hit also names the hits that it contradicts (`conflicts_with`: another number
    or name, or a negation, in a sentence with the same words of the question) and those
    that say nearly the same (`agrees_with`).

    Status `majority_assumption_violated`: at least half of the hits (and at least two)
    were dropped, so honest passages may be the minority and what was kept may be what
    the attacker left. With a single hit dropped nothing is kept, and the status says so
    too. What is dropped stays dropped.

    Limits: a passage that merely changes a number or a name in a true text moves its
    vector and words by almost nothing and is not found; nor is off-topic or untargeted
    text that reads like a document. Fluent poison without the question in it, one
    passage among ten, is found in .74 (attack family held out) to .88 (dataset held out)
    of the cases, and in .63 to .71 out of a large store; most of it by how it is written:
    where it neither praises nor stresses, in .41 and .12. In a majority it is found in
    .39 to .53. Many honest documents that repeat one fact in answer to the
    question look like a campaign. Sources and dates are used where the metadata has
    them; no development data does, so their weights are small and not fitted.

    Source: own; signals after TRIS (2609.00470, layer 2), FilterRAG (2508.02835),
    EcoSafeRAG (2505.13506) and RAGDefender (2511.01268, stage 2).

    Args:
        budget: largest share of honest passages it may cost, as measured when fitted;
            one of the budgets in fused.toml or between them.
        threshold: the suspicion from which a hit is dropped, (0, 1), instead of the one
            that belongs to the budget.

    Raises:
        UsageError: the budget is outside the fitted range, or the threshold outside (0, 1).
    """

    name: ClassVar[str] = "fused"

    def __init__(self, *, budget: float = 0.01, threshold: float | None = None) -> None:
        if threshold is not None and not 0.0 < threshold < 1.0:
            raise UsageError(f"fused: threshold is {threshold!r}; it must be between 0 and 1")
        self.budget = budget
        self._model = model()
        chosen = self._model.threshold(budget)
        self.threshold = chosen if threshold is None else threshold

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
        ordered = retrieval.select(order)
        values, pairs = measure(ordered)
        parts = self._model.parts(values)
        own = self._model.bias + sum(parts.values(), np.zeros(k))
        logit = math.log(self.threshold / (1.0 - self.threshold))
        claim = own - sum((v for n, v in parts.items() if n in ALARMS), np.zeros(k))
        total = self._model.group.raised(own, claim, pairs, logit)
        rows = np.empty(k, dtype=np.intp)
        rows[order] = np.arange(k)
        suspicion = _logistic(total)[rows]
        critical = _logistic(self._model.group.critical(own, claim, pairs))[rows]
        carried = ((own < logit) & (total >= logit))[rows]

        dropped = suspicion >= self.threshold
        n_dropped = int(dropped.sum())
        status: Status = "clean"
        if n_dropped:
            many = n_dropped == k or (n_dropped >= 2 and 2 * n_dropped >= k)
            status = "majority_assumption_violated" if many else "filtered"
        others = beside(ordered, pairs, rows[dropped].tolist()) if n_dropped else {}
        names = [*values, "threshold"]
        limit = np.full(k, self.threshold)
        table = np.column_stack([*values.values(), limit]).round(4).tolist()
        findings = tuple(
            Finding(
                passage_id=hit.id,
                suspicion=float(suspicion[i]),
                detector=self.name,
                action=Action.DROP if dropped[i] else Action.KEEP,
                reason=_reason(
                    parts, int(rows[i]), drop=bool(dropped[i]), carried=bool(carried[i])
                ),
                evidence=dict(zip(names, table[rows[i]], strict=True), critical=float(critical[i]))
                | others.get(int(rows[i]), {}),
            )
            for i, hit in enumerate(retrieval.hits)
        )
        kept = tuple(hit for hit, gone in zip(retrieval.hits, dropped, strict=True) if not gone)
        return Verdict(kept=kept, findings=findings, status=status, detector=self.name)


def _logistic(total: Values) -> Values:
    found: Values = 1.0 / (1.0 + np.exp(-np.clip(total, -30.0, 30.0)))
    return found


def _reason(parts: dict[str, Values], row: int, *, drop: bool, carried: bool) -> str:
    """A sentence that names the strongest signals of one hit."""
    if not drop:
        return "kept: nothing about it stands out enough"
    by_signal: dict[str, float] = {}
    for name, values in parts.items():
        # A product is told by its first factor.
        first = name.partition("*")[0]
        by_signal[first] = by_signal.get(first, 0.0) + float(values[row])
    for about_all in ("plain", "shared_topic"):
        by_signal.pop(about_all, None)
    strongest = sorted(by_signal, key=lambda name: -by_signal[name])[:3]
    said = [WORDS[name] for name in strongest if by_signal[name] > 0.2]
    if carried:
        said.insert(0, "it says nearly the same as a dropped hit")
    return "dropped: " + ("; ".join(said) or "the sum of many weak signals")
