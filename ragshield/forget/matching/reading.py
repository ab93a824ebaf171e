"""A store read once for many questions: what a passage says is worked out once for all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError, RagshieldError
from ragshield.forget.matching.documents import Key, Reference, keys_of, references_of
from ragshield.forget.matching.features import Features, Rarity
from ragshield.protocols import Store
from ragshield.records import Batch, Vectors
from ragshield.snapshot.layout import usable_unit

T = TypeVar("T")

_BATCH = 1_000


class Part:
    """Some passages of a store, with all that is asked about them.

    Attributes:
        start: place of the first one in the store.
        batch: the passages.
        unit: (n, dim) unit rows, all zeros for a row without a usable vector; None where
            the batch has no vectors.
    """

    def __init__(self, start: int, batch: Batch, unit: Vectors | None) -> None:
        self.start, self.batch, self.unit = start, batch, unit
        self._by_words: Vectors | None = None

    def __len__(self) -> int:
        return len(self.batch)

    @cached_property
    def features(self) -> list[Features]:
        """What each text is compared by."""
        return [Features(passage.text) for passage in self.batch.passages]

    @cached_property
    def keys(self) -> list[tuple[Key, ...]]:
        """The documents that each passage says it belongs to."""
        return [keys_of(passage) for passage in self.batch.passages]

    @cached_property
    def references(self) -> list[tuple[Reference, ...]]:
        """The ids that the metadata of each names."""
        return [references_of(passage) for passage in self.batch.passages]

    @cached_property
    def row_of(self) -> Mapping[str, int]:
        """Which passage has an id."""
        return {passage.id: i for i, passage in enumerate(self.batch.passages)}

    @cached_property
    def with_key(self) -> Mapping[Key, list[int]]:
        """The passages of each document."""
        return _inverted(self.keys)

    @cached_property
    def naming(self) -> Mapping[str, list[int]]:
        """The passages whose metadata names an id."""
        return _inverted([v for one in found for v in one.values] for found in self.references)

    @cached_property
    def with_text(self) -> Mapping[str, list[int]]:
        """The passages that say the same, articles aside."""
        return _inverted([text.normal] for text in self.features)

    @cached_property
    def with_word(self) -> Mapping[str, list[int]]:
        """The passages that hold a word."""
        return _inverted(text.vocabulary for text in self.features)

    @cached_property
    def runs(self) -> Hashes:
        """Runs of words of all texts."""
        return Hashes([text.runs for text in self.features])

    @cached_property
    def pairs(self) -> Hashes:
        """Pairs of words of all texts."""
        return Hashes([text.pairs for text in self.features])

    def by_words(self, rarity: Rarity) -> Vectors:
        """Unit rows made of words, for a store without vectors."""
        if self._by_words is None:
            self._by_words = rarity.rows(self.features)
        return self._by_words


class Hashes:
    """Hashes of many texts, to be looked up all at once."""

    def __init__(self, rows: Sequence[NDArray[np.uint64]]) -> None:
        self.n = np.array([len(row) for row in rows], dtype=np.int64)
        every = np.concatenate([np.empty(0, dtype=np.uint64), *rows])
        self._owner = np.repeat(np.arange(len(rows)), self.n)
        self._values, self._which = np.unique(every, return_inverse=True)

    def shared(self, known: NDArray[np.uint64]) -> NDArray[np.int64]:
        """How many of the hashes of each text are among the known ones, sorted: (n,)."""
        there = np.zeros(len(self._values), dtype=bool)
        if len(known) and len(self._values):
            at = np.searchsorted(self._values, known)
            at[at == len(self._values)] = 0
            there[at[self._values[at] == known]] = True
        found: NDArray[np.int64] = np.bincount(
            self._owner[there[self._which]], minlength=len(self.n)
        ).astype(np.int64)
        return found


class Look(Protocol):
    """What wants to see every part of a store, in order."""

    def see(self, part: Part) -> None:
        """One part of it."""
        ...


Looks: TypeAlias = Generator[Look, None, T]
"""A job that reads a store as often as it yields, and returns what it found."""


def together(store: Store, jobs: Sequence[Looks[T]]) -> list[T]:
    """Do several jobs with as few readings of a store as the longest of them needs.

    Raises:
        InputError: the store holds vectors of different widths.
        RagshieldError: what a job raised; of several jobs, with its number.
    """
    found: dict[int, T] = {}
    waiting = {i: look for i in range(len(jobs)) if (look := _next(jobs, i, found)) is not None}
    while waiting:
        for part in parts_of(store):
            for look in waiting.values():
                look.see(part)
        waiting = {i: look for i in waiting if (look := _next(jobs, i, found)) is not None}
    return [found[i] for i in range(len(jobs))]


def parts_of(store: Store) -> Iterator[Part]:
    """The store from beginning to end.

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
        yield Part(start, batch, unit)
        start += len(batch)


def numbered(error: RagshieldError, number: int, n: int) -> RagshieldError:
    """The same error, with the number of the request that it is about, if there are several."""
    return error if n == 1 else type(error)(f"request {number + 1} of {n}: {error}")


def _next(jobs: Sequence[Looks[T]], i: int, found: dict[int, T]) -> Look | None:
    try:
        return next(jobs[i])
    except StopIteration as done:
        found[i] = done.value
        return None
    except RagshieldError as error:
        if len(jobs) == 1:
            raise
        raise numbered(error, i, len(jobs)) from error


def _inverted(rows: Iterable[Collection[T]]) -> Mapping[T, list[int]]:
    found: dict[T, list[int]] = defaultdict(list)
    for i, values in enumerate(rows):
        for value in values:
            if not found[value] or found[value][-1] != i:
                found[value].append(i)
    return found
