"""The first reading of a store: what the request names directly, and what is usual there."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ragshield.errors import InputError, StoreError
from ragshield.forget.closure.chosen import Chosen, Why
from ragshield.forget.matching.documents import Key, is_document, keys_of, names_in_meta
from ragshield.forget.matching.features import Rarity
from ragshield.forget.matching.mentions import CERTAIN, Mention, Mentions
from ragshield.forget.matching.reading import Part
from ragshield.forget.plans.file import listed
from ragshield.forget.plans.request import Request
from ragshield.forget.plans.where import Where
from ragshield.protocols import Store
from ragshield.records import Passage, Vectors

SAMPLED = 1_000
"""Passages whose nearest neighbours are looked for, to learn what is usual."""


class Overview:
    """What is usual in a store, whatever is looked for. Holds counts and a sample.

    Attributes:
        n: passages read.
        n_unusable: of those, with a vector that is NaN, infinite or zero.
        dim: width of the vectors; None if the store has none.
        rarity: how rare its words are.
        sample: (m, dim) unit rows of evenly spaced passages; (0, 0) without vectors.
        sample_at: at which place in the reading each of them was.
        usual: (m,) similarity of each to its nearest neighbour in the store; -1 until
            that was measured.
    """

    def __init__(self, store: Store) -> None:
        self._url = store.url
        self._step = max(1, max(1, store.count()) // SAMPLED)
        self._rows: list[Vectors] = []
        self.n = self.n_unusable = 0
        self.dim: int | None = None
        self.rarity = Rarity()
        self.sample: Vectors = np.zeros((0, 0), dtype=np.float32)
        self.sample_at: list[int] = []
        self.usual: Vectors = np.zeros(0, dtype=np.float32)
        self._n_measured = 0

    def see(self, part: Part) -> None:
        """Count the words of a part, and take its share of the sample."""
        if part.start < self.n:  # another request has shown it
            return
        for i, text in enumerate(part.features):
            self.rarity.note(text.vocabulary)
            if (part.start + i) % self._step == 0 and len(self.sample_at) < SAMPLED:
                self.sample_at.append(part.start + i)
                if part.unit is not None:
                    self._rows.append(part.unit[i : i + 1])
        self.n += len(part)
        if part.unit is not None:
            self.dim = part.unit.shape[1]
            self.n_unusable += int((~part.unit.any(axis=1)).sum())

    def settle(self) -> None:
        """Once the whole store was seen.

        Raises:
            StoreError: it is empty.
        """
        if not self.n:
            raise StoreError(f"{self._url} is empty: there is nothing to forget")
        if self._rows and len(self._rows) == len(self.sample_at):
            self.sample = np.vstack(self._rows)
        self._rows = []
        self.usual = np.full(len(self.sample), -1.0, dtype=np.float32)

    def measure(self, part: Part) -> None:
        """Learn in the second reading how near the nearest neighbours of the sample are."""
        unit = part.unit
        if unit is None or not len(self.sample) or self.sample.shape[1] != unit.shape[1]:
            return
        if part.start < self._n_measured:  # in an earlier reading, or by another request
            return
        self._n_measured = part.start + len(part)
        similarity = self.sample @ unit.T
        for row, place in enumerate(self.sample_at):
            if part.start <= place < part.start + len(unit):
                similarity[row, place - part.start] = -1.0
        np.maximum(self.usual, similarity.max(axis=1), out=self.usual)


class Survey:
    """The first reading for one request: what it names directly.

    Attributes:
        request: what is to be forgotten.
        overview: of the store; requests that are planned together share it.
        chosen: what the request names directly.
        found_ids: ids asked for that are there.
    """

    def __init__(self, request: Request, overview: Overview) -> None:
        self.request = request
        self.overview = overview
        self.mentions = (
            None if request.subject is None else Mentions(request.subject, request.aliases)
        )
        self._where = None if request.where is None else Where(request.where)
        self._ids = frozenset(request.ids)
        self.chosen = Chosen()
        self.found_ids: set[str] = set()
        self._last_names: list[tuple[Passage, tuple[Key, ...], Mention]] = []
        self._certain_keys: set[Key] = set()

    def see(self, part: Part) -> None:
        """Judge the passages of a part."""
        self.overview.see(part)
        rows: Iterable[int] = range(len(part))
        if self._where is None and self.request.document is None and self.mentions is None:
            rows = sorted(part.row_of[x] for x in self._ids & part.row_of.keys())
        for i in rows:
            self._judge(part.batch.passages[i])

    def settle(self) -> None:
        """Once the whole store was seen.

        Raises:
            StoreError: it is empty.
        """
        self.overview.settle()
        for passage, keys, mention in self._last_names:
            # A last name alone is certain in a document that has the whole name, too.
            if self._certain_keys & set(keys):
                how = f"{mention.how}, in a document that has the whole name"
                self.chosen.take(passage, Why(True, CERTAIN, how))
        self._last_names.clear()

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
