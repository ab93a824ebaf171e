"""What a whole store holds, in one digest: the same before and after, or not."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ragshield.protocols import Store
from ragshield.records import Batch


@dataclass(frozen=True, slots=True)
class StoreState:
    """The content of a store at one moment.

    Attributes:
        n_passages: how many it held.
        sha256: over the ids, texts, sources, metadata and vectors of all of them, whatever
            their order; equal where, and only where, all of that is equal.
    """

    n_passages: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.n_passages:,} passages, SHA-256 {self.sha256}"


def state_of(store: Store, *, advance: Callable[[int], None] | None = None) -> StoreState:
    """Read a store from end to end and take its digest.

    Streams: 32 bytes a passage stay in memory. The digest is that of the sorted digests
    of the rows, since a store may give back the same rows in another order.

    Args:
        store: what to read.
        advance: called with the number of passages just read.
    """
    rows = bytearray()
    for batch in store.batches():
        for digest in _digests(batch):
            rows += digest
        if advance is not None:
            advance(len(batch))
    ordered = np.sort(np.frombuffer(bytes(rows), dtype="S32"))
    return StoreState(len(ordered), hashlib.sha256(ordered.tobytes()).hexdigest())


def _digests(batch: Batch) -> Iterator[bytes]:
    for i, passage in enumerate(batch.passages):
        meta = json.dumps(dict(passage.meta), sort_keys=True, default=str)
        vector = b"" if batch.vectors is None else batch.vectors[i].astype("<f4").tobytes()
        digest = hashlib.sha256()
        source = "-" if passage.source is None else f"+{passage.source}"
        texts = (passage.id, passage.text, source, meta)
        for part in (*(t.encode("utf-8", "surrogatepass") for t in texts), vector):
            # With its length before it, no part can pass for the end of the one before.
            digest.update(struct.pack("<Q", len(part)))
            digest.update(part)
        yield digest.digest()
