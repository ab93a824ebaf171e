"""MinHash: which texts are nearly the same, told from short signatures, keyed if need be.

A text counts as the set of its shingles: the runs of four characters inside its words, and
its pairs of neighbouring words. Runs inside words make short texts and typing errors
comparable, and scripts without blanks; pairs make the order of words count.

Source: Broder, "On the resemblance and containment of documents", 1997, section 3; bands of
Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3. Both by datasketch.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import UsageError
from ragshield.text import words

if TYPE_CHECKING:
    from datasketch import MinHash, MinHashLSH

N_PERM = 128
"""Numbers of a signature: an estimate of 0.8 has a standard error of 0.035."""

_GRAM = 4
_MOST_WORDS = 200_000
_PAIR = np.uint64(0x9E3779B97F4A7C15)


class Near(NamedTuple):
    """A text of the index that is nearly the one asked for.

    Attributes:
        name: what `add` was given.
        jaccard: estimated share of shingles in common, [0, 1].
    """

    name: Hashable
    jaccard: float


def signature(text: str, *, key: bytes = b"", n_perm: int = N_PERM) -> NDArray[np.uint32]:
    """The MinHash of a text: (n_perm,) uint32.

    Case, punctuation and invisible characters do not count. A text without a word has the
    signature of the empty set, all ones in every bit, which is like no other.

    Args:
        text: any text.
        key: at most 64 bytes. With a secret one, signatures cannot be computed from
            guessed texts by somebody who does not have it: words go through keyed BLAKE2b,
            and the permutations are drawn from the key. Signatures under different keys
            are unrelated.
        n_perm: how many numbers; signatures of different lengths cannot be compared.

    Raises:
        UsageError: the key is too long, or n_perm < 1.
    """
    return _scheme(key, n_perm).signature(text)


def signatures(
    texts: Sequence[str], *, key: bytes = b"", n_perm: int = N_PERM
) -> NDArray[np.uint32]:
    """The MinHash of each text: (n, n_perm) uint32; see `signature`."""
    scheme = _scheme(key, n_perm)
    found = np.empty((len(texts), n_perm), dtype=np.uint32)
    for row, text in zip(found, texts, strict=True):
        row[:] = scheme.signature(text)
    return found


def jaccard(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Estimated share of shingles in common, [0, 1], of signatures along the last axis.

    Broadcasts: (n_perm,) with (n, n_perm) gives (n,). The empty set is like nothing, not
    even itself.
    """
    same = first == second
    empty = np.all(first == np.uint32(0xFFFFFFFF), axis=-1)
    found: NDArray[np.float64] = np.where(empty, 0.0, same.mean(axis=-1))
    return found


def exact_jaccard(first: str, second: str) -> float:
    """Share of shingles that two texts have in common, [0, 1], counted, not estimated."""
    scheme = _scheme(b"", N_PERM)
    a, b = scheme.shingles(first), scheme.shingles(second)
    n_common = len(np.intersect1d(a, b, assume_unique=True))
    n_all = len(a) + len(b) - n_common
    return n_common / n_all if n_all else 0.0


class NearIndex:
    """Signatures that can be asked which of them are near another one.

    Finds what is at least about `threshold` alike: of pairs well above it nearly all, of
    pairs well below it few, and what it gives is compared with the threshold once more.

    Args:
        threshold: estimated Jaccard similarity, (0, 1].
        n_perm: length of the signatures.

    Raises:
        UsageError: threshold is not in (0, 1].
    """

    def __init__(self, threshold: float, *, n_perm: int = N_PERM) -> None:
        if not 0 < threshold <= 1:
            raise UsageError(f"threshold is {threshold}, allowed is more than 0 up to 1")
        from datasketch import MinHashLSH

        self.threshold = threshold
        self._n_perm = n_perm
        # Bands a little below the threshold: estimates of what is at it scatter both ways.
        below = max(0.05, threshold - 0.1)
        self._lsh: MinHashLSH = MinHashLSH(below, n_perm, params=_bands(below, n_perm))
        self._rows: dict[Hashable, NDArray[np.uint32]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, name: Hashable, row: NDArray[np.uint32]) -> None:
        """Take in a signature; a name that is there already is replaced.

        Raises:
            UsageError: the signature has another length.
        """
        if row.shape != (self._n_perm,):
            raise UsageError(
                f"a signature of shape {row.shape} in an index of ({self._n_perm},); "
                "make all with the same n_perm"
            )
        if name in self._rows:
            self._lsh.remove(name)
        self._rows[name] = row
        self._lsh.insert(name, _wrapped(row), check_duplication=False)

    def find(self, row: NDArray[np.uint32]) -> list[Near]:
        """What is at least `threshold` alike, most alike first."""
        names = self._lsh.query(_wrapped(row))
        if not names:
            return []
        alike = jaccard(np.vstack([self._rows[name] for name in names]), row)
        found = [
            Near(name, float(value))
            for name, value in zip(names, alike, strict=True)
            if value >= self.threshold
        ]
        return sorted(found, key=lambda near: (-near.jaccard, str(near.name)))


@lru_cache
def _bands(threshold: float, n_perm: int) -> tuple[int, int]:
    """How many bands of how many rows: 130 ms of integrals, the same for every index."""
    from datasketch import MinHashLSH

    chosen = MinHashLSH(threshold, n_perm, weights=(0.2, 0.8))
    return chosen.b, chosen.r


class _Scheme:
    """One key's hashes and permutations, with the words it has seen."""

    def __init__(self, key: bytes, n_perm: int) -> None:
        from datasketch import MinHash

        if n_perm < 1:
            raise UsageError(f"n_perm is {n_perm}, allowed is 1 or more")
        if len(key) > 64:
            raise UsageError(f"the key has {len(key)} bytes, at most 64 are allowed")
        self._key = key
        seed = hashlib.blake2b(b"permutations", key=key, digest_size=4).digest()
        self._empty: MinHash = MinHash(
            n_perm, seed=int.from_bytes(seed, "little"), hashfunc=int, scheme="affine32"
        )
        self._words: dict[str, tuple[int, NDArray[np.uint64]]] = {}

    def signature(self, text: str) -> NDArray[np.uint32]:
        made = self._empty.copy()
        found = self.shingles(text)
        if len(found):
            made.update_batch((found >> np.uint64(32)).astype(np.uint32))
        row: NDArray[np.uint32] = made.hashvalues.astype(np.uint32, copy=False)
        return row

    def shingles(self, text: str) -> NDArray[np.uint64]:
        """Hashes of the text's shingles: sorted, none twice."""
        seen = [self._word(word) for word in words(_shown(text))]
        if not seen:
            return np.empty(0, dtype=np.uint64)
        own = np.array([word for word, _ in seen], dtype=np.uint64)
        pairs = _mixed(own[:-1] * _PAIR + own[1:])
        return np.unique(np.concatenate([pairs, *(grams for _, grams in seen)]))

    def _word(self, word: str) -> tuple[int, NDArray[np.uint64]]:
        """A word's hash and those of its runs of characters."""
        known = self._words.get(word)
        if known is None:
            if len(self._words) >= _MOST_WORDS:
                self._words.clear()
            padded = f"^{word}$"
            runs = {padded[i : i + _GRAM] for i in range(max(1, len(padded) - _GRAM + 1))}
            grams = np.array([self._hash(f"#{run}") for run in runs], dtype=np.uint64)
            known = self._words[word] = (self._hash(word), grams)
        return known

    def _hash(self, value: str) -> int:
        spelled = value.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(spelled, key=self._key, digest_size=8).digest()
        return int.from_bytes(digest, "little")


@lru_cache(maxsize=8)
def _scheme(key: bytes, n_perm: int) -> _Scheme:
    return _Scheme(key, n_perm)


def _shown(text: str) -> str:
    """Without characters that do not show, which may stand inside a word."""
    if text.isascii():
        return text
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed


def _wrapped(row: NDArray[np.uint32]) -> MinHash:
    from datasketch import LeanMinHash

    return LeanMinHash(seed=0, hashvalues=row, scheme="affine32")
