"""Which hits contradict a hit, and which agree with it: the evidence beside a finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Retrieval
from ragshield.text import sentences, words
from ragshield.wording.profiles import HEAD_CHARS, profile, question_stems, stem, stop_stems

AGREES = 0.6
"""Likeness beyond the question from which two hits say nearly the same."""
MOST = 5
_NEGATIONS = frozenset(map(stem, ("not", "no", "never", "neither", "nor", "without", "cannot")))


@dataclass(frozen=True, slots=True)
class Claim:
    """What the sentence of a hit that holds most of the question says.

    Attributes:
        frame: stems of the question in it.
        numbers: numbers in it that the question does not have.
        names: stems of names in it that the question does not have.
        negated: whether it negates.
    """

    frame: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]
    negated: bool


def beside(
    retrieval: Retrieval, pairs: NDArray[np.float64], rows: Sequence[int]
) -> dict[int, dict[str, list[str]]]:
    """For some hits the ids they conflict and agree with, the strongest first, at most five.

    Two hits conflict where their sentences on the question share most of what the one with
    less has of the question's words, and one gives a number or a name that the other
    replaces by another, or one negates. It is evidence for a reader, not a proof.

    Args:
        retrieval: k hits.
        pairs: likeness beyond the question, (k, k), diagonal -1; rows as in `retrieval`.
        rows: the hits asked about.
    """
    claims = [claim(retrieval.question, hit.passage.text) for hit in retrieval.hits]
    out: dict[int, dict[str, list[str]]] = {}
    for i in rows:
        odds = [(0.0 if i == j else at_odds(claims[i], other)) for j, other in enumerate(claims)]
        agrees = [j for j in range(len(claims)) if pairs[i, j] >= AGREES and not odds[j]]
        conflicts = [j for j, odd in enumerate(odds) if odd > 0]
        conflicts.sort(key=lambda j: (-odds[j], -pairs[i, j], retrieval.hits[j].id))
        agrees.sort(key=lambda j: (-pairs[i, j], retrieval.hits[j].id))
        out[i] = {
            name: [retrieval.hits[j].id for j in found[:MOST]]
            for name, found in (("conflicts_with", conflicts), ("agrees_with", agrees))
            if found
        }
    return out


def at_odds(one: Claim, other: Claim) -> float:
    """How much two claims contradict each other, [0, 1]; 0 where they are about other things."""
    less = min(len(one.frame), len(other.frame))
    shared = len(one.frame & other.frame)
    if less < 2 or shared < 2 or shared < 0.6 * max(len(one.frame), len(other.frame)):
        return 0.0
    differing = sum(
        bool(a) and bool(b) and a.isdisjoint(b)
        for a, b in ((one.numbers, other.numbers), (one.names, other.names))
    )
    differing += one.negated != other.negated
    frame = shared / len(one.frame | other.frame)
    return frame * min(differing, 2) / 2.0


@lru_cache(maxsize=4096)
def claim(question: str, text: str) -> Claim:
    """The claim of a text about a question; empty where no sentence has its words."""
    asked = frozenset(question_stems(question)) - stop_stems()
    best, frame = "", frozenset[str]()
    for sentence in sentences(text[: 2 * HEAD_CHARS]):
        # A question claims nothing, and published poison puts it before its first sentence.
        sentence = sentence.rpartition("?")[2]
        held = asked.intersection(map(stem, words(sentence)))
        if len(held) > len(frame):
            best, frame = sentence, held
    read = profile(best)
    novel = frozenset(read.marks) - asked
    return Claim(
        frame=frame,
        numbers=frozenset(m for m in novel if m[0].isdigit()),
        names=frozenset(m for m in novel if not m[0].isdigit()),
        negated=not _NEGATIONS.isdisjoint(read.stems) or "n't" in best,
    )
