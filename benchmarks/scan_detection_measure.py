"""Screens over a store with poison in it; the honest part is read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scan_detection_world import Store

from ragshield.protocols import Screen, StoreScreen
from ragshield.ranking import fused
from ragshield.records import Batch, Finding, Passage
from ragshield.screening import screens_named

EXPOSING = "secrets"
"""Screens that find what is exposed, not poisoned; left out here."""

_BY_ROWS = (
    "token-soup",
    "split-payload",
    "question-echo",
    "forged-metadata",
    "bursts",
    "same-length",
)
"""Screens whose reading of a part needs nothing outside of it."""


@dataclass(frozen=True)
class Ranked:
    """Ids of the store's passages, most suspicious first; those not named follow."""

    ids: tuple[str, ...]
    suspicion: tuple[float, ...]


class Judge:
    """All screens; what they read of the honest passages is kept."""

    def __init__(self, store: Store) -> None:
        self._honest = store
        self.screens: tuple[Screen, ...] = tuple(
            screen for screen in screens_named() if screen.name != EXPOSING
        )
        self._read: dict[str, list[Any]] = {}
        self._found: dict[str, list[Finding]] = {}

    def _read_honest(self, known: Mapping[str, list[Finding]]) -> None:
        store = self._honest
        for screen in self.screens:
            if screen.name in known or screen.name in self._found or screen.name in self._read:
                continue
            if not isinstance(screen, StoreScreen):
                self._found[screen.name] = _screened(screen, store.all)
            elif screen.name in _BY_ROWS:
                self._read[screen.name] = [screen.read(store, part) for part in store.parts()]

    def findings(
        self, store: Store, known: Mapping[str, list[Finding]]
    ) -> dict[str, list[Finding]]:
        """What each screen finds in the honest store with more passages behind.

        What is in `known`, by the name of the screen, is not judged again.
        """
        self._read_honest(known)
        new = store.all[len(self._honest) :]
        out = {}
        for screen in self.screens:
            if screen.name in known:
                out[screen.name] = known[screen.name]
                continue
            if not isinstance(screen, StoreScreen):
                out[screen.name] = [*self._found[screen.name], *_screened(screen, new)]
                continue
            kept = self._read.get(screen.name, [])
            rest = store.parts()[len(kept) :]
            read = [*kept, *(screen.read(store, part) for part in rest)]
            out[screen.name] = screen.judge(store, read)
        return out


def ranked(findings: Sequence[Finding], store: Store) -> Ranked:
    """The fused list, as a scan shows it."""
    place = {passage.id: i for i, passage in enumerate(store.all)}
    ranking = fused(findings, len(store), place.__getitem__)
    kept = [f for f in ranking if f.suspicion is not None and f.evidence.get("class") is None]
    return Ranked(tuple(f.passage_id for f in kept), tuple(f.suspicion or 0.0 for f in kept))


def ranked_alone(findings: Sequence[Finding], store: Store) -> Ranked:
    """One screen's list, ties in the order of the store."""
    place = {passage.id: i for i, passage in enumerate(store.all)}
    best: dict[str, float] = {}
    for finding in findings:
        value = finding.suspicion or 0.0
        best[finding.passage_id] = max(value, best.get(finding.passage_id, 0.0))
    order = sorted(best, key=lambda name: (-best[name], place[name]))
    return Ranked(tuple(order), tuple(best[name] for name in order))


def _screened(screen: Screen, passages: Sequence[Passage]) -> list[Finding]:
    return [
        finding
        for start in range(0, len(passages), 1024)
        for finding in screen.screen(Batch(tuple(passages[start : start + 1024]), None))
    ]


def compact(findings: Sequence[Finding], place: Mapping[str, str]) -> dict[str, Any]:
    """What fusing needs again: suspicion, screen, group, and which passages are planted."""
    kept = [f for f in findings if f.suspicion is not None]
    return {
        "found": [(f.passage_id, f.suspicion, f.detector, f.group) for f in kept],
        "planted": dict(place),
    }
