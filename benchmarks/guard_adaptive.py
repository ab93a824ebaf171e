"""Attacks that were searched against the guard itself, in the same table as the others.

Whoever makes them gives `Trial`s of the usual regimes whose family begins with
`guard_models.ADAPTIVE`; nothing is ever fitted on those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from guard_calibrated import Drawn, on_store
from guard_defenders import baselines, run
from guard_fit import scored
from guard_heldout import Judged
from guard_models import ADAPTIVE, Models, uncalibrated
from guard_trials import Trial

Measure = Callable[[Judged], dict[str, Any]]


def is_adaptive(trial: Trial) -> bool:
    """Whether the trial's poison was searched against the guard."""
    return trial.family.startswith(ADAPTIVE)


def adaptive(
    trials: Iterable[Trial], models: Models, drawn: Drawn, cells: Measure
) -> dict[str, dict[str, Any]]:
    """Every defender on adaptive attacks, by defender and then by what `cells` tells apart.

    The guard judges with the fits that saw neither the dataset nor any adaptive attack.
    The attacks were searched against the weights that ship, so the held-out fits are
    attacked by transfer; the row `fused, as shipped` is the one that was searched against.
    """
    attacked = [trial for trial in trials if is_adaptive(trial)]
    if not attacked:
        return {}
    rows = scored(attacked)
    groups = list(models.dataset_held_out(rows))
    judged: dict[str, Judged] = {name: run(d, attacked) for name, d in baselines().items()}
    judged["fused, as shipped"] = _shipped(attacked)
    judged["fused, dataset held out"] = uncalibrated(groups)
    judged["calibrated on the store, dataset held out"] = on_store(groups, drawn)[0]
    return {name: cells(found) for name, found in judged.items() if found}


def _shipped(trials: Sequence[Trial]) -> Judged:
    from ragshield.defenders.fused import Fused

    return run(Fused(), trials)
