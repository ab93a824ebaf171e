"""What the guard adds to a real LangChain retriever over a real Chroma store on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from guard_trials import Embed

N_PASSAGES, N_QUESTIONS, K = 5000, 150, 10


def overhead(
    embed: Embed, passages: Sequence[str], questions: Sequence[str], *, quick: bool = False
) -> dict[str, Any]:
    """Retrieval alone and guarded, timed in pairs on the same questions in one run.

    The question's vector is looked up in the first two settings and made by MiniLM in
    the third. `same depth` retrieves as many alone as the guard judges, so that the
    difference is the guard's reading of vectors and its judgement; the other settings
    count the deeper search as its cost too. Orders alternate. Each question is asked
    once in each way before it is timed, so Chroma's pages are in memory for both.
    """
    from langchain_chroma import Chroma

    from ragshield.encoders import minilm
    from ragshield.integrations.langchain import EncoderEmbeddings, GuardedRetriever

    passages = list(passages)[: 1000 if quick else N_PASSAGES]
    questions = list(dict.fromkeys(questions))[: 20 if quick else N_QUESTIONS]
    asked = dict(zip(questions, embed(questions), strict=True))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        looked_up = EncoderEmbeddings(_LookedUp(asked))
        store = Chroma("bench", looked_up, persist_directory=folder)
        vectors = np.asarray(embed(passages), dtype=np.float32)
        for start in range(0, len(passages), 1000):
            stop = min(start + 1000, len(passages))
            store._collection.add(
                ids=[str(i) for i in range(start, stop)],
                documents=passages[start:stop],
                embeddings=vectors[start:stop],
            )
        live = Chroma("bench", EncoderEmbeddings(minilm.load()), persist_directory=folder)
        rows = []
        for name, over, depth in (
            ("vector looked up", store, None),
            ("vector looked up, same depth", store, K),
            ("question embedded by MiniLM", live, None),
        ):
            alone = over.as_retriever(search_kwargs={"k": K})
            guarded = GuardedRetriever.from_vectorstore(over, K, depth=depth)
            row = _paired(alone.invoke, guarded.invoke, questions)
            rows.append({"setting": name, "n": len(questions)} | row)
        reading = [_reading_ms(store, number) for number in range(len(questions))]
    return {
        "n_passages": len(passages),
        "k": K,
        "rows": rows,
        "reading_ms": float(np.median(reading)),
    }


class _LookedUp:
    """An encoder that only knows the questions of this benchmark."""

    name = "looked up"

    def __init__(self, known: dict[str, Any]) -> None:
        self._known = known
        self.dim = len(next(iter(known.values())))

    def encode(self, texts: Sequence[str]) -> Any:
        """Their vectors, (len(texts), dim)."""
        return np.stack([self._known[text] for text in texts]).astype(np.float32)


def _reading_ms(store: Any, number: int, n: int = 20) -> float:
    """What reading n stored vectors by id takes: a part of what the guard adds."""
    ids = [str(number * n + i) for i in range(n)]
    start = perf_counter()
    store._collection.get(ids=ids, include=["embeddings"])
    return (perf_counter() - start) * 1e3


def _paired(
    alone: Callable[[str], Any], guarded: Callable[[str], Any], questions: Sequence[str]
) -> dict[str, Any]:
    both = (alone, guarded)
    for question in questions:
        for call in both:
            call(question)
    spent = np.empty((len(questions), 2))
    for i, question in enumerate(questions):
        for j in (0, 1) if i % 2 else (1, 0):
            start = perf_counter()
            both[j](question)
            spent[i, j] = (perf_counter() - start) * 1e3
    added = spent[:, 1] - spent[:, 0]
    low, high = _median_interval(added)
    return {
        "alone_ms": float(np.median(spent[:, 0])),
        "guarded_ms": float(np.median(spent[:, 1])),
        "added_ms": float(np.median(added)),
        "added_low_ms": low,
        "added_high_ms": high,
        "share": float(np.median(added) / np.median(spent[:, 0])),
    }


def _median_interval(values: Any) -> tuple[float, float]:
    """95 % interval of a median by order statistics: no distribution assumed."""
    ordered, n = np.sort(values), len(values)
    half = 1.96 * np.sqrt(n) / 2
    low, high = int(max(np.floor(n / 2 - half), 0)), int(min(np.ceil(n / 2 + half), n - 1))
    return float(ordered[low]), float(ordered[high])
