"""What the texts of a group have in common: the same claim, or the same form."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ragshield.text import STOP_WORDS, content_words, normal_form, words

_MARKS = re.compile(r"\b(?:[^\W\d_a-zß-öø-ÿ]\w+|\d+)\b")
"""Names and numbers: what a claim is about, where a text has capitals."""

_RUN = 4
_QUESTION = 25


@dataclass(frozen=True, slots=True)
class CommonGround:
    """What a group's texts have in common.

    Attributes:
        agreement: per text, in the group's order: the share of its names and numbers that
            most texts have too, [0, 1]; of its words where it has no names.
        claim: per text: the share of its words that most texts have too, [0, 1].
        overlap: mean share of words that two texts have in common, [0, 1].
        verbatim: mean share of their runs of four words that two texts have in common,
            [0, 1]; what both begin with, up to a question's length, is left out.
        series: how far they are one form filled in differently, [0, 1].
        n_distinct: number of different texts.
        shared: at most eight words that most of them have.
    """

    agreement: NDArray[np.float64]
    claim: NDArray[np.float64]
    overlap: float
    verbatim: float
    series: float
    n_distinct: int
    shared: tuple[str, ...]


def common_ground(texts: Sequence[str]) -> CommonGround:
    """Compare two or more texts; their order does not matter."""
    held = [set(content_words(text)) for text in texts]
    marks = [
        {m.lower() for m in _MARKS.findall(text) if m.lower() not in STOP_WORDS} for text in texts
    ]
    n_marks = float(np.median([len(found) for found in marks]))
    # Texts without capitals or numbers are judged by all their words, which vary more.
    carrying, scale = (marks, 1.0) if n_marks >= 2 else (held, 0.45)
    counts = Counter(word for found in carrying for word in found)
    common = _of_most(counts, len(texts))
    said = _of_most(Counter(word for found in held for word in found), len(texts))
    claim = np.array([len(found & said) / max(len(found), 1) for found in held])
    agreement = np.array(
        [min(1.0, len(found & common) / (scale * max(len(found), 1))) for found in carrying]
    )
    # A large group is judged by 20 of its texts: every pair of 1,000 would take minutes.
    chosen = sorted(range(len(texts)), key=lambda i: texts[i])[:20]
    pairs = list(combinations(chosen, 2))
    overlaps = [len(held[a] & held[b]) / max(1, min(len(held[a]), len(held[b]))) for a, b in pairs]
    overlap = float(np.mean(overlaps))
    said_so = [_Said.of(texts[i]) for i in chosen]
    verbatim = float(np.mean([_verbatim(a, b) for a, b in combinations(said_so, 2)]))
    differing = float(
        np.mean([bool(marks[a] - marks[b] and marks[b] - marks[a]) for a, b in pairs])
    )
    series = float(np.clip((overlap - 0.45) / 0.15, 0, 1)) * differing
    shared = sorted(common, key=lambda word: (-counts[word], word))[:8]
    return CommonGround(
        agreement,
        claim,
        overlap,
        verbatim,
        series,
        len({normal_form(t) for t in texts}),
        tuple(shared),
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """How a text begins, and its runs of words."""

    first: Sequence[str]
    runs: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, text: str) -> _Said:
        own = words(text)
        runs = (tuple(own[i : i + _RUN]) for i in range(len(own) - _RUN + 1))
        return cls(own[:_QUESTION], frozenset(runs))


def _verbatim(one: _Said, other: _Said) -> float:
    """Share of the shorter text's runs of words that the other has too."""
    # A question put before each text does not make them editions of one.
    n_same = 0
    for a, b in zip(one.first, other.first, strict=False):
        if a != b:
            break
        n_same += 1
    asked = max(0, n_same - _RUN + 1)
    shorter = min(len(one.runs), len(other.runs)) - asked
    return max(0, len(one.runs & other.runs) - asked) / max(1, shorter)


def _of_most(counts: Counter[str], n: int) -> set[str]:
    return {word for word, k in counts.items() if k >= 0.6 * n and k > 1}
