"""What the texts of a group have in common: the same claim, or the same form."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ragshield.text import STOP_WORDS, content_words, normal_form

_MARKS = re.compile(r"\b(?:[^\W\d_a-zß-öø-ÿ]\w+|\d+)\b")
"""Names and numbers: what a claim is about, where a text has capitals."""


@dataclass(frozen=True, slots=True)
class CommonGround:
    """What a group's texts have in common.

    Attributes:
        agreement: per text, in the group's order: the share of its names and numbers that
            most texts have too, [0, 1]; of its words where it has no names.
        claim: per text: the share of its words that most texts have too, [0, 1].
        overlap: mean share of words that two texts have in common, [0, 1].
        series: how far they are one form filled in differently, [0, 1].
        n_distinct: number of different texts.
        shared: at most eight words that most of them have.
    """

    agreement: NDArray[np.float64]
    claim: NDArray[np.float64]
    overlap: float
    series: float
    n_distinct: int
    shared: tuple[str, ...]


def common_ground(texts: Sequence[str]) -> CommonGround:
    """Compare two or more texts; their order does not matter."""
    words = [set(content_words(text)) for text in texts]
    marks = [
        {m.lower() for m in _MARKS.findall(text) if m.lower() not in STOP_WORDS} for text in texts
    ]
    n_marks = float(np.median([len(found) for found in marks]))
    # Texts without capitals or numbers are judged by all their words, which vary more.
    carrying, scale = (marks, 1.0) if n_marks >= 2 else (words, 0.45)
    counts = Counter(word for found in carrying for word in found)
    common = _of_most(counts, len(texts))
    said = _of_most(Counter(word for found in words for word in found), len(texts))
    claim = np.array([len(found & said) / max(len(found), 1) for found in words])
    agreement = np.array(
        [min(1.0, len(found & common) / (scale * max(len(found), 1))) for found in carrying]
    )
    # A large group is judged by 20 of its texts: every pair of 1,000 would take minutes.
    chosen = sorted(range(len(texts)), key=lambda i: texts[i])[:20]
    pairs = list(combinations(chosen, 2))
    overlaps = [
        len(words[a] & words[b]) / max(1, min(len(words[a]), len(words[b]))) for a, b in pairs
    ]
    overlap = float(np.mean(overlaps))
    differing = float(
        np.mean([bool(marks[a] - marks[b] and marks[b] - marks[a]) for a, b in pairs])
    )
    series = float(np.clip((overlap - 0.45) / 0.15, 0, 1)) * differing
    shared = sorted(common, key=lambda word: (-counts[word], word))[:8]
    return CommonGround(
        agreement, claim, overlap, series, len({normal_form(t) for t in texts}), tuple(shared)
    )


def _of_most(counts: Counter[str], n: int) -> set[str]:
    return {word for word, k in counts.items() if k >= 0.6 * n and k > 1}
