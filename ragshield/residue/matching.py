"""Finding many thousand byte strings, and any longer piece of them, in gigabytes.

Every needle lies in one array; from each of them an eight-byte key is taken every so many
bytes, so close that every stretch long enough to count holds one. A hashed table of flags
tells for eight bytes at any place whether they can be a key, which costs a few nanoseconds;
where they are, the match is extended to both sides, byte by byte, for all places at once.
Nothing is found by hash alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragshield.residue.forms import SHORTEST
from ragshield.residue.keys import KEY as _KEY
from ragshield.residue.keys import places_of_keys

GAP = 32
"""Zeros between two needles, so that no slack reaches from one into the next."""

_SAME_KEY = 64
_SLACK = 8
_MULTIPLIERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_PART = 1 << 16
_OWN_SHARE = 8
_LAGS = range(1, 10)


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Needles in one array of bytes.

    Attributes:
        content: all of them, `GAP` zeros between two.
        start: (m,) int64, where each begins; ascending.
        length: (m,) int64.
        least: (m,) int64, the shortest stretch that counts as found.
        wordy: (m,) bool, whether its stretches may be common, as those of texts are.
    """

    content: NDArray[np.uint8]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    least: NDArray[np.int64]
    wordy: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Stretches that a buffer has in common with needles, each as long as it goes.

    Attributes:
        at: (r,) int64, where each begins in the buffer.
        needle: (r,) int64, where it begins in `Pieces.content`.
        length: (r,) int64.
        piece: (r,) int64, which needle.
    """

    at: NDArray[np.int64]
    needle: NDArray[np.int64]
    length: NDArray[np.int64]
    piece: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.at)

    def only(self, wanted: NDArray[np.bool_]) -> Runs:
        """Those at which `wanted` is true."""
        return Runs(self.at[wanted], self.needle[wanted], self.length[wanted], self.piece[wanted])


def pieces_of(needles: list[tuple[bytes, int, bool]]) -> Pieces:
    """Needles as `Pieces`; given as content, shortest stretch, and whether it is wordy."""
    lengths = np.array([len(content) for content, _, _ in needles], dtype=np.int64)
    start = GAP + np.concatenate([[0], np.cumsum(lengths + GAP)[:-1]]).astype(np.int64)
    if not needles:
        start = np.zeros(0, dtype=np.int64)
    gap = bytes(GAP)
    joined = gap + b"".join(part for content, _, _ in needles for part in (content, gap))
    least = np.minimum(lengths, np.array([x for _, x, _ in needles], dtype=np.int64))
    wordy = np.array([x for _, _, x in needles], dtype=np.bool_)
    return Pieces(np.frombuffer(joined, dtype=np.uint8), start, lengths, least, wordy)


class Matcher:
    """Finds needles in buffers.

    Args:
        pieces: what to look for.
    """

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        self._spans = np.zeros((0, 2), dtype=np.int64)
        self._words = _words_at(pieces.content)
        told = _told(pieces.content)
        # Summed modulo 2**16, which no run is longer than.
        self._told = np.concatenate([[0], np.cumsum(told, dtype=np.uint16)]).astype(np.uint16)
        self._keys, self._where = self._table(told)
        bits = int(np.clip(np.ceil(np.log2(max(1, len(self._keys)) * 16)), 16, 26))
        self._shift = np.uint64(64 - bits)
        self._flags = []
        for multiplier in _MULTIPLIERS:
            flags = np.zeros(1 << bits, dtype=np.bool_)
            flags[(self._keys * multiplier) >> self._shift] = True
            self._flags.append(flags)

    def without(self, spans: NDArray[np.int64]) -> Matcher:
        """The same, but for stretches that nobody looks for.

        Args:
            spans: (n, 2) intervals [start, end) of `Pieces.content`, maximal ones,
                ascending. A run that lies within one is no find. It may stick out by 8
                bytes at either end: the byte after a live passage can by chance be the
                one that followed in the deleted text.
        """
        other = copy(self)
        other._spans = spans
        wanted = ~other._is_shared(self._where)
        other._keys, other._where = self._keys[wanted], self._where[wanted]
        return other

    @property
    def searchable(self) -> NDArray[np.bool_]:
        """(m,) whether each needle can be found at all: all zeros, or all shared, cannot."""
        found = np.zeros(len(self.pieces), dtype=np.bool_)
        found[self._piece(self._where)] = True
        every = np.arange(len(self.pieces))
        whole = Runs(np.zeros_like(every), self.pieces.start, self.pieces.length, every)
        return found & self._says_something(whole)

    def runs(self, buffer: NDArray[np.uint8]) -> Runs:
        """What the buffer has in common with the needles, in any order.

        A stretch that begins or ends with the buffer is given as far as it is seen.
        """
        if len(buffer) < _KEY or not len(self._keys):
            return _NO_RUNS
        at, needle = self._candidates(buffer)
        runs = self._extended(buffer, at, needle)
        wanted = runs.length >= self.pieces.least[runs.piece]
        wanted &= self._says_something(runs)
        wanted &= ~self._within_spans(runs.needle, runs.needle + runs.length, _SLACK)
        return runs.only(wanted)

    def _table(self, told: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Keys in ascending order and the place of each, one or more in any run that counts."""
        pieces = self.pieces
        usable = pieces.length >= SHORTEST
        where = places_of_keys(
            self._words,
            told,
            pieces.start[usable],
            pieces.length[usable],
            pieces.least[usable],
            pieces.wordy[usable],
        )
        keys = self._words[where]
        order = np.argsort(keys, kind="stable")
        keys, where = keys[order], where[order]
        # A key that very many needles share belongs to a stretch that they share.
        nth = np.arange(len(keys))
        begins = np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]
        nth -= np.maximum.accumulate(np.where(begins, nth, 0))
        wanted = nth < _SAME_KEY
        return keys[wanted], where[wanted]

    def _is_shared(self, where: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each place is deep within what nobody looks for."""
        if not len(self._spans):
            return np.zeros(len(where), dtype=np.bool_)
        piece = self._piece(where)
        start, end = self.pieces.start[piece], self.pieces.start[piece] + self.pieces.length[piece]
        least = self.pieces.least[piece]
        left, right = np.maximum(start, where - least), np.minimum(end, where + _KEY + least)
        return self._within_spans(left, right, 0)

    def _candidates(self, buffer: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        words = _words_at(buffer)
        hashed = np.empty(_PART, dtype=np.uint64)
        flags = np.empty(_PART, dtype=np.bool_)
        found = []
        first, second = self._flags
        for start in range(0, len(words), _PART):
            part = words[start : start + _PART]
            h, f = hashed[: len(part)], flags[: len(part)]
            np.multiply(part, _MULTIPLIERS[0], out=h)
            np.right_shift(h, self._shift, out=h)
            np.take(first, h.view(np.int64), out=f, mode="clip")
            places = np.flatnonzero(f)
            if len(places):
                places = places[second[(part[places] * _MULTIPLIERS[1]) >> self._shift]]
                found.append(places + start)
        at = _concatenated(found)
        at = at[np.argsort(words[at])]  # looked up in order, which is several times as fast
        keys = words[at]
        first_row = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        is_key = self._keys[first_row] == keys
        at, keys, first_row = at[is_key], keys[is_key], first_row[is_key]
        n_rows = np.searchsorted(self._keys, keys, side="right") - first_row
        nth = np.arange(int(n_rows.sum())) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
        return np.repeat(at, n_rows), self._where[np.repeat(first_row, n_rows) + nth]

    def _extended(
        self, buffer: NDArray[np.uint8], at: NDArray[np.int64], needle: NDArray[np.int64]
    ) -> Runs:
        """Candidates as runs, each run once though several of its keys were seen."""
        at, needle = self._promising(buffer, at, needle)
        # By diagonal, then by place: sorting one packed number is many times as fast as two.
        shift = len(self.pieces.content)
        packed = np.sort((at - needle + shift) << 32 | at)
        at = packed & 0xFFFFFFFF
        needle = at - ((packed >> 32) - shift)
        piece = self._piece(needle)
        words = _words_at(buffer)
        found: list[Runs] = []
        while len(at):
            same = (np.diff(at - needle) == 0) & (np.diff(piece) == 0)
            first = np.concatenate([[True], ~same])
            p, q, i = at[first], needle[first], piece[first]
            start = self.pieces.start[i]
            end = start + self.pieces.length[i]
            right = self._common(buffer, words, p, q, np.minimum(len(buffer) - p, end - q), 1)
            left = self._common(buffer, words, p, q, np.minimum(p, q - start), -1)
            found.append(Runs(p - left, q - left, left + right, i))
            covered = (p + right)[np.cumsum(first) - 1]
            rest = at >= covered
            at, needle, piece = at[rest], needle[rest], piece[rest]
        if not found:
            return _NO_RUNS
        return Runs(
            _concatenated(runs.at for runs in found),
            _concatenated(runs.needle for runs in found),
            _concatenated(runs.length for runs in found),
            _concatenated(runs.piece for runs in found),
        )

    def _promising(
        self, buffer: NDArray[np.uint8], at: NDArray[np.int64], needle: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Without those of which neither the next nor the last eight bytes are the same.

        A run of three keys' length around a key has one of the two.
        """
        words = _words_at(buffer)
        long = self.pieces.least[self._piece(needle)] >= 3 * _KEY
        after = words[np.minimum(at + _KEY, len(words) - 1)]
        before = words[np.maximum(at - _KEY, 0)]
        alike = after == self._words[np.minimum(needle + _KEY, len(self._words) - 1)]
        alike |= before == self._words[np.maximum(needle - _KEY, 0)]
        wanted = alike | ~long
        return at[wanted], needle[wanted]

    def _common(
        self,
        buffer: NDArray[np.uint8],
        words: NDArray[np.uint64],
        at: NDArray[np.int64],
        needle: NDArray[np.int64],
        limit: NDArray[np.int64],
        way: int,
    ) -> NDArray[np.int64]:
        """How many bytes are the same from each place on, to the right or to the left of it."""
        same = np.zeros(len(at), dtype=np.int64)
        going = np.flatnonzero(limit >= _KEY)
        while len(going):
            step = same[going] if way > 0 else -same[going] - _KEY
            equal = words[at[going] + step] == self._words[needle[going] + step]
            going = going[equal]
            same[going] += _KEY
            going = going[limit[going] - same[going] >= _KEY]
        going = np.flatnonzero(same < limit)
        for _ in range(_KEY):
            step = same[going] if way > 0 else -same[going] - 1
            equal = buffer[at[going] + step] == self.pieces.content[needle[going] + step]
            going = going[equal]
            same[going] += 1
            going = going[same[going] < limit[going]]
        return same

    def _says_something(self, runs: Runs) -> NDArray[np.bool_]:
        """Whether enough of each run is more than a repetition: zeros are nobody's."""
        own = self._told[runs.needle + runs.length] - self._told[runs.needle]
        least = self.pieces.least[runs.piece]
        enough: NDArray[np.bool_] = own >= np.maximum(1, least // _OWN_SHARE)
        return enough

    def _within_spans(
        self, start: NDArray[np.int64], end: NDArray[np.int64], slack: int
    ) -> NDArray[np.bool_]:
        if not len(self._spans):
            return np.zeros(len(start), dtype=np.bool_)
        row = np.searchsorted(self._spans[:, 0], start + slack, side="right") - 1
        within: NDArray[np.bool_] = (row >= 0) & (end <= self._spans[row, 1] + slack)
        return within

    def _piece(self, place: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = np.searchsorted(self.pieces.start, place, side="right") - 1
        return found


def maximal(spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """Intervals (n, 2) without those that lie within another one, ascending."""
    if not len(spans):
        return spans.reshape(0, 2)
    spans = spans[np.lexsort((-spans[:, 1], spans[:, 0]))]
    reach = np.maximum.accumulate(spans[:, 1])
    kept = np.concatenate([[True], spans[1:, 1] > reach[:-1]])
    outer: NDArray[np.int64] = spans[kept]
    return outer


def _words_at(content: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The eight bytes at every place, as one number each: a view, nothing is copied."""
    n = max(0, len(content) - _KEY + 1)
    return np.ndarray((n,), dtype="<u8", buffer=content, strides=(1,))


def _concatenated(arrays: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([_EMPTY, *arrays])


def _told(content: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 where a byte is not what stood there shortly before: 0 in zeros and repetitions."""
    told = content != 0
    for lag in _LAGS:
        told[lag:] &= content[lag:] != content[:-lag]
    flags: NDArray[np.uint8] = told.view(np.uint8)
    return flags


_EMPTY = np.zeros(0, dtype=np.int64)
_NO_RUNS = Runs(_EMPTY, _EMPTY, _EMPTY, _EMPTY)
