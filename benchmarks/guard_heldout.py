"""Measures the fused defender only on what it was not fitted on."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from guard_fit import TERMS, Fit, Scored, fit, thresholds
from guard_trials import Trial

from ragshield.metrics import Removal, clean_loss, exact_removal, poison_recall

KIN = (
    ("poisonedrag", "gpt4", "hidden", "template"),
    ("hotflip", "phantom"),
    ("corruptrag", "pia", "hijack", "blocker", "authority"),
    ("garag",),
    ("blind",),
    ("counterfact",),
    ("injection",),
)
"""Families of one make: all of them are left out when one of them is tested."""

ATTACKED = ("nq", "hotpotqa", "msmarco")
Judged = list[tuple[Trial, Any]]


def fold(trial: Trial) -> int:
    """0 or 1, by question: the same question is never fitted on and tested."""
    return zlib.crc32(trial.retrieval.question.encode()) % 2


def leave_one_family_out(rows: Sequence[Scored]) -> Judged:
    """Each family judged by a fit without it, its kin and half of the questions."""
    out: Judged = []
    for family in KIN:
        for half in (0, 1):
            model = fit(
                [r for r in rows if r.trial.family not in family and fold(r.trial) != half],
                budgets=(0.01,),
            )
            out += _judge(
                model, (r for r in rows if r.trial.family in family and fold(r.trial) == half)
            )
    return out


def leave_one_dataset_out(rows: Sequence[Scored]) -> Judged:
    """Each dataset, attacked or honest, judged by a fit that never saw it."""
    out: Judged = []
    for dataset in sorted({r.trial.dataset for r in rows}):
        model = fit([r for r in rows if r.trial.dataset != dataset], budgets=(0.01,))
        out += _judge(model, (r for r in rows if r.trial.dataset == dataset))
    return out


def train_on_one(rows: Sequence[Scored], dataset: str) -> Judged:
    """The other two attacked datasets judged by a fit on one and on the honest-only sets."""
    others = [d for d in ATTACKED if d != dataset]
    known = [r for r in rows if r.trial.dataset == dataset or _honest_only(r.trial)]
    return _judge(fit(known, budgets=(0.01,)), (r for r in rows if r.trial.dataset in others))


def single_signals(rows: Sequence[Scored], keep: Callable[[Trial], bool]) -> dict[str, Judged]:
    """Each signal by itself, its threshold from the other half of the questions."""
    out: dict[str, Judged] = {}
    for j, name in enumerate(TERMS):
        if "*" in name or name == "plain":
            continue
        out[name] = []
        for half in (0, 1):
            alone = Fit(np.eye(len(TERMS))[j], 0.0, {})
            other = [r for r in rows if fold(r.trial) != half]
            limit = thresholds(alone, other, (0.01,), group=False)[0.01]
            for row in rows:
                if keep(row.trial) and fold(row.trial) == half:
                    out[name].append((row.trial, row.terms[:, j] >= limit))
    return out


def removals(judged: Iterable[tuple[Trial, Any]]) -> list[Removal]:
    """Counts per retrieval, clustered by question."""
    return [
        Removal(
            poison=int(trial.poisoned.sum()),
            poison_removed=int((dropped & trial.poisoned).sum()),
            clean=int((~trial.poisoned).sum()),
            clean_removed=int((dropped & ~trial.poisoned).sum()),
            question_id=trial.retrieval.question,
        )
        for trial, dropped in judged
    ]


def measured(judged: Iterable[tuple[Trial, Any]]) -> dict[str, Any]:
    """Poison recall, clean loss and exact removal with n and 95 % limits."""
    found = removals(judged)
    out = {}
    for name, rate in (
        ("recall", poison_recall(found)),
        ("loss", clean_loss(found)),
        ("exact", exact_removal(found)),
    ):
        out[name] = {"value": rate.value, "low": rate.low, "high": rate.high, "n": rate.n}
    return out


def _judge(model: Fit, rows: Iterable[Scored]) -> Judged:
    return [(row.trial, model.dropped(row)) for row in rows]


def _honest_only(trial: Trial) -> bool:
    return trial.dataset not in (*ATTACKED, "counterfact", "bipia", "world")
