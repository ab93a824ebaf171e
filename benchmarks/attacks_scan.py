"""What the scan finds of an attack, with no question known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attacks_store import PlantedStore
from guard_answers import as_dict

from ragshield.intervals import clustered_rate, rate
from ragshield.records import Batch, Passage, Vectors
from ragshield.scanning import scan
from ragshield.stores.memory import MemoryStore

THRESHOLD = 0.5
"""The command's own."""
BUDGET = 0.01
"""Share of the passages that the second column lets the scan list."""
TOGETHER = 10
"""Targets whose poison is in the store at once: few among many, as in life."""


def scanned(
    store: PlantedStore,
    n_real: int,
    groups: Sequence[Sequence[Passage]],
    embed: Callable[[list[str]], Vectors],
) -> dict[str, Any]:
    """Poison and honest passages that the scan lists, `TOGETHER` targets at a time.

    Args:
        store: the honest passages.
        n_real: only the first so many of them are scanned.
        groups: the poison, by target.
        embed: its encoder.
    """
    listed: list[tuple[int, int]] = []
    budgeted: list[tuple[int, int]] = []
    accused, n_scans = 0, 0
    for start in range(0, max(1, len(groups)), TOGETHER):
        part = groups[start : start + TOGETHER]
        ranked = _ranked(store, n_real, [p for group in part for p in group], embed)
        most = max(1, int(BUDGET * (n_real + sum(map(len, part)))))
        first = set(list(ranked)[:most])
        over = {i for i, suspicion in ranked.items() if suspicion >= THRESHOLD}
        listed += [(sum(p.id in over for p in group), len(group)) for group in part]
        budgeted += [(sum(p.id in first for p in group), len(group)) for group in part]
        accused += len(over & {p.id for p in store.passages[:n_real]})
        n_scans += 1
    return {
        "scan_recall": as_dict(clustered_rate(listed)),
        "scan_recall_in_budget": as_dict(clustered_rate(budgeted)),
        "scan_accused": as_dict(rate(accused, n_scans * n_real)),
    }


def _ranked(
    store: PlantedStore,
    n_real: int,
    poison: Sequence[Passage],
    embed: Callable[[list[str]], Vectors],
) -> dict[str, float]:
    """Suspicion by id, the worst first."""
    rows = [store.vectors[:n_real]] + ([embed([p.text for p in poison])] if poison else [])
    batch = Batch((*store.passages[:n_real], *poison), np.vstack(rows))
    with scan(MemoryStore(batch=batch), threshold=None) as report:
        # Secrets and personal data are exposed, not poisoned: no accusation.
        found = [f for f in report.findings if f.evidence.get("class") != "exposure"]
    return {f.passage_id: f.suspicion for f in found if f.suspicion is not None}
