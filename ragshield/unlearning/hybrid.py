"""Retrieval by words and meaning together, as RAG-based unlearning uses it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import UsageError
from ragshield.protocols import Encoder, Store
from ragshield.records import Hit, Passage, Retrieval
from ragshield.retriever import check_question
from ragshield.text import words
from ragshield.vectors import unit_rows

Rule: TypeAlias = Literal["hybrid", "threshold"]
"""`hybrid`: BM25 and cosine, each min-max normalised, half and half. `threshold`: by cosine,
and only what reaches the threshold of the authors' code."""

THRESHOLD = 0.6
"""Of the authors' code, on 1 - (1 - cosine) / 2: so a cosine of 0.2."""


class BM25:
    """Okapi BM25 over a fixed list of texts.

    Source: Robertson and Zaragoza, 2009, section 3; k1 = 1.5, b = 0.75.
    """

    def __init__(self, texts: Sequence[str], *, k1: float = 1.5, b: float = 0.75) -> None:
        counted = [Counter(words(text)) for text in texts]
        lengths = np.array([sum(c.values()) for c in counted], dtype=np.float64)
        mean = float(lengths.mean()) if len(lengths) else 0.0
        self._norm = k1 * (1 - b + b * lengths / max(mean, 1.0))
        self._k1 = k1
        self._postings: dict[str, list[tuple[int, int]]] = {}
        for i, counts in enumerate(counted):
            for word, n in counts.items():
                self._postings.setdefault(word, []).append((i, n))
        self._n = len(texts)

    def relevance(self, question: str) -> NDArray[np.float64]:
        """How relevant each text is: (n,), from 0, higher = more."""
        found = np.zeros(self._n)
        for word in words(question):
            rows = self._postings.get(word, ())
            idf = math.log(1 + (self._n - len(rows) + 0.5) / (len(rows) + 0.5))
            for i, n in rows:
                found[i] += idf * n * (self._k1 + 1) / (n + self._norm[i])
        return found


class HybridRetriever:
    """Retrieves from a store by BM25 and cosine.

    The store is read once; after it has changed, make a new one.

    Source: xuwudawei/rag-unlearning (`hybrid`, top 1) and shihe98/RAG_Unlearning@42198966
    (`threshold`, top 3), after arXiv 2410.15267, section IV.

    Args:
        store: entries and benign knowledge together.
        encoder: the store's own.
        rule: how hits are ranked.
    """

    def __init__(self, store: Store, encoder: Encoder, *, rule: Rule = "hybrid") -> None:
        if rule not in ("hybrid", "threshold"):
            raise UsageError(f"rule is '{rule}', allowed are hybrid and threshold")
        self.store, self.encoder, self._rule = store, encoder, rule
        self._passages: list[Passage] = []
        rows = []
        for batch in store.batches():
            if batch.vectors is None:
                raise UsageError(f"{store.url} holds no vectors; hybrid retrieval needs them")
            self._passages.extend(batch.passages)
            rows.append(batch.vectors)
        self._vectors = np.vstack(rows) if rows else np.empty((0, encoder.dim), np.float32)
        self._unit = unit_rows(self._vectors)
        self._bm25 = BM25([passage.text for passage in self._passages])

    def retrieve(self, question: str, k: int = 1) -> Retrieval:
        """The k best passages, best first.

        Raises:
            UsageError: the question is empty or k < 1.
        """
        check_question(question, k)
        vector = self.encoder.encode([question])[0]
        cosine = (self._unit @ vector).astype(np.float64)
        if self._rule == "threshold":
            ranked = np.where(1 - (1 - cosine) / 2 >= THRESHOLD, cosine, -np.inf)
        else:
            ranked = 0.5 * _spread(self._bm25.relevance(question)) + 0.5 * _spread(cosine)
        order = [int(i) for i in np.argsort(-ranked, kind="stable")[:k] if np.isfinite(ranked[i])]
        hits = tuple(Hit(self._passages[i], float(cosine[i])) for i in order)
        return Retrieval(question, hits, self._vectors[order], vector)


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Min-max normalised; all zeros where all are alike."""
    if not len(values):
        return values
    low, high = float(values.min()), float(values.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
