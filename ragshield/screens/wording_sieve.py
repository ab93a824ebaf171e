"""Which of many texts may hold a wording, told by arithmetic over all of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.screens.needs import Clause
from ragshield.screens.wordings import READ_CHARS, Table

_IS_LETTER = np.array([chr(c).isalpha() for c in range(128)])
_LOWER = np.array([ord(chr(c).lower()) for c in range(128)], dtype=np.uint8)
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], dtype=np.uint64)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(64 - 14)
_CHARS_AT_A_TIME = 2_000_000


class _Words(NamedTuple):
    """The words of several texts, in lower case.

    Attributes:
        joined: the texts, a line end after each.
        ends: where each text ends, (n,).
        begins: where each word begins, (m,).
        codes: its first eight letters as one number, (m,) uint64.
    """

    joined: bytes
    ends: NDArray[np.intp]
    begins: NDArray[np.intp]
    codes: NDArray[np.uint64]


class _Asked(NamedTuple):
    """What is looked for: a bit for each clause.

    Attributes:
        known: whether a word with this hash is asked for, (2**14,).
        codes: of the words asked for, ascending, (k,) uint64.
        bits: the clauses that each of them meets, (k, width) uint64.
        pieces: pieces asked for, and the clauses that they meet.
        whole: of each wording the clauses to be met, (n, width) uint64.
    """

    known: NDArray[np.bool_]
    codes: NDArray[np.uint64]
    bits: NDArray[np.uint64]
    pieces: tuple[tuple[re.Pattern[bytes], NDArray[np.uint64]], ...]
    whole: NDArray[np.uint64]


def may_hold(texts: Sequence[str], tables: Sequence[Table]) -> list[bool]:
    """Whether any wording of these tables is possible in each text; never False where one is.

    Words are told apart by their first eight letters. Texts that are not ASCII alone, and
    those that are not read whole, are not looked at: they may.

    Args:
        texts: any number of them.
        tables: as `wordings.load` gives them, which keeps them.
    """
    found = np.ones(len(texts), dtype=bool)
    plain = [i for i, text in enumerate(texts) if text.isascii() and len(text) <= READ_CHARS]
    asked = _asked(tuple(map(_Same, tables)))
    for some in _some(plain, texts):
        found[some] = _meeting(_words(tuple(texts[i] for i in some)), asked)
    return [bool(x) for x in found]


def _some(numbers: Sequence[int], texts: Sequence[str]) -> Iterator[list[int]]:
    """Texts to be looked at together: as many as memory is to be spent on."""
    some: list[int] = []
    n_chars = 0
    for i in numbers:
        some.append(i)
        n_chars += len(texts[i])
        if n_chars >= _CHARS_AT_A_TIME:
            yield some
            some, n_chars = [], 0
    if some:
        yield some


def _meeting(words: _Words, asked: _Asked) -> NDArray[np.bool_]:
    """Whether each text meets all that any one wording needs."""
    if not len(asked.whole):
        return np.zeros(len(words.ends), dtype=bool)
    met = np.zeros((len(words.ends), asked.whole.shape[1]), dtype=np.uint64)
    at = np.flatnonzero(asked.known[(words.codes * _FACTOR) >> _SHIFT])
    if len(at) and len(asked.codes):
        place = np.searchsorted(asked.codes, words.codes[at])
        place = np.minimum(place, len(asked.codes) - 1)
        right = asked.codes[place] == words.codes[at]
        at, place = at[right], place[right]
    if len(at):
        row = np.searchsorted(words.ends, words.begins[at])
        first = np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1]]))
        met[row[first]] = np.bitwise_or.reduceat(asked.bits[place], first, axis=0)
    for piece, bits in asked.pieces:
        places = [match.start() for match in piece.finditer(words.joined)]
        met[np.unique(np.searchsorted(words.ends, places))] |= bits
    possible = np.zeros(len(met), dtype=bool)
    for needed in asked.whole:
        possible |= ((met & needed) == needed).all(axis=1)
    return possible


# Several screens ask about the same texts one after the other.
@lru_cache(maxsize=2)
def _words(texts: tuple[str, ...]) -> _Words:
    raw = np.frombuffer("\n".join([*texts, ""]).encode("ascii"), dtype=np.uint8)
    ends = np.cumsum([len(text) + 1 for text in texts]) - 1
    lower = np.concatenate([_LOWER[raw], np.zeros(8, dtype=np.uint8)])
    letter = np.concatenate([[False], _IS_LETTER[raw], [False]])
    edges = np.flatnonzero(letter[1:] != letter[:-1])
    begins, lengths = edges[::2], edges[1::2] - edges[::2]
    eight = np.ndarray((len(raw),), dtype="<u8", buffer=lower.data, strides=(1,))
    codes = eight[begins] & _MASKS[np.minimum(lengths, 8)]
    return _Words(lower[: len(raw)].tobytes(), ends, begins, codes)


class _Same:
    """A table as a key: two are the same if they are one."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __hash__(self) -> int:
        return id(self.table)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.table is self.table


@lru_cache(maxsize=16)
def _asked(tables: tuple[_Same, ...]) -> _Asked:
    needs = [_looked_for(wording.needs) for same in tables for wording in same.table]
    # In ASCII alone, what needs another letter cannot be.
    needs = [found for found in needs if all(c.words or c.pieces for c in found)]
    n = sum(map(len, needs))
    width = max(1, -(-n // 64))
    words: dict[int, NDArray[np.uint64]] = {}
    pieces: dict[str, NDArray[np.uint64]] = {}
    whole = np.zeros((len(needs), width), dtype=np.uint64)
    bit = 0
    for number, clauses in enumerate(needs):
        for clause in clauses:
            own = np.zeros(width, dtype=np.uint64)
            own[bit // 64] = np.uint64(1) << np.uint64(bit % 64)
            bit += 1
            whole[number] |= own
            for word in clause.words:
                code = int.from_bytes(word.encode("ascii")[:8], "little")
                words[code] = words.get(code, own) | own
            for piece in clause.pieces:
                pieces[piece] = pieces.get(piece, own) | own
    codes = np.array(sorted(words), dtype=np.uint64)
    known = np.zeros(1 << 14, dtype=bool)
    known[(codes * _FACTOR) >> _SHIFT] = True
    return _Asked(
        known,
        codes,
        np.array([words[code] for code in codes.tolist()], dtype=np.uint64).reshape(-1, width),
        tuple((re.compile(re.escape(p.encode("ascii"))), bits) for p, bits in pieces.items()),
        whole,
    )


def _looked_for(needs: Sequence[Clause]) -> list[Clause]:
    """Those of words alone, which cost nothing to look for; else the first."""
    ascii_only = [
        Clause(
            frozenset(word for word in clause.words if word.isascii()),
            tuple(piece for piece in clause.pieces if piece.isascii()),
        )
        for clause in needs
    ]
    return [clause for clause in ascii_only if not clause.pieces] or ascii_only[:1]
