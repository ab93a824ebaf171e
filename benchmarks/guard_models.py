"""Fits that never saw what they judge, and the sums that a threshold is calibrated on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from guard_fit import GROUP, Fit, Scored, fit
from guard_heldout import KIN, Judged

BUDGET = 0.01
ADAPTIVE = "adaptive"
"""Families whose names begin so were searched against the guard; nothing is fitted on them."""


class Models:
    """Fits by what was kept from them, each made when it is first asked for.

    Args:
        rows: all there is to fit on; adaptive families among them are left out.
    """

    def __init__(self, rows: Sequence[Scored]) -> None:
        self._rows = [row for row in rows if not row.trial.family.startswith(ADAPTIVE)]
        self._made: dict[tuple[frozenset[str], frozenset[str]], Fit] = {}

    def without(self, *, families: Iterable[str] = (), datasets: Iterable[str] = ()) -> Fit:
        """A fit that saw none of these families and none of these datasets."""
        key = frozenset(families), frozenset(datasets)
        if key not in self._made:
            seen = [
                row
                for row in self._rows
                if row.trial.family not in key[0] and row.trial.dataset not in key[1]
            ]
            self._made[key] = fit(seen, budgets=(BUDGET,))
        return self._made[key]

    def both_held_out(self, rows: Iterable[Scored]) -> Iterator[tuple[Fit, list[Scored]]]:
        """Rows in groups, each with a fit without their family, its kin and their dataset.

        Rows without poison go with the fit that judges PoisonedRAG on their dataset;
        families without kin go with one that is held out by dataset alone.
        """
        groups: dict[tuple[tuple[str, ...], str], list[Scored]] = defaultdict(list)
        for row in rows:
            groups[kin_of(row.trial.family or "poisonedrag"), row.trial.dataset].append(row)
        for (families, dataset), group in groups.items():
            yield self.without(families=families, datasets=[dataset]), group

    def dataset_held_out(self, rows: Iterable[Scored]) -> Iterator[tuple[Fit, list[Scored]]]:
        """Rows by dataset, each with a fit that never saw it."""
        groups: dict[str, list[Scored]] = defaultdict(list)
        for row in rows:
            groups[row.trial.dataset].append(row)
        for dataset, group in groups.items():
            yield self.without(datasets=[dataset]), group


def kin_of(family: str) -> tuple[str, ...]:
    """The family with all of one make; by itself where it has no kin."""
    return next((kin for kin in KIN if family in kin), (family,))


def critical(model: Fit, row: Scored) -> Any:
    """For each hit the highest suspicion to drop from at which it is still dropped: (k,).

    What `Fused` gives as `critical` in the evidence, with another model's weights; 0.5 is
    the model's own threshold.
    """
    total, claim = model.sums(row.terms)
    found = GROUP.critical(total, claim, row.pairs) - model.logits[BUDGET]
    return 1 / (1 + np.exp(-np.clip(found, -30, 30)))


def uncalibrated(groups: Iterable[tuple[Fit, list[Scored]]]) -> Judged:
    """What each model drops at its own threshold."""
    return [(row.trial, model.dropped(row)) for model, rows in groups for row in rows]
