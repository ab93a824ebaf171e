"""A reader that needs no model: it quotes the best-supported sentence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ragshield.readers.expected import expected_kind, of_kind
from ragshield.readers.segments import Segment, segments, stems
from ragshield.records import Passage

UNKNOWN = "I don't know"
"""What every reader says when the passages give no answer."""

_NEIGHBOUR = 0.6  # a question word next door counts less than one in the sentence itself
_ELSEWHERE = 0.3  # and less again anywhere else in the passage
_KIND = 0.35  # a sentence without the kind of answer asked for keeps this share


@dataclass(frozen=True, slots=True)
class _Rated:
    rating: float
    relevance: float
    text: str


class ExtractiveReader:
    """Quote the sentence that the given passages support best; needs no model.

    A sentence is rated by relevance times support. Relevance: the share of the question's
    content words it covers, weighted by how rare they are among the given passages; a
    word found only in the sentence before or after, or elsewhere in the same passage,
    counts less (a pronoun stands for a neighbour's name). Support: how many passages
    use the sentence's own new words, the words it adds to the question. A question, and a
    sentence that adds nothing to the question, is never an answer.

    The answer does not depend on the order of the passages, except that the earlier
    passage, then the earlier sentence, wins a tie. Works on words, so on any script that
    separates them; the kind of answer expected ("who": a name) is known for English.

    Args:
        min_relevance: [0, 1]; below this share of the question's words the reader says
            "I don't know".

    Raises:
        ValueError: min_relevance outside [0, 1].
    """

    name: ClassVar[str] = "extractive"

    def __init__(self, *, min_relevance: float = 0.25) -> None:
        if not 0 <= min_relevance <= 1:
            raise ValueError(f"min_relevance is {min_relevance}; it must be within [0, 1]")
        self._min_relevance = min_relevance

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        """The best-supported sentence, or "I don't know" when none is relevant."""
        asked = stems(question)
        if not asked:
            return UNKNOWN
        split = [segments(passage.text, question, asked) for passage in passages]
        spread = [frozenset().union(*(s.stems for s in parts)) for parts in split]
        n_using = Counter(stem for found in spread for stem in found)
        weights = {stem: _rarity(n_using[stem], len(split)) for stem in asked}
        kind = expected_kind(question)
        best: _Rated | None = None
        for parts, everywhere in zip(split, spread, strict=True):
            for i, part in enumerate(parts):
                if not part.answers:
                    continue
                near = parts[max(0, i - 1) : i + 2]
                relevance = _relevance(part, near, everywhere, weights)
                if relevance < self._min_relevance:
                    continue
                support = _support(part, asked, n_using, len(split))
                fit = 1.0 if of_kind(kind, part, asked) else _KIND
                rating = round(relevance * support * fit, 12)
                if best is None or rating > best.rating:
                    best = _Rated(rating, relevance, part.text)
        return UNKNOWN if best is None else best.text


def _rarity(n_using: int, n_passages: int) -> float:
    return math.log(1 + (n_passages + 1) / (n_using + 0.5))


def _relevance(
    part: Segment,
    near: Sequence[Segment],
    everywhere: frozenset[str],
    weights: Mapping[str, float],
) -> float:
    around = frozenset().union(*(s.stems for s in near))
    covered = []
    for stem, weight in weights.items():
        if stem in part.stems:
            covered.append(weight)
        elif stem in around:
            covered.append(weight * _NEIGHBOUR)
        elif stem in everywhere:
            covered.append(weight * _ELSEWHERE)
    return math.fsum(covered) / math.fsum(weights.values())


def _support(
    part: Segment, asked: frozenset[str], n_using: Mapping[str, int], n_passages: int
) -> float:
    new = sorted((n_using[stem] for stem in part.stems - asked), reverse=True)
    if not new:
        return 0.0
    top = new[:3]
    return math.sqrt(sum(top) / len(top) / n_passages)
