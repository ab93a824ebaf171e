"""The calibrated guard with weights that never saw what it is measured on.

`ragshield.calibration` cannot be handed other weights, so its parts are called: questions
drawn from the store, the critical suspicions of what they retrieve, `calibrated_threshold`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from guard_data import Case
from guard_fit import Fit, Scored, scored
from guard_heldout import Judged
from guard_models import BUDGET, critical
from guard_trials import HonestStore

from ragshield.calibration import calibrate
from ragshield.calibration.conformal import (
    Threshold,
    calibrated_threshold,
    tail_of,
    threshold_at,
)
from ragshield.calibration.drawing import draw_questions
from ragshield.defenders.calibrated_shield import Shield
from ragshield.protocols import Encoder
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MemoryStore
from ragshield.text import normal_form

N_DRAWN = 300
"""Questions calibrated on: the default of `ragshield calibrate`."""
K = 10
ON_STORE = ("a", "b", "c", "c20")
"""Regimes whose honest passages all lie in the large store that is calibrated on."""

Groups: TypeAlias = Iterable[tuple[Fit, list[Scored]]]
Drawn: TypeAlias = dict[int, list[Scored]]
Stated: TypeAlias = dict[tuple[str, str], tuple[Threshold, int]]
"""By regime and dataset the threshold with its stated rate, and questions calibrated on."""


def drawn_rows(
    store: HonestStore, regime: str, n: int, asked: Iterable[str], *, k: int = K, seed: int = 0
) -> list[Scored]:
    """What at most n questions drawn from the store retrieve, none of them in `asked`."""
    passages = [Passage(str(i), text) for i, text in enumerate(store.passages)]
    known = {normal_form(question) for question in asked}
    drawn = [one.target.question.text for one in draw_questions(passages, 2 * n, seed=seed)]
    questions = [q for q in drawn if normal_form(q) not in known][:n]
    store.builder.vectors(questions)
    cases = (Case(f"drawn-{i}", "drawn", q, "", "", ()) for i, q in enumerate(questions))
    return scored([store.trial(regime, case, "", (), k=k) for case in cases])


def k_of(regime: str) -> int:
    """How many hits a regime of the honest store judges: c is 10, c20 is 20."""
    return int(regime[1:]) if regime[:1] == "c" and regime[1:].isdigit() else K


def on_store(groups: Groups, drawn: Drawn) -> tuple[Judged, Stated]:
    """Each row judged at a threshold from questions drawn from the honest store.

    Args:
        groups: rows with the fit that judges them; only regimes of the large store and those
            whose passages it holds (`ON_STORE`) are judged.
        drawn: honest retrievals of the store, by how many hits were judged.

    Returns:
        What was dropped, and what the calibration stated for each regime and dataset.
    """
    out: Judged = []
    stated: Stated = {}
    for model, rows in groups:
        found: dict[int, Threshold] = {}
        for row in rows:
            k = k_of(row.trial.regime)
            if k not in drawn or row.trial.regime not in ON_STORE:
                continue
            if k not in found:
                found[k] = calibrated_threshold([critical(model, one) for one in drawn[k]], BUDGET)
            stated[row.trial.regime, row.trial.dataset] = found[k], len(drawn[k])
            out.append((row.trial, critical(model, row) >= found[k].value))
    return out, stated


def on_others(groups: Groups, honest: Sequence[Scored]) -> tuple[Judged, Stated]:
    """Each row judged at a threshold from the other questions of its regime and dataset.

    Leave one question out: honest retrievals of the same regime and dataset under all
    questions but the row's own. With n others the budget in force is 1 / (n + 1) where
    that is more than `BUDGET`. Rows without two others are left out.

    Returns:
        What was dropped, and for each regime and dataset the threshold of all its
        questions together with their number: what would be stated.
    """
    peers: dict[tuple[str, str], dict[str, Scored]] = defaultdict(dict)
    for row in honest:
        trial = row.trial
        if not trial.family and len(trial.poisoned):
            peers[trial.regime, trial.dataset].setdefault(trial.retrieval.question, row)
    out: Judged = []
    stated: Stated = {}
    for model, rows in groups:
        clusters: dict[tuple[str, str], dict[str, Any]] = {}
        limits: dict[tuple[str, str, str], float] = {}
        for row in rows:
            key = row.trial.regime, row.trial.dataset
            if len(peers[key]) < 3:
                continue
            if key not in clusters:
                clusters[key] = {q: critical(model, one) for q, one in peers[key].items()}
                everyone = list(clusters[key].values())
                stated[key] = calibrated_threshold(everyone, BUDGET), len(everyone)
            question = row.trial.retrieval.question
            if (*key, question) not in limits:
                others = [c for q, c in clusters[key].items() if q != question]
                limits[*key, question] = left_out_threshold(others)
            out.append((row.trial, critical(model, row) >= limits[*key, question]))
    return out, stated


def left_out_threshold(others: Sequence[Any]) -> float:
    """The conformal threshold of these clusters at `BUDGET`, or at the least they allow."""
    return threshold_at(tail_of(others), max(BUDGET, 1 / (len(others) + 1)))


def stated_row(found: Threshold, n: int) -> dict[str, Any]:
    """A calibration's statement, for the report."""
    return {
        "threshold": found.value,
        "budget": found.budget,
        "value": found.expected,
        "low": found.low,
        "high": found.high,
        "n": n,
    }


def shield_of(store: HonestStore, encoder: Encoder, *, n_questions: int = N_DRAWN) -> Shield:
    """What `ragshield calibrate` makes of a part of the store: for timing, with shipped weights."""
    texts = store.passages[::10]
    passages = tuple(Passage(str(i), text) for i, text in enumerate(texts))
    batch = Batch(passages, store.builder.vectors(texts))
    memory = MemoryStore("memory:honest", batch)
    return calibrate(memory, encoder, k=10, n_questions=n_questions, n_attacked=0)


def mean_share(clusters: Sequence[Any], threshold: float) -> float:
    """Mean over questions of the share of their hits at or above a threshold."""
    return float(np.mean([(c >= threshold).mean() for c in clusters]))
