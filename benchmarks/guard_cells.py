"""Judged retrievals sorted into the cells of the tables, and measured there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import guard_heldout as heldout
from guard_answers import Answers
from guard_data import DevData, data_folder, embedder
from guard_families import poison_texts, without_markup
from guard_fit import scored
from guard_models import Models, kin_of
from guard_trials import DOSES, Builder, Trial

REGIMES = ("a", "b", "c", "c20")
"""Regimes of the main tables, in their order."""

Measured = dict[str, Any]
OTHER = "other honest"


class Cells:
    """Measures judged retrievals by cell, with the reader's answers.

    Args:
        answers: reads what is left of each retrieval.
        trials: all of them; those questions that PoisonedRAG attacks in a regime are the
            ones its attack-free cell counts, so that before and after are comparable.
    """

    def __init__(self, answers: Answers, trials: Iterable[Trial]) -> None:
        self.answers = answers
        self._attacked = {(t.regime, t.key) for t in trials if t.family == "poisonedrag"}

    def compared(self, judged: Iterable[tuple[Trial, Any]]) -> Measured:
        """By regime and poisoned passages offered: `a 0`, `c 5+q`, `c other honest`."""
        return self.grouped(judged, self.cell)

    def cell(self, trial: Trial) -> str:
        """The cell of one trial."""
        if trial.family:
            return f"{trial.regime} {trial.n_poison}{'+q' if trial.prefixed else ''}"
        shared = (trial.regime, trial.key) in self._attacked
        return f"{trial.regime} {0 if shared else OTHER}"

    def families(self, judged: Iterable[tuple[Trial, Any]]) -> Measured:
        """By attack family, with and without question, regime and dose."""
        return self.grouped(judged, family_cell)

    def grouped(self, judged: Iterable[tuple[Trial, Any]], key: Callable[[Trial], str]) -> Measured:
        """Everything measured, by whatever `key` tells apart."""
        groups: dict[str, heldout.Judged] = defaultdict(list)
        for trial, dropped in judged:
            groups[key(trial)].append((trial, dropped))
        return {name: self.answers.measured(group) for name, group in sorted(groups.items())}


def in_main_table(trial: Trial) -> bool:
    """Whether the trial is one of the comparison: PoisonedRAG or nothing, main regimes."""
    return trial.family in ("", "poisonedrag") and trial.regime in REGIMES


def family_cell(trial: Trial) -> str:
    prefix = " with question" if trial.prefixed else ""
    # In (b) all there is: five, fewer where a family has fewer.
    dose = 5 if trial.regime == "b" else trial.n_poison
    return f"{trial.family}{prefix} / {trial.regime} {dose}"


def dataset_cell(trial: Trial) -> str:
    prefix = "with question" if trial.prefixed else "text alone"
    return f"{trial.dataset} / {trial.regime} / {trial.family} / {prefix}"


def attacked_cell(trial: Trial) -> str:
    if not trial.family:
        return f"{trial.regime} / {trial.dataset} / no attack"
    prefix = " with question" if trial.prefixed else ""
    return f"{trial.regime} / {trial.dataset} / {trial.family}{prefix} / {trial.n_poison}"


def evidence_only(judged: tuple[Trial, Any]) -> tuple[Trial, Any]:
    """What was dropped of the evidence and of the poison, the other passages left out."""
    trial, dropped = judged
    seen = trial.evidence | trial.poisoned
    return replace(trial, poisoned=trial.poisoned[seen]), dropped[seen]


def stripped(cache: Path, models: Models) -> heldout.Judged:
    """(a) again with quotes and Markdown taken from the poison: label caveat 5."""
    builder = Builder(embedder(cache))
    plain: list[Trial] = []
    for case in DevData(data_folder()).cases():
        for family in ("poisonedrag", "gpt4", "blind"):
            bad = [without_markup(t) for t in poison_texts(case, family)]
            plain += [
                builder.trial("a", case, family, case.contexts, bad[:n])
                for n in DOSES
                if case.contexts and len(bad) >= n
            ]
    return [
        (row.trial, model.dropped(row))
        for row in scored(plain)
        for model in [
            models.without(families=kin_of(row.trial.family), datasets=[row.trial.dataset])
        ]
    ]
