"""Signals of how a passage is written beside the other hits: praise, adverbs, no details."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragshield.defenders.signal_ranks import others_median
from ragshield.wording.profiles import Profile

_PRIOR_WORDS = 40.0
_PRAISE, _ADVERBS = 0.004, 0.008
"""Rates per word in ordinary prose: what others are taken to have before they are counted."""
_USUAL_PRAISE = 0.012
"""Where the others praise at this rate, it counts half: the store is written so."""


def style(
    profiles: Sequence[Profile], window: NDArray[np.float64], asked: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """How much more a hit praises and stresses than the others do, and how much less it names.

    Text made to persuade praises ("renowned", "remarkably") where a document states. Stores
    that are written so themselves show it everywhere, so rates are held against the other
    hits, above all those that do not answer: a planted majority must not set the custom.

    Args:
        profiles: k texts.
        window: (k,) how far each holds the question, [0, 1].
        asked: stems of the question.

    Returns:
        `praise` and `adverbs` in [0, 2], `vague` in [-0.3, 0.3]; (k,) each.
    """
    length = np.array([max(p.n_words, 8) for p in profiles], dtype=np.float64)
    praise = np.array([p.praise for p in profiles], dtype=np.float64)
    adverbs = np.array([p.adverbs for p in profiles], dtype=np.float64)
    weight = 1.05 - np.minimum(window, 1.0)
    n_words = weight @ length - weight * length + _PRIOR_WORDS

    def usual(counts: NDArray[np.float64], prior: float) -> NDArray[np.float64]:
        return (weight @ counts - weight * counts + _PRIOR_WORDS * prior) / n_words

    def above(counts: NDArray[np.float64], rate: NDArray[np.float64]) -> NDArray[np.float64]:
        excess = 10.0 * (counts - length * rate) / np.maximum(length, 15.0)
        return np.clip(excess, 0.0, 2.0)

    custom = usual(praise, _PRAISE)
    trust = 1.0 / (1.0 + (custom / _USUAL_PRAISE) ** 2)
    own = frozenset(asked)
    named = np.array(
        [sum(1 for m in p.marks if m not in own) / max(p.n_words, 8) for p in profiles]
    )
    return {
        "praise": above(praise, custom) * trust,
        "adverbs": above(adverbs, usual(adverbs, _ADVERBS)) * trust,
        "vague": np.clip(others_median(named) - named, -0.3, 0.3),
    }
