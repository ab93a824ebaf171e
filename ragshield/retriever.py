"""A retriever over a store: one embedding for the question, none for the passages."""

from __future__ import annotations

import numpy as np

from ragshield.blocklist import BlocklistGiven, opened
from ragshield.errors import InputError, UsageError
from ragshield.protocols import Encoder, Store, StoreFacts
from ragshield.records import Retrieval

SMALL = 1024
"""Stores of at most this many passages are read whole to tell one from another."""


class StoreRetriever:
    """Retrieve from a store with the encoder that filled it.

    Args:
        store: an open store.
        encoder: must give vectors as wide as the store's.
        blocklist: passages to hold back at once, or the file that names them; it is read
            again whenever it has changed.

    Raises:
        InputError: the encoder's dimension is not the store's, or the file is no blocklist.
    """

    def __init__(
        self, store: Store, encoder: Encoder, *, blocklist: BlocklistGiven | None = None
    ) -> None:
        check_dimensions(store, encoder)
        self.store = store
        self.encoder = encoder
        self.blocklist = opened(blocklist)

    def retrieve(self, question: str, k: int = 10) -> Retrieval:
        """The k nearest passages with their stored vectors, best first.

        Raises:
            UsageError: the question is empty or k < 1.
        """
        check_question(question, k)
        vector = self.encoder.encode([question])[0]

        def ask(depth: int) -> Retrieval:
            found = self.store.search(vector, depth)
            return Retrieval(question, found.hits, found.vectors, vector)

        return ask(k) if self.blocklist is None else self.blocklist.retrieve(ask, k)


def store_facts(retriever: object) -> StoreFacts | None:
    """What can be told cheaply of the store behind a retriever; None where it has none.

    Raises:
        StoreError: the store cannot be read.
    """
    store, encoder = getattr(retriever, "store", None), getattr(retriever, "encoder", None)
    if not isinstance(store, Store):
        return None
    name = encoder.name if isinstance(encoder, Encoder) else None
    n = store.count()
    rows = [batch.vectors for batch in store.batches()] if 0 < n <= SMALL else []
    whole = [row for row in rows if row is not None]
    vectors = np.vstack(whole) if whole and len(whole) == len(rows) else None
    return StoreFacts(n, store.dim, name, vectors)


def check_question(question: str, k: int = 1) -> None:
    """Refuse what no retriever can work with."""
    if not question.strip():
        raise UsageError("the question is empty; ask with at least one word")
    if k < 1:
        raise UsageError(f"k is {k}; it must be at least 1")


def check_dimensions(store: Store, encoder: Encoder) -> None:
    """Refuse an encoder whose vectors cannot be the store's."""
    if store.dim is not None and store.dim != encoder.dim:
        raise InputError(
            f"encoder '{encoder.name}' gives {encoder.dim} dimensions, {store.url} holds "
            f"{store.dim}; use the encoder that filled the store (--encoder)"
        )
