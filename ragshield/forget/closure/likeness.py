"""How alike two texts are in their words: nearly copies, or the same in other words."""

from __future__ import annotations

from difflib import SequenceMatcher

import numpy as np

from ragshield.forget.closure.chosen import Why
from ragshield.forget.closure.seeds import NEAR, Seeds
from ragshield.forget.matching.documents import keys_of
from ragshield.forget.matching.features import Features
from ragshield.minhash import jaccard
from ragshield.text import STOP_WORDS

SAME = 0.8
"""Share of shingles in common from which two texts are nearly the same."""

_SIMILAR_WORDS = 0.75


def alike(text: Features, other: Features) -> Why | None:
    """Whether a text is nearly another one, by MinHash and by names and numbers.

    A text that differs from the other in a name or number, in both directions, says
    something else in the same words (a form filled in for somebody else), unless the two
    are spellings of one.
    """
    same = float(jaccard(text.signature, other.signature))
    if same < NEAR:
        return None
    if differs(text, other):
        # The same form about another name or number: nothing, or an altered copy.
        if same < 0.9:
            return None
        how = f"nearly a selected text ({same:.0%} alike), but with another name or number"
        return Why(False, round(0.5 * same, 2), how)
    confidence = round(min(0.97, 0.5 + 0.5 * same), 2)
    sure = same >= SAME
    return Why(
        sure,
        max(confidence, 0.9) if sure else confidence,
        f"nearly a selected text: {same:.0%} alike",
    )


def differs(text: Features, other: Features) -> bool:
    """Whether each of two texts has a name or number that the other lacks."""
    return adds(text, other) and adds(other, text)


def adds(text: Features, *others: Features) -> bool:
    """Whether a text has a name or number that none of the others has, misspelt or not."""
    known: frozenset[str] = frozenset().union(*(other.vocabulary for other in others))
    return any(not any(_misspelt(mark, other) for other in others) for mark in text.marks - known)


def carried_over(text: Features, seeds: Seeds, seed: int, similarity: float) -> float | None:
    """Confidence that a text says the same as a seed, given how near their vectors are.

    Of the seed's names and numbers at least half have to be there, or of the text's own
    three quarters in the seed's document; where the seed has hardly any, common words
    decide.
    """
    other = seeds.seeds[seed]
    marks = seeds.marks[seed]
    if len(marks) >= 2:
        carried = len(marks & text.vocabulary) / len(marks)
    else:
        here = set(text.words) - STOP_WORDS
        there = set(other.features.words) - STOP_WORDS
        carried = min(1.0, 1.5 * len(here & there) / max(1, len(here | there)))
    if carried < 0.5 and len(text.marks) >= 3:
        hay = other.features.vocabulary
        for key in keys_of(other.passage):
            hay |= seeds.words_of.get(key, frozenset())
        own = len(text.marks & hay) / len(text.marks)
        carried = own if own >= 0.75 else carried
    if carried < 0.5:
        return None
    return round(float(np.clip(0.5 * similarity + 0.4 * carried, 0.05, 0.85)), 2)


def _misspelt(mark: str, other: Features) -> bool:
    """Whether the other text has nearly this word; numbers have to be the same."""
    if any(c.isdigit() for c in mark) or len(mark) < 4:
        return False
    return any(
        abs(len(word) - len(mark)) <= 2
        and word[0] == mark[0]
        and SequenceMatcher(None, mark, word).ratio() >= _SIMILAR_WORDS
        for word in other.marks
    )
