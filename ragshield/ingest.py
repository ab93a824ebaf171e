"""The ingest guard: what arrives is screened before it is stored, and rejects are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from ragshield.errors import InputError
from ragshield.protocols import Encoder, MutableStore, Screen, Store
from ragshield.quarantine import Quarantine, batch_of
from ragshield.records import Batch, Finding, Passage
from ragshield.reingest import ReingestGuard, opened
from ragshield.retriever import check_dimensions
from ragshield.screening import OnScreenError, Screening, hold, ids_of, select
from ragshield.vectors import as_vectors

BACKGROUND = 256
"""Stored passages shown to the screens beside the arriving ones, as a yardstick."""

NEIGHBOURS = 5
"""Stored passages shown to the screens for each arriving one: those nearest to it."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of arriving passages; every one is in exactly one of the three.

    Attributes:
        added: ids now in the store, in the order of arrival.
        quarantined: ids now in the quarantine, in the order of arrival.
        findings: what was said about arriving passages, added ones included.
        refused: ids of those that were erased on purpose and are kept nowhere, in the
            order of arrival.
    """

    added: tuple[str, ...]
    quarantined: tuple[str, ...]
    findings: tuple[Finding, ...]
    refused: tuple[str, ...] = ()


class IngestGuard:
    """Screen passages on their way into a store.

    Arriving passages are embedded once, for the screens and the store alike. Screens
    see them together with the nearest stored passages and a first page of the store,
    so that a near-duplicate of something stored is noticed; only arriving passages
    are ever rejected. A passage is rejected if a screen's finding says DROP. Rejects
    are on disk in the quarantine before the others are added. Concurrent calls on
    one guard take turns; two guards at the same moment do not see each other's passages.

    Args:
        store: where passages go.
        quarantine: where rejects wait.
        encoder: the one that filled the store.
        screens: objects or registry names; None for all registered ones.
        on_error: what a failing screen means: `raise` (nothing is added or held),
            `keep` what it left unjudged (with a warning), or `quarantine` it.
        erased: a `ReingestGuard`, or its file: what it recognises is refused before it is
            embedded, and not held in the quarantine either, which keeps texts.

    Raises:
        InputError: the encoder's dimension is not the store's.
        UsageError: an unknown screen, none at all, or another `on_error`.
    """

    def __init__(
        self,
        store: MutableStore,
        quarantine: Quarantine,
        *,
        encoder: Encoder,
        screens: Sequence[Screen | str] | None = None,
        on_error: OnScreenError = "raise",
        erased: ReingestGuard | Path | str | None = None,
    ) -> None:
        check_dimensions(store, encoder)
        self.store = store
        self.quarantine = quarantine
        self.encoder = encoder
        self.screening = Screening(screens, on_error=on_error)
        self.erased = opened(erased)
        self._turn = Lock()

    def add(self, passages: Sequence[Passage] | Batch) -> IngestResult:
        """Store what passes; hold the rest with the reasons.

        Args:
            passages: with new, unique ids; a batch with vectors is not embedded again.

        Raises:
            InputError: an id exists already or occurs twice, or a vector is unusable;
                nothing is added or held then.
            Exception: what a failing screen raised, with on_error="raise".
        """
        given = _unique(passages)
        refusals = [] if self.erased is None else self.erased.findings(given.passages)
        refused = tuple(finding.passage_id for finding in refusals)
        kept = [i for i, x in enumerate(ids_of(given)) if x not in refused]
        batch = self._embedded(select(given, kept) if refused else given)
        with self._turn:
            taken = [passage.id for passage in self.store.get(ids_of(batch)).passages]
            if taken:
                raise InputError(f"id '{taken[0]}' is in {self.store.url} already; delete it first")
            findings = self.screening.judge(batch, around(self.store, batch))
            rejected = hold(self.quarantine, batch, findings)
            admitted = select(batch, [i for i, x in enumerate(ids_of(batch)) if x not in rejected])
            if admitted.passages:
                self.store.add(admitted)
        quarantined = tuple(x for x in ids_of(batch) if x in rejected)
        return IngestResult(tuple(ids_of(admitted)), quarantined, (*refusals, *findings), refused)

    def release(self, ids: Iterable[str]) -> IngestResult:
        """Add held passages after all, without screening them again.

        They leave the quarantine only once they are in the store.

        Raises:
            UsageError: an id that is not held.
            InputError: an id that the store has by now, or a passage that was erased on
                purpose; nothing is released then.
        """
        wanted = tuple(ids)
        with self._turn:
            batch = self._embedded(batch_of(self.quarantine.find(wanted)))
            if self.erased is not None and (found := self.erased.findings(batch.passages)):
                raise InputError(
                    f"passage '{found[0].passage_id}' {found[0].reason}; purge it from the "
                    "quarantine"
                )
            if batch.passages:
                self.store.add(batch)
                self.quarantine.release(wanted)
        return IngestResult(tuple(ids_of(batch)), (), ())

    def _embedded(self, batch: Batch) -> Batch:
        vectors = batch.vectors
        if vectors is None:
            vectors = self.encoder.encode([passage.text for passage in batch.passages])
        return Batch(batch.passages, as_vectors(vectors, rows=len(batch)))


def _unique(given: Sequence[Passage] | Batch) -> Batch:
    batch = given if isinstance(given, Batch) else Batch(tuple(given), None)
    seen: set[str] = set()
    for passage in batch.passages:
        if passage.id in seen:
            raise InputError(f"id '{passage.id}' occurs twice; ids must be unique")
        seen.add(passage.id)
    return batch


def around(store: Store, arrivals: Batch) -> Batch | None:
    """Stored passages to compare arriving ones with; None if there are none.

    The nearest to each arriving passage, then the first page of the store.
    """
    if arrivals.vectors is None or store.dim is None or not store.count():
        return None
    passages: dict[str, Passage] = {}
    rows = []
    for vector in arrivals.vectors:
        near = store.search(vector, NEIGHBOURS)
        for hit, row in zip(near.hits, near.vectors, strict=True):
            if hit.id not in passages:
                passages[hit.id] = hit.passage
                rows.append(row)
    page = next(store.batches(BACKGROUND))
    if page.vectors is not None:
        for passage, row in zip(page.passages, page.vectors, strict=True):
            if passage.id not in passages:
                passages[passage.id] = passage
                rows.append(row)
    return Batch(tuple(passages.values()), np.stack(rows))
