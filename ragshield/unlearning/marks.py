"""Marks: which keyed hash means which target, and finding them in a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.unlearning.hashing import KeyedHashes


class Mark(IntEnum):
    """What a keyed hash is of."""

    NAME = 0
    """A name or alias, or its words the other way round."""
    COMMON_NAME = 1
    """A name of common words, which counts where it is written as one."""
    PART = 2
    """The last word of a name, or an initial with it: may be somebody else's."""
    NEIGHBOUR = 3
    """A name that must stay known."""
    JOINED = 4
    """A name written as one word."""
    SOUND = 5
    """A name's consonants."""
    VALUE = 6
    """A phrase that gives a fact away to who asks about the target."""
    TELLING = 7
    """One that gives it away to anybody: long, or seen nowhere else."""
    PIECE = 8
    """A run of words of a sample, or of a long value."""
    LETTERS = 9
    """A name's letters one by one, without blanks."""
    SHARED = 10
    """A phrase of a fact that is said of others too."""
    SPELLED = 11
    """A phrase's letters one by one, without blanks."""
    OTHER_WORD = 12
    """A word that looks like one of a name, misspelt, and is a word by itself."""
    OTHER_NAME = 13
    """A name of somebody else who has a part of the target's, or a sample's value."""
    GIVEN = 14
    """A given name of the target, a short form, how it begins or its sound; of a sample a
    word of the names in it."""


OWNED_BY_FACT = frozenset({Mark.VALUE, Mark.TELLING, Mark.SHARED, Mark.SPELLED})
"""Marks whose owner is a row of the facts, not of the targets."""

UNOWNED = frozenset({Mark.NEIGHBOUR, Mark.OTHER_WORD})
"""Marks of what must stay known, which belong to no target."""


class Found(NamedTuple):
    """A mark found in a text.

    Attributes:
        mark: what it is of.
        owner: row of the target, or of the fact for a value.
        start: first word.
        end: the word after the last.
    """

    mark: Mark
    owner: int
    start: int
    end: int


class Marks:
    """A table of marks: hashes in order, and what each is of.

    Args:
        hashes: (n,) uint64.
        marks: (n,) uint8, values of `Mark`.
        lengths: (n,) uint16, words of the run.
        owners: (n,) int32.
    """

    def __init__(
        self,
        hashes: NDArray[np.uint64],
        marks: NDArray[np.uint8],
        lengths: NDArray[np.uint16],
        owners: NDArray[np.int32],
    ) -> None:
        order = np.lexsort((owners, marks, lengths, hashes))
        self.hashes, self.marks = hashes[order], marks[order]
        self.lengths, self.owners = lengths[order], owners[order]
        self._rows: dict[tuple[Mark, ...], tuple[NDArray[np.intp], tuple[int, ...]]] = {}

    @classmethod
    def of(cls, rows: Iterable[tuple[int, Mark, int, int]]) -> Marks:
        """From rows of hash, mark, length and owner, each once."""
        unique = sorted(set(rows))
        columns = list(zip(*unique, strict=True)) if unique else [(), (), (), ()]
        return cls(
            np.array(columns[0], dtype=np.uint64),
            np.array(columns[1], dtype=np.uint8),
            np.array(columns[2], dtype=np.uint16),
            np.array(columns[3], dtype=np.int32),
        )

    def __len__(self) -> int:
        return len(self.hashes)

    def of_kind(self, mark: Mark) -> NDArray[np.uint64]:
        """The hashes of one kind of mark."""
        found: NDArray[np.uint64] = self.hashes[self.marks == int(mark)]
        return found

    def rows(self) -> list[tuple[int, Mark, int, int]]:
        """All marks as rows of hash, mark, length and owner."""
        columns = (self.hashes, self.marks, self.lengths, self.owners)
        return [(int(h), Mark(int(m)), int(n), int(o)) for h, m, n, o in zip(*columns, strict=True)]

    def find(
        self, hashes: NDArray[np.uint64], wanted: Sequence[Mark], keyed: KeyedHashes
    ) -> list[Found]:
        """All marks of the wanted kinds in a row of words, given by their hashes."""
        rows, lengths = self._part(tuple(wanted))
        found: list[Found] = []
        if not len(rows):
            return found
        table = self.hashes[rows]
        for n, runs in keyed.runs_of(hashes, lengths):
            at = np.searchsorted(table, runs)
            at[at == len(table)] = 0
            for i in np.flatnonzero(table[at] == runs):
                j = int(at[i])
                while j < len(table) and table[j] == runs[i]:
                    row = rows[j]
                    if self.lengths[row] == n:
                        mark = Mark(int(self.marks[row]))
                        found.append(Found(mark, int(self.owners[row]), int(i), int(i) + n))
                    j += 1
        return found

    def _part(self, wanted: tuple[Mark, ...]) -> tuple[NDArray[np.intp], tuple[int, ...]]:
        known = self._rows.get(wanted)
        if known is None:
            rows = np.flatnonzero(np.isin(self.marks, [int(mark) for mark in wanted]))
            lengths = tuple(int(n) for n in np.unique(self.lengths[rows]))
            known = self._rows[wanted] = (rows, lengths)
        return known


class Typos(NamedTuple):
    """Words of names with a character left out, to know a misspelt word again.

    Two words that become the same by leaving out one character each differ by at most two
    changes (Garbe, "Symmetric Delete", 2012), and both need only be known by their hashes.

    Attributes:
        hashes: (n,) uint64, of the shortened words.
        words: (n,) uint64, of the words as they are spelled.
        owners: (n,) int32, rows of the targets.
    """

    hashes: NDArray[np.uint64]
    words: NDArray[np.uint64]
    owners: NDArray[np.int32]

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int]]) -> Typos:
        """From rows of shortened hash, word's hash and target, each once."""
        unique = sorted(set(rows))
        columns = list(zip(*unique, strict=True)) if unique else [(), (), ()]
        return cls(
            np.array(columns[0], dtype=np.uint64),
            np.array(columns[1], dtype=np.uint64),
            np.array(columns[2], dtype=np.int32),
        )

    def only(self, row_of: Mapping[int, int]) -> Typos:
        """Those of some targets, renumbered."""
        columns = zip(self.hashes, self.words, self.owners, strict=True)
        return Typos.of((int(h), int(w), row_of[int(o)]) for h, w, o in columns if int(o) in row_of)
