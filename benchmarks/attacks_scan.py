"""What the scan finds of an attack, with no question known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from attacks_store import PlantedStore
from guard_answers import as_dict

from ragshield.intervals import clustered_rate, rate
from ragshield.protocols import Screen, StoreScreen
from ragshield.records import Batch, Passage, Vectors
from ragshield.scanning import scan
from ragshield.scanning.judging import Result, _look
from ragshield.stores.memory import MemoryStore

THRESHOLD = 0.5
"""The command's own."""
BUDGET = 0.01
"""Share of the passages that the second column lets the scan list."""
TOGETHER = 10
"""Targets whose poison is in the store at once: few among many, as in life."""


READ_ALONE = frozenset("forged-metadata question-echo split-payload token-soup bursts".split())
"""Screens of the whole store whose reading of a part needs nothing but its texts."""


class Remembering:
    """One task after another; what is said of a part without poison is worked out once.

    Honest passages come first and in the same order in every row of the benchmark, so that
    a screen that reads nothing but the part itself finds the same there. A part that ends
    where poison begins is read anew: split payloads look one passage further.

    Args:
        passages: the honest ones.
        n_honest: how many of them stand before the first poisoned one.
    """

    name: ClassVar[str] = "serial"
    n_workers = 1

    def __init__(self, passages: Sequence[Passage], n_honest: int) -> None:
        self._passages = passages  # held, so that no other passages get their address
        self._n_honest = n_honest
        self._known: dict[tuple[str, range], Result] = {}

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        """Results, each worked out when it is asked for."""
        if not isinstance(function, partial) or function.func is not _look:
            return map(function, tasks)
        snapshot, screens = function.args
        return (self._looked(snapshot, screens, task) for task in tasks)

    def close(self) -> None:
        """Nothing to stop."""

    def _looked(self, snapshot: Any, screens: Sequence[Screen], task: Any) -> list[Result]:
        part = task[0]
        found = {
            s.name: self._known[s.name, part] for s in screens if (s.name, part) in self._known
        }
        new = [s for s in screens if s.name not in found]
        found |= {s.name: r for s, r in zip(new, _look(snapshot, new, task), strict=True)}
        if part.stop < self._n_honest:
            for screen in new:
                if not isinstance(screen, StoreScreen) or screen.name in READ_ALONE:
                    self._known[screen.name, part] = found[screen.name]
        return [found[s.name] for s in screens]


_ENGINES: dict[tuple[int, int], Remembering] = {}


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
    key = id(store.passages), n_real
    engine = _ENGINES.setdefault(key, Remembering(store.passages, n_real))
    with scan(MemoryStore(batch=batch), threshold=None, engine=engine) as report:
        # Secrets and personal data are exposed, not poisoned: no accusation.
        found = [f for f in report.findings if f.evidence.get("class") != "exposure"]
    return {f.passage_id: f.suspicion for f in found if f.suspicion is not None}
