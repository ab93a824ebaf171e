"""What a reading of the store compares every passage with: the target as known so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragshield.forget.matching.documents import Key, keys_of, number_of
from ragshield.forget.matching.features import Features, Rarity
from ragshield.minhash import NearIndex
from ragshield.protocols import Store
from ragshield.records import Passage, Vectors
from ragshield.snapshot.layout import usable_unit

NEAR = 0.6
"""Estimated share of shingles from which two texts are looked at more closely."""

_STEP = 500


@dataclass(frozen=True, slots=True, eq=False)
class Seed:
    """One text of the target.

    Attributes:
        passage: it; without an id where the request gave only a text.
        features: of its text.
        direct: named by the request itself, not found through another seed.
    """

    passage: Passage
    features: Features
    direct: bool


class Seeds:
    """Texts of the target, laid out to be compared with.

    Args:
        seeds: the texts.
        unit: (len(seeds), dim) unit rows, zeros for a seed without a vector.
        without: words of the subject's own names, which do not tell passages about it
            apart from one another.
    """

    def __init__(
        self, seeds: Sequence[Seed], unit: Vectors, *, without: frozenset[str] = frozenset()
    ) -> None:
        self.seeds = tuple(seeds)
        self.unit = unit
        self.ids = {seed.passage.id for seed in seeds if seed.passage.id}
        self.by_text = {s.features.normal: i for i, s in reversed(list(enumerate(seeds)))}
        self.by_text.pop("", None)
        self.near = NearIndex(NEAR)
        for i, seed in enumerate(seeds):
            if seed.features.words:
                self.near.add(i, seed.features.signature)
        self.marks = [seed.features.marks - without for seed in seeds]
        self.keys: dict[Key, int] = {}
        self.words_of: dict[Key, frozenset[str]] = {}
        self.numbers: dict[Key, list[tuple[tuple[str, float], int]]] = defaultdict(list)
        words: dict[Key, set[str]] = defaultdict(set)
        for i, seed in enumerate(seeds):
            number = number_of(seed.passage)
            for key in keys_of(seed.passage):
                words[key] |= seed.features.vocabulary
                if seed.direct:
                    self.keys.setdefault(key, i)
                    if number is not None:
                        self.numbers[key].append((number, i))
        self.words_of = {key: frozenset(found) for key, found in words.items()}
        self._lay_out_runs()

    def __len__(self) -> int:
        return len(self.seeds)

    def _lay_out_runs(self) -> None:
        runs = [seed.features.runs for seed in self.seeds]
        self.n_runs = np.array([len(found) for found in runs], dtype=np.int64)
        empty = np.empty(0, dtype=np.uint64)
        every = np.concatenate([empty, *runs])
        owner = np.repeat(np.arange(len(runs)), self.n_runs)
        order = np.argsort(every, kind="stable")
        self._runs, self._owner = every[order], owner[order]
        self.runs, start = np.unique(self._runs, return_index=True)
        self._start = np.append(start, len(self._runs))
        self.pairs = np.unique(np.concatenate([empty, *(s.features.pairs for s in self.seeds)]))

    def common(self, features: Features) -> NDArray[np.intp]:
        """Places in `runs` of the runs of words that a text has, too."""
        return _places(self.runs, features.runs)

    def owners(self, places: NDArray[np.intp]) -> NDArray[np.int64]:
        """How many of these runs each seed has: (len(seeds),) int64."""
        found = [self._owner[self._start[p] : self._start[p + 1]] for p in places.tolist()]
        joined = np.concatenate(found) if found else np.empty(0, dtype=np.intp)
        return np.bincount(joined, minlength=len(self.seeds)).astype(np.int64)

    def worth_a_signature(self, features: Features) -> bool:
        """Whether a text shares so many pairs of words that it may be nearly a seed's."""
        n = len(features.pairs)
        return bool(n) and 5 * len(_places(self.pairs, features.pairs)) >= n


def seeds_of(
    store: Store,
    ids: Sequence[str],
    direct: frozenset[str],
    rarity: Rarity | None,
    *,
    without: frozenset[str] = frozenset(),
) -> Seeds:
    """Fetch passages of a store as seeds.

    Args:
        store: the store.
        ids: of the passages; those that are gone meanwhile are left out.
        direct: ids that the request named.
        rarity: where the store has no vectors: compare by words, weighted by it.
        without: see `Seeds`.
    """
    seeds: list[Seed] = []
    rows: list[Vectors] = []
    for start in range(0, len(ids), _STEP):
        batch = store.get(list(ids[start : start + _STEP]))
        part = [Seed(p, Features(p.text), p.id in direct) for p in batch.passages]
        seeds += part
        if rarity is not None:
            rows.append(rarity.rows([seed.features for seed in part]))
        elif batch.vectors is not None and len(batch):
            rows.append(usable_unit(batch.vectors))
    unit = np.vstack(rows) if rows else np.zeros((len(seeds), 0), dtype=np.float32)
    return Seeds(seeds, unit, without=without)


def _places(known: NDArray[np.uint64], asked: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Places in `known`, sorted, of those values of `asked` that it holds."""
    if not len(known) or not len(asked):
        return np.empty(0, dtype=np.intp)
    at = np.searchsorted(known, asked)
    at[at == len(known)] = 0
    found: NDArray[np.intp] = at[known[at] == asked]
    return found
