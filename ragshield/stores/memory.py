"""A store in memory: what tests and experiments use, and the yardstick for the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

import numpy as np

from ragshield.errors import StoreError
from ragshield.protocols import Neighbours
from ragshield.records import Batch, Finding, Passage, Vector, Vectors
from ragshield.stores.exact import (
    check_addition,
    check_question_vector,
    check_size,
    refuse_existing,
    search_exactly,
)


class _Rows:
    """What a memory store holds; shared by all stores opened under one name."""

    def __init__(self) -> None:
        self.passages: dict[str, Passage] = {}
        self.vectors: Vectors | None = None


_NAMED: dict[str, _Rows] = {}


class MemoryStore:
    """Passages and vectors in one process; search is exact cosine."""

    def __init__(self, url: str = "memory:", batch: Batch | None = None) -> None:
        self._url = url
        self._rows = _Rows()
        if batch is not None:
            self._insert(batch)

    @property
    def url(self) -> str:
        """The URL it was opened with."""
        return self._url

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None while it is empty."""
        return None if self._rows.vectors is None else int(self._rows.vectors.shape[1])

    def count(self) -> int:
        """Number of passages."""
        return len(self._rows.passages)

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        """All passages in insertion order, as they were when the first batch was asked for."""
        check_size(size)
        passages, vectors = tuple(self._rows.passages.values()), self._rows.vectors
        for start in range(0, len(passages), size):
            rows = None if vectors is None else vectors[start : start + size]
            yield Batch(passages[start : start + size], rows)

    def get(self, ids: Sequence[str]) -> Batch:
        """The passages with these ids that exist, in the order asked."""
        position = {passage_id: i for i, passage_id in enumerate(self._rows.passages)}
        found = [passage_id for passage_id in ids if passage_id in position]
        rows = None
        if self._rows.vectors is not None:
            rows = self._rows.vectors[[position[passage_id] for passage_id in found]]
        return Batch(tuple(self._rows.passages[passage_id] for passage_id in found), rows)

    def search(self, vector: Vector, k: int) -> Neighbours:
        """The k most similar passages by cosine; ties in insertion order."""
        question = check_question_vector(self._url, vector, k, self.dim)
        passages, vectors = tuple(self._rows.passages.values()), self._rows.vectors
        if vectors is None:  # emptied by another thread since the check
            return Neighbours((), np.zeros((0, len(question)), dtype=np.float32))
        return search_exactly(passages, vectors, question, k)

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
        vectors = check_addition(batch, self.dim)
        rows = self._rows
        refuse_existing([passage.id for passage in batch.passages if passage.id in rows.passages])
        # A copy either way: the caller's array stays the caller's to change.
        old = vectors[:0] if rows.vectors is None else rows.vectors
        rows.vectors = np.vstack([old, vectors])
        rows.passages.update({passage.id: passage for passage in batch.passages})


class MutableMemoryStore(MemoryStore):
    """A memory store that can be changed."""

    def add(self, batch: Batch) -> None:
        """Insert passages with their vectors; all or nothing."""
        self._insert(batch)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove passages; returns how many there were."""
        rows = self._rows
        gone = set(ids) & set(rows.passages)
        if gone and rows.vectors is not None:
            keep = [i for i, passage_id in enumerate(rows.passages) if passage_id not in gone]
            rows.vectors = rows.vectors[keep] if keep else None
            rows.passages = {k: v for k, v in rows.passages.items() if k not in gone}
        return len(gone)


def open_memory(
    url: str, *, writable: bool = False, trust_collection_config: bool = False
) -> MemoryStore:
    """Open `memory:` (new and empty) or `memory:NAME` (shared within the process).

    Opening a name as writable makes it; the passages live until the process ends.
    """
    del trust_collection_config  # nothing is persisted that could be untrusted
    name = url.removeprefix("memory:")
    store = MutableMemoryStore(url) if writable else MemoryStore(url)
    if name:
        if name not in _NAMED and not writable:
            known = ", ".join(sorted(_NAMED)) or "none"
            raise StoreError(
                f"{url} does not exist in this process (there are: {known}); "
                "open it with writable=True first"
            )
        store._rows = _NAMED.setdefault(name, _Rows())
    return store
