"""One pass over a store: a sample of its passages, and what tells it from another."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ragshield.defenders.calibrated_shield import Fingerprint
from ragshield.defenders.calibrated_store import projected
from ragshield.errors import StoreError
from ragshield.protocols import Store
from ragshield.records import Passage
from ragshield.stores.exact import healthy
from ragshield.vectors import unit_rows

QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)


class Sample(NamedTuple):
    """What one pass over a store gives.

    Attributes:
        passages: drawn at random, without replacement, in the store's order.
        fingerprint: of the whole store; its similarity quantiles are still empty.
    """

    passages: tuple[Passage, ...]
    fingerprint: Fingerprint


def read_store(
    store: Store, size: int, *, seed: int = 0, advance: Callable[[int], None] | None = None
) -> Sample:
    """Read all of a store once, keep `size` passages (reservoir) and a fingerprint.

    Raises:
        StoreError: the store is empty or holds no vectors.
    """
    rng = np.random.default_rng(seed)
    kept: list[tuple[int, Passage]] = []
    seen = n_vectors = 0
    total = np.zeros(store.dim or 0)
    for batch in store.batches():
        for passage in batch.passages:
            if passage.text.strip():
                # The textbook reservoir: the i-th passage replaces one with chance size / i.
                if len(kept) < size:
                    kept.append((seen, passage))
                elif (at := int(rng.integers(seen + 1))) < size:
                    kept[at] = (seen, passage)
                seen += 1
        if batch.vectors is not None and len(batch):
            rows = unit_rows(batch.vectors[healthy(batch.vectors)])
            total = total + rows.sum(axis=0, dtype=np.float64)
            n_vectors += len(rows)
        if advance is not None:
            advance(len(batch))
    if not seen:
        raise StoreError(f"{store.url} holds no passages with text: nothing to calibrate on")
    if not n_vectors:
        raise StoreError(
            f"{store.url} holds no vectors, so nothing can be retrieved from it; add the "
            "passages with their vectors first"
        )
    mean = total / n_vectors
    return Sample(
        tuple(passage for _, passage in sorted(kept, key=lambda entry: entry[0])),
        Fingerprint(
            n_passages=store.count(),
            dim=len(mean),
            mean_length=round(float(np.linalg.norm(mean)), 6),
            mean_projection=tuple(round(float(x), 6) for x in projected(mean)),
            similarity_quantiles=(),
        ),
    )
