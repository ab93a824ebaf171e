"""How a text is written, whatever it says: a few measures, and how alike two texts are in them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragshield.text import STOP_WORDS

N_MEASURES = 7

_WORD = re.compile(r"[^\W_]+")
_STOPS = frozenset(".,;:!?")
_MARKUP = frozenset('*#|"')
_MOST_APART = 4.0


def manners(texts: Sequence[str]) -> NDArray[np.float64]:
    """Measures of how each text is written: (n, 7).

    The logarithm of its number of words; per word: function words, punctuation marks, marks
    of markup and quotation, capitals at the beginning, and letters; whether it is all in
    lower case.
    """
    return np.array([_measures(text) for text in texts]).reshape(len(texts), N_MEASURES)


def apart(
    one: NDArray[np.float64], others: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far texts are from the nearest of some others: (n,), 0 for the same manner.

    Args:
        one: (n, 7) of the texts.
        others: (m, 7), m at least 1.
        spread: (7,) standard deviation of each measure among ordinary texts; 0 where all
            agree.

    Returns:
        The mean over the measures, each in standard deviations and at most 4.
    """
    scale = np.where(spread > 0, spread, np.finfo(np.float64).eps)
    nearest = np.full(len(one), _MOST_APART)
    for other in others:
        distance = np.minimum(np.abs(one - other) / scale, _MOST_APART).mean(axis=1)
        nearest = np.minimum(nearest, distance)
    return nearest


def _measures(text: str) -> tuple[float, ...]:
    words = _WORD.findall(text)
    n = max(len(words), 1)
    return (
        math.log(len(words) + 1),
        sum(word.lower() in STOP_WORDS for word in words) / n,
        sum(c in _STOPS for c in text) / n,
        sum(c in _MARKUP for c in text) / n,
        sum(word[0].isupper() for word in words) / n,
        sum(map(len, words)) / n,
        float(text == text.lower()),
    )
