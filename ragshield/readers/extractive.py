"""A reader that needs no model: it quotes the best-supported sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ragshield.readers.evidence import (
    About,
    Candidate,
    candidates,
    is_relation_stem,
    split_passages,
)
from ragshield.readers.expected import expected_kind, words_of_kind
from ragshield.readers.segments import stem
from ragshield.records import Passage
from ragshield.text import words

UNKNOWN = "I don't know"
"""What a reader says when the passages give no answer."""

_OTHER_KIND = 0.2  # worth of a sentence without the kind of answer asked for
_OTHER_RELATION = 0.5  # worth of one that states another relation than the one asked for
_AGREEMENT = 0.75  # exponent: twice as many agreeing passages count 1.7 times


class ExtractiveReader:
    """Quote the sentence that the given passages support best; needs no model.

    A sentence is rated by relevance times support.

    Relevance is the share of the question's content words that it covers, rare ones
    among the given passages weighing more. A word in the sentence before or after counts
    half, a name almost fully (a pronoun stands for it). A passage that has no more than half
    of any name in the question is about somebody else and is not read, unless it shares a
    name with one that has a whole one, as a second hop does; where no passage has a whole
    one, the answer is not known. A sentence without the kind of answer asked for ("who": a
    name, "when": a date), or that states another relation, counts less.

    Support is how many passages use the words that the sentence adds to the question:
    those of the kind asked for where the question tells, else all. A passage's vote is
    the relevance of its best sentence with the word. Votes are by passage, so five that
    say the same outvote one that does not: the weakness that poisoning uses, and why this
    reader shows it.

    A question is no answer, and neither is a sentence that adds nothing to the question.
    The order of the passages does not matter, except that a tie goes to the earlier
    passage and then to the earlier sentence. Relation words, stems and kinds of answer are
    English; names need capitals; other scripts are read by plain word overlap.

    Args:
        min_relevance: [0, 1]; where no sentence reaches it, the answer is "I don't know".

    Raises:
        ValueError: min_relevance outside [0, 1].
    """

    name: ClassVar[str] = "extractive"

    def __init__(self, *, min_relevance: float = 0.03) -> None:
        if not 0 <= min_relevance <= 1:
            raise ValueError(f"min_relevance is {min_relevance}; it must be within [0, 1]")
        self._min_relevance = min_relevance

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        """The best-supported sentence, or "I don't know" when none is relevant."""
        if not words(question):
            return UNKNOWN
        split = split_passages(passages, question)
        about = About.of(question, split)
        kind = expected_kind(question)
        found = [c for c in candidates(split, about) if c.relevance >= self._min_relevance]
        votes = _votes(found)
        best, best_rating = UNKNOWN, 0.0
        for candidate in found:
            fitting = words_of_kind(kind, candidate.part, about.names) - about.words
            new = {stem(word, about.names) for word in fitting} or candidate.stems - about.asked
            fit = 1.0 if fitting or kind == "any" else _OTHER_KIND
            if _states_another(candidate, about):
                fit *= _OTHER_RELATION
            support = _support([votes.get(word, 0.0) for word in new], len(split))
            # Rounded, so that sums of the same numbers in another order are a tie.
            rating = round(candidate.relevance * fit * support, 9)
            if rating > best_rating:
                best, best_rating = candidate.part.text, rating
        return best


def _states_another(candidate: Candidate, about: About) -> bool:
    if not about.relations or candidate.stems & about.relations:
        return False
    return any(is_relation_stem(found) for found in candidate.stems)


def _votes(found: Sequence[Candidate]) -> Mapping[str, float]:
    """For each word the sum over passages of the best relevance, 1 = the best there is."""
    best: dict[tuple[str, int], float] = {}
    for candidate in found:
        for word in candidate.stems:
            key = (word, candidate.n)
            best[key] = max(best.get(key, 0.0), candidate.relevance)
    most = max(best.values(), default=1.0) or 1.0
    by_word: dict[str, list[float]] = {}
    for (word, _), relevance in best.items():
        by_word.setdefault(word, []).append(relevance / most)
    return {word: math.fsum(relevances) for word, relevances in by_word.items()}


def _support(votes: Sequence[float], n_passages: int) -> float:
    """How far the passages agree on a sentence's new words, by the two most voted for: [0, 1]."""
    top = sorted(votes, reverse=True)[:2]
    return float((math.fsum(top) / len(top) / n_passages) ** _AGREEMENT)
