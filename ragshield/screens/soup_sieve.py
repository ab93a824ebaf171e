"""Which of many texts may hold a run of words that forms no sentence, told by arithmetic alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLANK, _LETTER, _MARK = 0, 1, 2
_KINDS = np.array(
    [
        _LETTER if chr(c).isalpha() or chr(c) == "'" else
        _BLANK if chr(c).isspace() or chr(c).isdigit() else
        _MARK
        for c in range(128)
    ],
    dtype=np.uint8,
)  # fmt: skip
_LOWER = np.array([ord(chr(c).lower()) for c in range(128)], dtype=np.uint8)
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], dtype=np.uint64)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(64 - 14)
_END = -1_000_000
"""Loses more than any text can gain."""


class Gains(NamedTuple):
    """What each piece of a text adds to a run, as whole numbers.

    Attributes:
        word: a word in lower case.
        capital: one that begins with a capital.
        letter: a word of one letter.
        function_word: one of those that every sentence has.
        mark: a punctuation mark.
    """

    word: int
    capital: int
    letter: int
    function_word: int
    mark: int


def runs_of(
    texts: Sequence[str], function_words: Collection[str], gains: Gains, least: int
) -> list[bool]:
    """Whether a run of each text can gain `least`; never False where one does.

    Words of more than eight letters are taken for no function words, digits and line ends
    lose nothing, and words that come again gain as at first: a run is at most longer.

    Args:
        texts: of ASCII characters alone, without `##`.
        function_words: in lower case.
        gains: of each piece; only `word` and `capital` above 0.
        least: what is asked for, above 0.
    """
    if not texts:
        return []
    raw = np.frombuffer("\n".join(texts).encode("ascii") + b"\n", dtype=np.uint8)
    ends = np.cumsum([len(text) + 1 for text in texts]) - 1
    kind = _KINDS[raw]
    letter = np.concatenate([[False], kind == _LETTER, [False]])
    edges = np.flatnonzero(letter[1:] != letter[:-1])
    begins, lengths = edges[::2], edges[1::2] - edges[::2]
    gained = np.zeros(len(raw), dtype=np.int64)
    gained[kind == _MARK] = gains.mark
    gained[begins] = _of_words(raw, begins, lengths, function_words, gains)
    gained[ends] = _END
    at = np.flatnonzero(gained)
    total = np.cumsum(np.concatenate([[0], gained[at]]))
    run = total - np.minimum.accumulate(total)
    reached = at[run[1:] >= least]
    found = np.zeros(len(texts), dtype=bool)
    found[np.searchsorted(ends, reached)] = True
    return [bool(x) for x in found]


def _of_words(
    raw: NDArray[np.uint8],
    begins: NDArray[np.intp],
    lengths: NDArray[np.intp],
    function_words: Collection[str],
    gains: Gains,
) -> NDArray[np.int64]:
    """What each word gains, the first eight letters read as one number."""
    lower = np.concatenate([_LOWER[raw], np.zeros(8, dtype=np.uint8)])
    eight = np.ndarray((len(raw),), dtype="<u8", buffer=lower.data, strides=(1,))
    codes = eight[begins] & _MASKS[np.minimum(lengths, 8)]
    known = _table(frozenset(function_words))
    capital = _LOWER[raw[begins]] != raw[begins]
    gained = np.where(capital, gains.capital, gains.word)
    gained[lengths == 1] = gains.letter
    is_known = (lengths <= 8) & (known[(codes * _FACTOR) >> _SHIFT] == codes)
    gained[is_known] = gains.function_word
    return gained


@lru_cache(maxsize=2)
def _table(function_words: frozenset[str]) -> NDArray[np.uint64]:
    """The words' codes, each at its place; of two that share one the first is left out."""
    table = np.zeros(1 << 14, dtype=np.uint64)
    for word in sorted(function_words):
        if word.isascii() and 0 < len(word) <= 8:
            code = np.array([int.from_bytes(word.encode("ascii"), "little")], dtype=np.uint64)
            table[(code * _FACTOR) >> _SHIFT] = code
    return table
