"""Which eight bytes of a needle are looked for: some in every stretch, and rare ones.

Where texts are concerned the rarest key of every window is taken ("winnowing": Schleimer,
Wilkerson and Aiken, "Winnowing: local algorithms for document fingerprinting", SIGMOD
2003, section 3, with the rarest in the place of the smallest hash), so that common words
do not call for a comparison at every one of their places. Numbers are all alike rare:
there every so many bytes one is taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

KEY = 8
"""Bytes of a key."""

_COUNT_BITS = 22
_MOST = (1 << 16) - 1
_AT_ONCE = 4 << 20
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_LOW = np.uint64(0xFFFFFFFF)


def places_of_keys(
    words: NDArray[np.uint64],
    told: NDArray[np.uint8],
    start: NDArray[np.int64],
    length: NDArray[np.int64],
    least: NDArray[np.int64],
    wordy: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Where keys are taken: at least one in any run of `least` bytes within a needle.

    Args:
        words: the eight bytes at every place, as a number.
        told: 1 at every place that is more than a repetition.
        start: (m,) where each needle begins.
        length: (m,) of each, at least 8.
        least: (m,) the shortest run that counts.
        wordy: (m,) whether a needle's stretches may be common.
    """
    if not len(start):
        return np.zeros(0, dtype=np.int64)
    width = np.minimum(least, length) - KEY + 1  # a run that counts has so many places
    rows = np.flatnonzero(~wordy)
    n_places = (length[rows] - KEY + 1) // width[rows]
    nth = np.arange(int(n_places.sum())) - np.repeat(np.cumsum(n_places) - n_places, n_places)
    row = np.repeat(rows, n_places)
    places = start[row] + width[row] - 1 + nth * width[row]
    # Zeros between the numbers: there, too, the rare places are to be picked.
    wordy = wordy.copy()
    wordy[row[_blank(places, told)]] = True
    found = [places[~wordy[row]]]
    counts = np.zeros(1 << _COUNT_BITS, dtype=np.int64)
    groups = [
        (n, rows) for n in np.unique(width[wordy]) for rows in _groups(wordy & (width == n), length)
    ]
    for _, rows in groups:
        hashed = _hashed(words[_all_places(start[rows], length[rows])])
        counts += np.bincount(hashed >> np.uint64(64 - _COUNT_BITS), minlength=len(counts))
    for n, rows in groups:
        places = _all_places(start[rows], length[rows])
        hashed = _hashed(words[places])
        rank = np.minimum(counts[hashed >> np.uint64(64 - _COUNT_BITS)], _MOST - 1)
        rank[_blank(places, told)] = _MOST
        value = (rank.astype(np.uint64) << np.uint64(48)) | np.arange(len(places), dtype=np.uint64)
        value |= (hashed >> np.uint64(16)) & np.uint64(0xFFFF << 32)
        least_of = _sliding_minimum(value, int(n))
        inside = _inside(length[rows] - KEY + 1, int(n))
        found.append(places[np.unique(least_of[inside] & _LOW).astype(np.int64)])
    return np.concatenate([np.zeros(0, dtype=np.int64), *found])


def _groups(wanted: NDArray[np.bool_], length: NDArray[np.int64]) -> Iterator[NDArray[np.intp]]:
    """Needles in groups small enough to be held at once."""
    rows = np.flatnonzero(wanted)
    if len(rows):
        number = np.cumsum(length[rows]) // _AT_ONCE
        yield from np.split(rows, np.flatnonzero(np.diff(number)) + 1)


def _all_places(start: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every place at which a key can begin, needle after needle."""
    n = length - KEY + 1
    offset = np.arange(int(n.sum())) - np.repeat(np.cumsum(n) - n, n)
    return np.repeat(start, n) + offset


def _inside(n: NDArray[np.int64], width: int) -> NDArray[np.bool_]:
    """Which windows lie within one needle, by where they begin."""
    total = int(n.sum())
    ends = np.repeat(np.cumsum(n), n)
    begins = np.arange(total)
    return (begins + width <= ends)[: total - width + 1]


def _sliding_minimum(value: NDArray[np.uint64], width: int) -> NDArray[np.uint64]:
    size = 1
    while 2 * size <= width:
        value = np.minimum(value[:-size], value[size:])
        size *= 2
    rest = width - size
    return np.minimum(value[: len(value) - rest], value[rest:]) if rest else value


def _blank(places: NDArray[np.int64], told: NDArray[np.uint8]) -> NDArray[np.bool_]:
    sums = np.zeros(len(places), dtype=np.int32)
    for i in range(KEY):
        sums += told[places + i]
    blank: NDArray[np.bool_] = sums == 0
    return blank


def _hashed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return keys * _MULTIPLIER
