"""A store in memory: what tests and experiments use, and the yardstick for the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

import numpy as np

from ragshield.errors import InputError, StoreError, UsageError
from ragshield.protocols import Neighbours
from ragshield.records import Batch, Finding, Hit, Passage, Vector, Vectors
from ragshield.vectors import as_vector, as_vectors, cosines

_NAMED: dict[str, MemoryStore] = {}


class MemoryStore:
    """Passages and vectors in one process; search is exact cosine."""

    def __init__(self, url: str = "memory:", batch: Batch | None = None) -> None:
        self._url = url
        self._passages: dict[str, Passage] = {}
        self._vectors: Vectors | None = None
        if batch is not None:
            self._insert(batch)

    @property
    def url(self) -> str:
        """The URL it was opened with."""
        return self._url

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None while it is empty."""
        return None if self._vectors is None else int(self._vectors.shape[1])

    def count(self) -> int:
        """Number of passages."""
        return len(self._passages)

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        """All passages in insertion order."""
        passages, vectors = tuple(self._passages.values()), self._vectors
        for start in range(0, len(passages), size):
            rows = None if vectors is None else vectors[start : start + size]
            yield Batch(passages[start : start + size], rows)

    def get(self, ids: Sequence[str]) -> Batch:
        """The passages with these ids that exist, in the order asked."""
        position = {passage_id: i for i, passage_id in enumerate(self._passages)}
        found = [passage_id for passage_id in ids if passage_id in position]
        rows = None
        if self._vectors is not None:
            rows = self._vectors[[position[passage_id] for passage_id in found]]
        return Batch(tuple(self._passages[passage_id] for passage_id in found), rows)

    def search(self, vector: Vector, k: int) -> Neighbours:
        """The k most similar passages by cosine; ties in insertion order."""
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        if self._vectors is None:
            raise StoreError(f"{self._url} is empty: nothing to search")
        question = as_vector(vector, dim=self.dim, what="question vector")
        similarity = cosines(self._vectors, question)
        order = np.argsort(-similarity, kind="stable")[:k]
        passages = tuple(self._passages.values())
        hits = tuple(Hit(passages[i], float(similarity[i])) for i in order)
        return Neighbours(hits, self._vectors[order])

    def configuration_findings(self) -> list[Finding]:
        """None: there is no configuration."""
        return []

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _insert(self, batch: Batch) -> None:
        if not batch.passages:
            return
        if batch.vectors is None:
            raise InputError("passages to add have no vectors; embed them first")
        vectors = as_vectors(batch.vectors, rows=len(batch.passages))
        if self.dim is not None and vectors.shape[1] != self.dim:
            raise InputError(f"vectors have {vectors.shape[1]} dimensions, the store has {self.dim}")
        seen = set(self._passages)
        for passage in batch.passages:
            if passage.id in seen:
                raise InputError(f"id '{passage.id}' exists already; ids must be unique")
            seen.add(passage.id)
        self._passages.update({passage.id: passage for passage in batch.passages})
        self._vectors = vectors if self._vectors is None else np.vstack([self._vectors, vectors])


class MutableMemoryStore(MemoryStore):
    """A memory store that can be changed."""

    def add(self, batch: Batch) -> None:
        """Insert passages with their vectors; all or nothing."""
        self._insert(batch)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove passages; returns how many there were."""
        gone = set(ids) & set(self._passages)
        if gone and self._vectors is not None:
            keep = [i for i, passage_id in enumerate(self._passages) if passage_id not in gone]
            self._vectors = self._vectors[keep] if keep else None
            for passage_id in gone:
                del self._passages[passage_id]
        return len(gone)


def open_memory(
    url: str, *, writable: bool = False, trust_collection_config: bool = False
) -> MemoryStore:
    """Open `memory:` (a new empty store) or `memory:NAME` (shared within the process)."""
    del trust_collection_config  # nothing is persisted that could be untrusted
    name = url.removeprefix("memory:")
    if not name:
        return MutableMemoryStore(url) if writable else MemoryStore(url)
    if name not in _NAMED and not writable:
        raise StoreError(f"{url} does not exist in this process; open it with writable=True first")
    return _NAMED.setdefault(name, MutableMemoryStore(url))
