"""Attacks that were searched against the guard itself, in the same table as the others.

Their trials are of the usual regimes, with a family that begins with
`guard_models.ADAPTIVE`; nothing is ever fitted on those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from guard_calibrated import Drawn, on_store
from guard_data import Case
from guard_defenders import baselines, run
from guard_fit import scored
from guard_heldout import Judged
from guard_models import ADAPTIVE, Models, uncalibrated
from guard_trials import DOSES, HonestStore, Trial

from ragshield.attacks.adaptive import Adaptive
from ragshield.protocols import Encoder
from ragshield.records import Batch, Passage, Question, Target
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MemoryStore

Measure = Callable[[Judged], dict[str, Any]]


def searched_trials(store: HonestStore, cases: Sequence[Case], encoder: Encoder) -> Iterator[Trial]:
    """Poison searched against the shipped guard, planted in the store (20 judged, 10 read)."""
    passages = tuple(Passage(str(i), text) for i, text in enumerate(store.passages))
    memory = MemoryStore("memory:honest", Batch(passages, store.matrix))
    retriever = StoreRetriever(memory, encoder)
    for n in DOSES:
        attack = Adaptive(n=n, retriever=retriever, encoder=encoder)
        for number, case in enumerate(cases):
            target = Target(
                Question(case.key, case.question, (case.right,)),
                case.wrong,
                case.poison.get("poisonedrag", ()),
            )
            made = attack.craft(target, rng=np.random.default_rng([n, number]))
            yield store.trial("c20", case, ADAPTIVE, [p.text for p in made], k=20)


def adaptive(
    attacked: Sequence[Trial], models: Models, drawn: Drawn, cells: Measure
) -> dict[str, dict[str, Any]]:
    """Every defender on adaptive attacks, by defender and then by what `cells` tells apart.

    The guard judges with the fits that saw neither the dataset nor any adaptive attack.
    The attacks were searched against the weights that ship, so the held-out fits are
    attacked by transfer; the row `fused, as shipped` is the one that was searched against.
    """
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
