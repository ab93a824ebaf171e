"""What a store retrieves for many questions, by its own search or exactly."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Store
from ragshield.records import Batch, Vectors
from ragshield.vectors import unit_rows


@dataclass(frozen=True, slots=True)
class Ranked:
    """What was retrieved for one question, best first.

    Attributes:
        ids: of the passages.
        similarity: cosines, [-1, 1], one per id.
        texts: the passages' texts; empty where they were not asked for.
    """

    ids: tuple[str, ...]
    similarity: tuple[float, ...]
    texts: tuple[str, ...] = ()

    @property
    def best(self) -> float:
        """Similarity of the first; -1 where nothing was found."""
        return self.similarity[0] if self.similarity else -1.0

    def without(self, ids: Collection[str], k: int) -> Ranked:
        """The first k that are not among `ids`: what a store that never held them gives."""
        kept = [i for i, passage_id in enumerate(self.ids) if passage_id not in ids][:k]
        texts = tuple(self.texts[i] for i in kept) if self.texts else ()
        return Ranked(
            tuple(self.ids[i] for i in kept), tuple(self.similarity[i] for i in kept), texts
        )


def searched(store: Store, questions: Vectors, k: int = 10) -> tuple[Ranked, ...]:
    """What the store's own search finds.

    Args:
        store: an open store; an empty one finds nothing.
        questions: (n, dim) float32.
        k: how many to retrieve for each.
    """
    found = []
    empty = store.count() == 0
    for question in questions:
        hits = () if empty else store.search(question, k).hits
        found.append(
            Ranked(
                tuple(hit.id for hit in hits),
                tuple(hit.similarity for hit in hits),
                tuple(hit.text for hit in hits),
            )
        )
    return tuple(found)


def exact(
    batches: Iterable[Batch],
    questions: Vectors,
    k: int = 10,
    *,
    never: Collection[str] = (),
) -> tuple[Ranked, ...]:
    """What an exact index over these rows finds: the oracle, in one pass and little memory.

    With `never`, it is the index rebuilt from the source without the target: rows with
    these ids are passed over as if they had never been there. Ties are in the order of
    the rows, as in ragshield's exact stores.

    Args:
        batches: all rows with vectors; rows without a direction are near nothing.
        questions: (n, dim) float32.
        k: how many to retrieve for each.
        never: ids to leave out.
    """
    unit, never = unit_rows(questions), frozenset(never)
    best = [_Best(k) for _ in questions]
    for batch in batches:
        if batch.vectors is None:
            continue
        usable = np.isfinite(batch.vectors).all(axis=1) & batch.vectors.any(axis=1)
        rows = [i for i in np.flatnonzero(usable).tolist() if batch.passages[i].id not in never]
        if not rows:
            continue
        # One question at a time, with the product that exact stores use: bit for bit the same.
        vectors = unit_rows(batch.vectors[rows])
        for i, question in enumerate(unit):
            best[i].add(batch, rows, np.clip(vectors @ question, -1.0, 1.0))
    return tuple(one.ranked() for one in best)


class _Best:
    """The k best rows so far, for one question."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.rows: list[tuple[float, str, str]] = []

    def add(self, batch: Batch, rows: Sequence[int], similarity: NDArray[np.float32]) -> None:
        order = np.argsort(-similarity, kind="stable")[: self.k]
        new = [
            (float(similarity[i]), batch.passages[rows[i]].id, batch.passages[rows[i]].text)
            for i in order
        ]
        # Sorting is stable, and earlier rows stand first: ties stay in the rows' order.
        self.rows = sorted([*self.rows, *new], key=lambda row: -row[0])[: self.k]

    def ranked(self) -> Ranked:
        return Ranked(
            tuple(passage_id for _, passage_id, _ in self.rows),
            tuple(similarity for similarity, _, _ in self.rows),
            tuple(text for _, _, text in self.rows),
        )
