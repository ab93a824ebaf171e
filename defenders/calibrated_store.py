"""Whether a live store is still the one that a shield was calibrated on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ragshield.defenders.calibrated_shield import Shield
from ragshield.errors import InputError
from ragshield.protocols import StoreFacts
from ragshield.vectors import unit_rows

DIRECTIONS = 8
"""Fixed directions on which a store's mean vector is noted."""

_COUNT_MOVED = 0.1
_MEAN_MOVED = 0.2


def projected(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """A mean vector, (dim,), on the fixed directions of its width, (8,)."""
    directions = np.random.default_rng(0).standard_normal((DIRECTIONS, len(mean)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found: NDArray[np.float64] = directions @ mean
    return found


def moved(shield: Shield, facts: StoreFacts) -> str | None:
    """How the store has moved since it was calibrated; None where nothing shows that.

    Told are a count that changed by more than a tenth, and, where the facts hold all
    vectors, a mean vector that moved by more than a fifth of its length and than chance.

    Raises:
        InputError: the shield was calibrated with another encoder.
    """
    was = shield.store
    other_name = facts.encoder not in (None, shield.encoder)
    if other_name or facts.dim not in (None, was.dim):
        have = f"'{facts.encoder}'" if facts.encoder else "another"
        width = "" if facts.dim is None else f" ({facts.dim} dimensions)"
        raise InputError(
            f"the shield was calibrated with encoder '{shield.encoder}' ({was.dim} dimensions), "
            f"this retriever uses {have}{width}; use that encoder, or calibrate again: "
            "ragshield calibrate URL --encoder NAME"
        )
    n = facts.n_passages
    if n is not None and abs(n - was.n_passages) > _COUNT_MOVED * was.n_passages:
        return f"the store holds {n:,} passages, it held {was.n_passages:,} when calibrated"
    if facts.vectors is None or not len(facts.vectors):
        return None
    usable = np.isfinite(facts.vectors).all(axis=1) & facts.vectors.any(axis=1)
    if not usable.any():
        return None
    mean = unit_rows(facts.vectors[usable]).mean(axis=0, dtype=np.float64)
    before = np.asarray(was.mean_projection)
    gap = float(np.linalg.norm(projected(mean) - before))
    chance = 2 * np.sqrt(DIRECTIONS / was.dim / usable.sum())
    if gap > _MEAN_MOVED * float(np.linalg.norm(before)) + chance:
        return "the store's passages are about other things than when it was calibrated"
    return None
