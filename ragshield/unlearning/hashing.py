"""Keyed hashes of runs of words: what can be recognised with the key, and read by nobody."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_MOST_WORDS = 200_000
_STEP = np.uint64(0x9E3779B97F4A7C15)
_START = np.uint64(0x243F6A8885A308D3)


class KeyedHashes:
    """Hashes of words and runs of words that nobody can compute without the key.

    Every word goes through keyed BLAKE2b once; a run is a polynomial of its words' hashes,
    so all runs of a text cost one pass of arithmetic for each length.

    Args:
        key: 16 to 64 bytes, secret.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._words: dict[str, int] = {}

    def word(self, word: str) -> int:
        """The hash of one word, in 64 bits."""
        known = self._words.get(word)
        if known is None:
            if len(self._words) >= _MOST_WORDS:
                self._words.clear()
            spelled = word.encode("utf-8", "surrogatepass")
            digest = hashlib.blake2b(spelled, key=self._key, digest_size=8).digest()
            known = self._words[word] = int.from_bytes(digest, "little")
        return known

    def words(self, words: Sequence[str]) -> NDArray[np.uint64]:
        """The hashes of words, (n,) uint64."""
        return np.fromiter((self.word(word) for word in words), dtype=np.uint64, count=len(words))

    def runs(self, hashes: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
        """Hashes of all runs of `n` words, (max(0, len - n + 1),) uint64."""
        for _, found in self.runs_of(hashes, (n,)):
            return found
        return np.empty(0, dtype=np.uint64)

    def runs_of(
        self, hashes: NDArray[np.uint64], lengths: Sequence[int]
    ) -> Iterator[tuple[int, NDArray[np.uint64]]]:
        """Each length with the hashes of all its runs, from the shortest.

        One length goes on from the one before, so that all cost what the longest does.
        Lengths beyond the text's are left out.

        Args:
            hashes: (n,) uint64, of the words.
            lengths: at least 1 each.
        """
        wanted = set(lengths)
        most = min(max(wanted, default=0), len(hashes))
        state = np.full(len(hashes), _START, dtype=np.uint64)
        for n in range(1, most + 1):
            state = (state[: len(hashes) - n + 1] + hashes[n - 1 :]) * _STEP
            state ^= state >> np.uint64(29)
            if n in wanted:
                yield n, state + np.uint64(n)

    def run(self, words: Sequence[str]) -> int:
        """The hash of one run of words."""
        return int(self.runs(self.words(words), len(words))[0])

    def mark(self, what: str, text: str) -> str:
        """A name for something in logs and files, 16 hexadecimal digits."""
        spelled = f"{what}\0{text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(spelled, key=self._key, digest_size=8).hexdigest()
