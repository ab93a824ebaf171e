"""The same store through `scan()`, with its approximate neighbours: does it find the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scan_detection_measure import EXPOSING, Judge, ranked
from scan_detection_poison import Family, disguised, draw
from scan_detection_world import Store, planted

from ragshield.protocols import Encoder
from ragshield.records import Batch
from ragshield.scanning import scan
from ragshield.stores.memory import MemoryStore

_PER_FAMILY = 5


def whole_scan(
    store: Store, encoder: Encoder, judge: Judge, found: Sequence[Family]
) -> dict[str, Any]:
    """One store that holds some poison of every family, scanned as a user would."""
    rng = np.random.default_rng(17)
    poison, family_of = [], {}
    for family in found:
        chosen = draw(family, _PER_FAMILY, rng)
        split = family.name == "attack split-payload"
        for passage in disguised(chosen, store.all, rng, split=split):
            poison.append(passage)
            family_of[passage.id] = family.name
    mixed = planted(store, poison, encoder.encode([p.text for p in poison]))
    every = [f for fs in judge.findings(mixed, {}).values() for f in fs]
    budgets = (0.002, 0.01)
    exact = ranked(every, mixed).ids
    batch = Batch(mixed.all, mixed.vectors)
    screens = [s for s in judge.screens if s.name != EXPOSING]
    with scan(MemoryStore("memory:", batch), screens, threshold=None, engine="serial") as report:
        ids = tuple(f.passage_id for f in report.findings if f.suspicion is not None)
        steps = dict(report.seconds_by_step)
        n_read, recall, seconds = report.n_passages, report.neighbour_recall, report.seconds
    return {
        "n_planted": len(poison),
        "n_passages": n_read,
        "neighbour_recall": recall,
        "seconds": seconds,
        "steps": steps,
        "recall": {
            str(b): {
                "exact": _share(exact, family_of, b, len(mixed)),
                "engine": _share(ids, family_of, b, len(mixed)),
            }
            for b in budgets
        },
        "same_first_200": len(set(exact[:200]) & set(ids[:200])),
    }


def _share(ids: Sequence[str], planted_ids: dict[str, str], budget: float, n: int) -> float:
    return sum(x in planted_ids for x in ids[: int(budget * n)]) / len(planted_ids)
