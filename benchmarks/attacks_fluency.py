"""How unlike honest text a text looks, letter by letter: a stand-in for perplexity.

A trigram model over characters, trained on half of the honest store, gives the surprise
of a text in bits per character. It sees token soup, odd characters and broken words; it
does not see odd statements, and it is no language model.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

_DISCOUNT = 0.75
_START = "\x02\x02"


class Trigrams:
    """Character trigrams, each order backed by the one below with absolute discounting."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._counts: list[Counter[str]] = [Counter(), Counter(), Counter()]
        for text in texts:
            padded = _START + text
            for i in range(2, len(padded)):
                for order in range(3):
                    self._counts[order][padded[i - order : i + 1]] += 1
        self._totals: list[Counter[str]] = [Counter() for _ in range(3)]
        self._kinds: list[Counter[str]] = [Counter() for _ in range(3)]
        for order, counts in enumerate(self._counts):
            for gram, n in counts.items():
                self._totals[order][gram[:-1]] += n
                self._kinds[order][gram[:-1]] += 1
        self._known: dict[str, float] = {}

    def surprise(self, text: str) -> float:
        """Bits per character; higher = less like honest text. 0 for an empty text."""
        padded = _START + text
        grams = [padded[i - 2 : i + 1] for i in range(2, len(padded))]
        return sum(map(self._bits, grams)) / max(1, len(grams))

    def _bits(self, gram: str) -> float:
        if gram not in self._known:
            self._known[gram] = -math.log2(self._probability(gram))
        return self._known[gram]

    def _probability(self, gram: str) -> float:
        likely = 1 / 0x110000
        for order in range(3):
            context = gram[2 - order : 2]
            total = self._totals[order][context]
            if not total:
                continue
            seen = max(0.0, self._counts[order][context + gram[-1]] - _DISCOUNT)
            likely = (seen + _DISCOUNT * self._kinds[order][context] * likely) / total
        return likely


class Fluency:
    """Places texts among honest ones that the model was not trained on."""

    def __init__(self, honest: Sequence[str], *, most: int = 8000) -> None:
        rng = np.random.default_rng(5)
        drawn = [honest[i] for i in rng.permutation(len(honest))[:most]]
        half = len(drawn) // 2
        self.model = Trigrams(drawn[:half])
        self.honest = np.sort([self.model.surprise(text) for text in drawn[half:]])

    def place(self, text: str) -> float:
        """Share of honest texts that are less surprising, [0, 1]; 0.5 = like any other."""
        return float(np.searchsorted(self.honest, self.model.surprise(text)) / len(self.honest))


def mean_interval(groups: Sequence[Sequence[float]], *, n_draws: int = 500) -> dict[str, float]:
    """Mean over all values with a 95 % bootstrap interval that draws whole groups."""
    sums = np.array([sum(group) for group in groups if group])
    sizes = np.array([len(group) for group in groups if group])
    if not len(sizes):
        return {}
    drawn = np.random.default_rng(2).integers(0, len(sizes), (n_draws, len(sizes)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "value": float(sums.sum() / sizes.sum()),
        "low": float(low),
        "high": float(high),
        "n": int(sizes.sum()),
    }
