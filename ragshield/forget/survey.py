"""The first reading of a store: what the request names directly, and what is usual there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ragshield.errors import InputError, StoreError
from ragshield.forget.chosen import Chosen, Why
from ragshield.forget.documents import Key, is_document, keys_of, names_in_meta
from ragshield.forget.features import Features, Rarity
from ragshield.forget.mentions import CERTAIN, Mention, Mentions
from ragshield.forget.plan import listed
from ragshield.forget.request import Request
from ragshield.forget.where import Where
from ragshield.protocols import Store
from ragshield.records import Batch, Passage, Vectors
from ragshield.snapshot.layout import usable_unit

SAMPLED = 1_000
"""Passages whose nearest neighbours are looked for, to learn what is usual."""

_BATCH = 1_000


class Survey:
    """One reading from beginning to end. Holds counts and what was chosen, not the store.

    Attributes:
        n: passages read.
        n_unusable: of those, with a vector that is NaN, infinite or zero.
        dim: width of the vectors; None if the store has none.
        rarity: how rare its words are.
        sample: (m, dim) unit rows of evenly spaced passages; (0, 0) without vectors.
        sample_at: at which place in the reading each of them was.
        chosen: what the request names directly.
        found_ids: ids asked for that are there.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.mentions = (
            None if request.subject is None else Mentions(request.subject, request.aliases)
        )
        self._where = None if request.where is None else Where(request.where)
        self._ids = frozenset(request.ids)
        self.n = self.n_unusable = 0
        self.dim: int | None = None
        self.rarity = Rarity()
        self.chosen = Chosen()
        self.found_ids: set[str] = set()
        self.sample: Vectors = np.zeros((0, 0), dtype=np.float32)
        self.sample_at: list[int] = []
        self._last_names: list[tuple[Passage, tuple[Key, ...], Mention]] = []
        self._certain_keys: set[Key] = set()

    def read(self, store: Store) -> None:
        """Read the store.

        Raises:
            StoreError: it is empty.
            InputError: it holds vectors of different widths.
        """
        total = max(1, store.count())
        step = max(1, total // SAMPLED)
        rows: list[Vectors] = []
        for start, batch, unit in unit_batches(store):
            for i, passage in enumerate(batch.passages):
                self.rarity.note(Features(passage.text).vocabulary)
                self._judge(passage)
                if (start + i) % step == 0 and len(self.sample_at) < SAMPLED:
                    self.sample_at.append(start + i)
                    if unit is not None:
                        rows.append(unit[i : i + 1])
            self.n += len(batch)
            if unit is not None:
                self.dim = unit.shape[1]
                self.n_unusable += int((~unit.any(axis=1)).sum())
        if not self.n:
            raise StoreError(f"{store.url} is empty: there is nothing to forget")
        if rows and len(rows) == len(self.sample_at):
            self.sample = np.vstack(rows)
        self._settle_last_names()

    def unknown_ids(self, store: Store, *, skip: bool) -> tuple[str, ...]:
        """Ids asked for that are not there.

        Raises:
            InputError: there are such ids and they are not to be skipped, or none is there.
        """
        unknown = tuple(x for x in self.request.ids if x not in self.found_ids)
        if unknown and not (skip and len(unknown) < len(self.request.ids)):
            raise InputError(
                f"{store.url} does not hold {len(unknown)} of {len(self.request.ids)} ids: "
                f"{listed(unknown)}; correct them" + ("" if skip else ", or skip unknown ids")
            )
        return unknown

    def _judge(self, passage: Passage) -> None:
        if passage.id in self._ids:
            self.found_ids.add(passage.id)
            self.chosen.take(passage, Why(True, 1.0, "named by id"))
        elif self._where is not None and self._where.matches(passage):
            self.chosen.take(passage, Why(True, 1.0, "matches the filter"))
        elif self.request.document is not None and is_document(passage, self.request.document):
            why = Why(True, 1.0, f"belongs to the document '{self.request.document}'")
            self.chosen.take(passage, why)
        elif self.mentions is not None:
            self._look_for_names(passage, self.mentions)

    def _look_for_names(self, passage: Passage, mentions: Mentions) -> None:
        mention = mentions.find(passage.text)
        if mention is not None and mention.confidence >= CERTAIN:
            self._certain_keys.update(keys_of(passage))
            self.chosen.take(passage, Why(True, mention.confidence, mention.how))
            return
        for field, value in names_in_meta(passage).items():
            named = mentions.find(value)
            if named is not None and named.confidence >= CERTAIN:
                how = f"{named.how} in its metadata '{field}', not in its text"
                self.chosen.take(passage, Why(False, 0.8, how))
                return
        if mention is not None:
            self.chosen.take(passage, Why(False, mention.confidence, mention.how))
            if mention.confidence >= 0.5 and (keys := keys_of(passage)):
                self._last_names.append((passage, keys, mention))

    def _settle_last_names(self) -> None:
        """A last name alone is certain in a document that has the whole name, too."""
        for passage, keys, mention in self._last_names:
            if self._certain_keys & set(keys):
                how = f"{mention.how}, in a document that has the whole name"
                self.chosen.take(passage, Why(True, CERTAIN, how))
        self._last_names.clear()


def unit_batches(store: Store) -> Iterator[tuple[int, Batch, Vectors | None]]:
    """The store in batches: place of the first passage, the batch, its unit rows.

    A row without a usable vector is all zeros; None for a batch without vectors.

    Raises:
        InputError: vectors of different widths.
    """
    start, widths = 0, set()
    for batch in store.batches(_BATCH):
        unit = None
        if batch.vectors is not None:
            widths.add(batch.vectors.shape[1])
            if len(widths) > 1:
                raise InputError(f"{store.url} holds vectors of different widths: {sorted(widths)}")
            unit = usable_unit(batch.vectors)
        yield start, batch, unit
        start += len(batch)
