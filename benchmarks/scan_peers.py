"""Other ways to rank a store, by the methods that are published or usual.

Each gives a number per passage, higher = more suspicious, from the store that holds the
poison. All but the isolation forest and k-means read the same table of neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scan_detection_world import Store

from ragshield.text import words

Ranking = NDArray[np.float64]

_N_CELLS_PER = 50
_ROUGE = 0.25
_TRUSTRAG = 0.88
_READ_WORDS = 120
_HASHES = 64
_BANDS = 16


@dataclass(frozen=True)
class Fitted:
    """What is learnt from the honest store once: k-means centres and a forest.

    Both are fitted without the poison (at most 0.2 % of the passages), which helps them.
    """

    centres: NDArray[np.float32]
    forest: object
    forest_honest: Ranking
    cells: NDArray[np.int64]


def fit(store: Store, seed: int = 0) -> Fitted:
    """Fit what does not change with a few passages more."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.ensemble import IsolationForest

    n_cells = max(2, len(store) // _N_CELLS_PER)
    means = MiniBatchKMeans(n_cells, batch_size=8192, n_init=1, max_iter=20, random_state=seed)
    means.fit(store.vectors[:: max(1, len(store) // 50_000)])
    centres = means.cluster_centers_.astype(np.float32)
    forest = IsolationForest(n_estimators=100, random_state=seed).fit(store.vectors)
    honest = -forest.score_samples(store.vectors)
    return Fitted(centres, forest, honest, _cells(store.vectors, centres))


def hubness(store: Store) -> Ranking:
    """Robust z of how often a passage is among the others' neighbours.

    HubScan (arXiv 2602.22427): reverse neighbours, median and MAD. Differs: the stored
    passages stand for the sample of queries.
    """
    n = len(store)
    counts = np.bincount(store.table.rows[:, :16].ravel(), minlength=n).astype(np.float64)
    spread = 1.4826 * np.median(np.abs(counts - np.median(counts)))
    z: Ranking = (counts - np.median(counts)) / max(spread, 1e-9)
    return z


def outlier_factor(store: Store) -> Ranking:
    """Local outlier factor of 20 neighbours, cosine distance (Breunig et al. 2000)."""
    rows = store.table.rows
    distance = np.maximum(1.0 - store.table.similarity.astype(np.float64), 0.0)
    reach = np.maximum(distance, distance[rows, -1])
    density = 1.0 / (reach.mean(axis=1) + 1e-10)
    factor: Ranking = density[rows].mean(axis=1) / density
    return factor


def isolation_forest(store: Store, fitted: Fitted) -> Ranking:
    """Isolation forest of 100 trees over the vectors (scikit-learn)."""
    new = store.vectors[len(fitted.forest_honest) :]
    given = fitted.forest.score_samples(new)  # type: ignore[attr-defined]
    return np.concatenate([fitted.forest_honest, -given])


def near_cosine(store: Store) -> Ranking:
    """Plain near-duplicates: the nearest passage's cosine, counted from 0.95."""
    best = store.table.similarity[:, 0].astype(np.float64)
    return np.where(best >= 0.95, best, 0.0)


def trustrag(store: Store, fitted: Fitted) -> Ranking:
    """TrustRAG's stage 1 (arXiv 2501.00879) over the store instead of a retrieval.

    k-means cells of about fifty passages stand for its two clusters. Inside a cell a passage is
    suspicious with the cosine to its nearest cell-mate whose ROUGE-L is above 0.25; above
    its cosine of 0.88 the text is not asked for.
    """
    n = len(store)
    cells = np.concatenate(
        [fitted.cells, _cells(store.vectors[len(fitted.cells) :], fitted.centres)]
    )
    rows, similarity = store.table.rows, store.table.similarity.astype(np.float64)
    mates = (cells[rows] == cells[:, None]) & (similarity > 0.6)
    out = np.zeros(n)
    tokens: dict[int, list[str]] = {}
    for row in np.flatnonzero(mates.any(axis=1)):
        for column in np.flatnonzero(mates[row])[:5]:
            near = float(similarity[row, column])
            if near < _TRUSTRAG:
                pair = [
                    tokens.setdefault(int(i), words(store.all[int(i)].text)[:_READ_WORDS])
                    for i in (row, rows[row, column])
                ]
                if _rouge_l(*pair) <= _ROUGE:
                    continue
            out[row] = near
            break
    return out


class MinHash:
    """Signatures of word 3-shingles; those of the honest store are made once."""

    def __init__(self, texts: Sequence[str], seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self._a = rng.integers(1, 2**61 - 1, _HASHES, dtype=np.uint64) | np.uint64(1)
        self._b = rng.integers(0, 2**61 - 1, _HASHES, dtype=np.uint64)
        self._honest = np.array([self._sign(text) for text in texts])

    def __call__(self, store: Store) -> Ranking:
        """Largest share of equal hashes with another passage, from 0.5 (16 bands of 4)."""
        new = [self._sign(p.text) for p in store.all[len(self._honest) :]]
        signs = np.vstack([self._honest, *new]) if new else self._honest
        best = np.zeros(len(signs))
        width = _HASHES // _BANDS
        for band in range(_BANDS):
            key = np.ascontiguousarray(signs[:, band * width : (band + 1) * width])
            _, inverse = np.unique(key.view([("", key.dtype)] * width).ravel(), return_inverse=True)
            order = np.argsort(inverse, kind="stable")
            # Neighbours in the order of the bucket stand for all of it.
            same = np.flatnonzero(np.diff(inverse[order]) == 0)
            left, right = order[same], order[same + 1]
            share = (signs[left] == signs[right]).mean(axis=1)
            np.maximum.at(best, left, share)
            np.maximum.at(best, right, share)
        return np.where(best >= 0.5, best, 0.0)

    def _sign(self, text: str) -> NDArray[np.uint64]:
        own = words(text)
        grams = {" ".join(own[i : i + 3]).encode() for i in range(max(1, len(own) - 2))}
        keys = np.array([crc32(g) + 1 for g in grams], dtype=np.uint64)
        with np.errstate(over="ignore"):
            mixed: NDArray[np.uint64] = (keys[:, None] * self._a + self._b) >> np.uint64(8)
        least: NDArray[np.uint64] = mixed.min(axis=0)
        return least


def peers(fitted: Fitted, minhash: MinHash) -> Mapping[str, Callable[[Store], Ranking]]:
    """The methods by the names in the report."""
    return {
        "HubScan's hubness": hubness,
        "TrustRAG-style clusters": lambda store: trustrag(store, fitted),
        "isolation forest": lambda store: isolation_forest(store, fitted),
        "local outlier factor": outlier_factor,
        "near duplicates, cosine": near_cosine,
        "near duplicates, MinHash": minhash,
    }


def _cells(vectors: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    half = 0.5 * (centres**2).sum(axis=1)
    blocks = [vectors[i : i + 4096] @ centres.T - half for i in range(0, len(vectors), 4096)]
    return np.concatenate([b.argmax(axis=1) for b in blocks])


def _rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """F measure of the longest common subsequence."""
    if not one or not other:
        return 0.0
    # Bit-parallel LCS (Hyyroe 2004).
    places: dict[str, int] = {}
    for i, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << i
    full = (1 << len(one)) - 1
    state = full
    for word in other:
        match = state & places.get(word, 0)
        state = ((state + match) | (state - match)) & full
    common = len(one) - state.bit_count()
    return 2 * common / (len(one) + len(other))
