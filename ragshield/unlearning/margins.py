"""How much nearer a text lies to what is forgotten than to what must stay known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Vectors
from ragshield.unlearning.keys import ForgetKeys, rotation

_SKETCH = 128
_LARGE = 6_000
_LOOKED_AT = 128


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
    """Compares vectors with the key vectors; safe to use from many threads."""

    def __init__(self, keys: ForgetKeys) -> None:
        own = keys.owners >= 0
        self._turn = rotation(keys.secret, keys.vectors.shape[1])
        self._forget = _Rows(keys.vectors[own])
        self._stay = _Rows(keys.vectors[~own])
        self._owners: NDArray[np.int32] = keys.owners[own]

    def of(self, vectors: Vectors, free: frozenset[int] = frozenset()) -> list[Margin]:
        """The margin of each row.

        Args:
            vectors: (n, dim) float32 unit rows, as the encoder gives them.
            free: rows of targets that do not count, being free for the audience.
        """
        out = np.isin(self._owners, list(free)) if free else None
        found = []
        for turned in vectors @ self._turn:
            _, known = self._stay.nearest(turned)
            best, similarity = self._forget.nearest(turned, out)
            if best < 0:
                found.append(Margin(-1, -1.0, -2.0))
            else:
                owner = int(self._owners[best])
                found.append(Margin(owner, similarity, similarity - max(known, -1.0)))
        return found


class _Rows:
    """Unit rows of which the nearest is looked up.

    Of many rows only their first turned components are compared with all, which are a
    random projection (Johnson and Lindenstrauss) because the turn is random; the nearest
    by these are then compared in full.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._rows = np.ascontiguousarray(vectors)
        large = len(vectors) > _LARGE and vectors.shape[1] > 2 * _SKETCH
        self._sketch = np.ascontiguousarray(vectors[:, :_SKETCH]) if large else None

    def nearest(
        self, vector: NDArray[np.float32], out: NDArray[np.bool_] | None = None
    ) -> tuple[int, float]:
        """Row and cosine of the nearest; (-1, -2.0) where there is none."""
        if not len(self._rows) or (out is not None and out.all()):
            return -1, -2.0
        if self._sketch is None:
            cosines = self._rows @ vector
            if out is not None:
                cosines[out] = -2.0
            best = int(cosines.argmax())
            return best, float(cosines[best])
        rough = self._sketch @ vector[:_SKETCH]
        if out is not None:
            rough[out] = -np.inf
        near = np.argpartition(rough, -_LOOKED_AT)[-_LOOKED_AT:]
        cosines = self._rows[near] @ vector
        if out is not None:
            cosines[out[near]] = -2.0
        best = int(cosines.argmax())
        return int(near[best]), float(cosines[best])
