"""What an optimised text should achieve, as a function of the vectors it gets.

Each objective has `values`, from the unit vectors of n candidates in h hosts, (n, h, dim), to
(n,) numbers, higher = better; and `slope`, its derivative by one candidate's vectors, (h, dim).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Vectors
from ragshield.vectors import unit_rows


class Objective(Protocol):
    """Something that a text can be optimised for."""

    def values(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """From (n, h, dim) unit vectors to (n,), higher = better."""
        ...

    def slope(self, vectors: Vectors) -> Vectors:
        """Derivative of the value by one candidate's vectors, (h, dim)."""
        ...


class Contrast:
    """Mean cosine to some vectors, less that to others (Phantom's loss; the mean alone too).

    Args:
        near: (m, dim) vectors to come near to.
        far: (k, dim) vectors to stay away from; None for none.
        weight: of the second mean.
    """

    def __init__(self, near: Vectors, far: Vectors | None = None, *, weight: float = 1.0) -> None:
        # The mean of cosines is a cosine-like product with the mean: no batches, no noise.
        self._towards = unit_rows(near).mean(axis=0, dtype=np.float64)
        if far is not None and len(far):
            self._towards -= weight * unit_rows(far).mean(axis=0, dtype=np.float64)

    def values(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean over the hosts."""
        found: NDArray[np.float64] = (vectors @ self._towards).mean(axis=1)
        return found

    def slope(self, vectors: Vectors) -> Vectors:
        """The same everywhere."""
        return np.tile(self._towards / len(vectors), (len(vectors), 1)).astype(np.float32)


class InfoNCE:
    """Log-probability of the positives among all negatives (BadRAG's contrastive loss).

    Args:
        positives: (m, dim) vectors of queries that should find the text.
        negatives: (k, dim) vectors of those that should not.
        temperature: > 0; lower looks only at the nearest negatives.
    """

    def __init__(self, positives: Vectors, negatives: Vectors, *, temperature: float = 0.1) -> None:
        self._positives = unit_rows(positives).astype(np.float64)
        self._negatives = unit_rows(negatives).astype(np.float64)
        self._temperature = temperature

    def _exponents(
        self, vectors: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Of positives (..., m) and negatives (..., k), and the log of their sums (..., m)."""
        ups = vectors @ self._positives.T / self._temperature
        downs = vectors @ self._negatives.T / self._temperature
        most = downs.max(axis=-1, initial=-np.inf, keepdims=True)
        most = np.where(np.isfinite(most), most, 0.0)
        with np.errstate(divide="ignore"):
            rest = most + np.log(np.exp(downs - most).sum(axis=-1, keepdims=True))
        return ups, downs, np.logaddexp(ups, rest)

    def values(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean over positives and hosts, <= 0."""
        ups, _, sums = self._exponents(vectors)
        found: NDArray[np.float64] = (ups - sums).mean(axis=(1, 2))
        return found

    def slope(self, vectors: Vectors) -> Vectors:
        """By the softmax weights of positives and negatives."""
        ups, downs, sums = self._exponents(vectors)
        n = ups.size * self._temperature
        pull = (1 - np.exp(ups - sums)) @ self._positives
        push = np.exp(downs[:, None, :] - sums[:, :, None]).sum(axis=1) @ self._negatives
        return np.asarray((pull - push) / n, dtype=np.float32)


class Winning:
    """How surely the text beats the best passage that each question has, in [0, 1].

    Args:
        questions: (m, dim) their vectors.
        rivals: (m,) similarity of each question to its best passage, [-1, 1].
        softness: > 0; the similarity by which a miss still counts.
    """

    def __init__(
        self, questions: Vectors, rivals: NDArray[np.float32], *, softness: float = 0.03
    ) -> None:
        self._questions = unit_rows(questions).astype(np.float64)
        self._rivals = rivals.astype(np.float64)
        self._softness = softness

    def _wins(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        ahead = (vectors @ self._questions.T - self._rivals) / self._softness
        wins: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(ahead, -60, 60)))
        return wins

    def values(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean over questions and hosts."""
        found: NDArray[np.float64] = self._wins(vectors).mean(axis=(1, 2))
        return found

    def slope(self, vectors: Vectors) -> Vectors:
        """Largest where a question is nearly won."""
        wins = self._wins(vectors)
        weights = wins * (1 - wins) / (self._softness * wins.size)
        return np.asarray(weights @ self._questions, dtype=np.float32)


class Apart:
    """Hosts far from all centres and close to each other (AgentPoison's two losses).

    Args:
        centres: (c, dim) unit vectors of benign clusters.
        compactness: weight of the distance to the hosts' own mean, >= 0.
    """

    def __init__(self, centres: Vectors, *, compactness: float = 1.0) -> None:
        self._centres = unit_rows(centres).astype(np.float64)
        self._compactness = compactness

    def values(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Mean distance to the centres, less the weighted mean distance to the mean."""
        rows = vectors.astype(np.float64)
        away = np.linalg.norm(rows[:, :, None] - self._centres, axis=-1).mean(axis=(1, 2))
        middle = rows.mean(axis=1, keepdims=True)
        spread = np.linalg.norm(rows - middle, axis=-1).mean(axis=1)
        found: NDArray[np.float64] = away - self._compactness * spread
        return found

    def slope(self, vectors: Vectors) -> Vectors:
        """Away from the centres, towards the other hosts."""
        rows = vectors.astype(np.float64)
        n = len(rows)
        gaps = rows[:, None] - self._centres
        away = (gaps / _lengths(gaps)).mean(axis=1) / n
        inward = rows - rows.mean(axis=0)
        pointing = inward / _lengths(inward)
        # The mean moves along with each host.
        spread = (pointing - pointing.mean(axis=0)) / n
        return np.asarray(away - self._compactness * spread, dtype=np.float32)


def _lengths(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
    return found
