"""How much nearer a text lies to what is forgotten than to what must stay known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Vectors
from ragshield.unlearning.keys import ForgetKeys, rotation


class Margin(NamedTuple):
    """The nearest target of a text.

    Attributes:
        owner: row of the target; -1 where there is none.
        similarity: cosine of its nearest key.
        margin: that, less the cosine of the nearest thing that must stay known; [-2, 2].
    """

    owner: int
    similarity: float
    margin: float


class Margins:
    """Compares vectors with the key vectors; one product of matrices for each call."""

    def __init__(self, keys: ForgetKeys) -> None:
        own = keys.owners >= 0
        self._turn = rotation(keys.secret, keys.vectors.shape[1])
        self._forget = np.ascontiguousarray(keys.vectors[own])
        self._stay = np.ascontiguousarray(keys.vectors[~own])
        self._owners: NDArray[np.int32] = keys.owners[own]

    def of(self, vectors: Vectors, free: frozenset[int] = frozenset()) -> list[Margin]:
        """The margin of each row.

        Args:
            vectors: (n, dim) float32 unit rows, as the encoder gives them.
            free: rows of targets that do not count, being free for the audience.
        """
        if not len(vectors):
            return []
        turned = vectors @ self._turn
        stay = turned @ self._stay.T
        known = stay.max(axis=1) if stay.shape[1] else np.zeros(len(turned))
        near = turned @ self._forget.T
        if free and near.shape[1]:
            near[:, np.isin(self._owners, list(free))] = -1.0
        if not near.shape[1]:
            return [Margin(-1, -1.0, -2.0)] * len(turned)
        best = near.argmax(axis=1)
        found = near[np.arange(len(turned)), best]
        return [
            Margin(int(self._owners[b]), float(s), float(s - k))
            for b, s, k in zip(best, found, known, strict=True)
        ]
