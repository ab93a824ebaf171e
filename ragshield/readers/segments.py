"""Passages cut into sentences, each with the stems of its content words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ragshield.text import content_words, sentences, words

_MAX_WORDS = 80
_SUFFIXES = ("ations", "ation", "ings", "ing", "edly", "ed", "ers", "er", "ies", "es", "s", "ly", "e", "y")


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence of a passage.

    Attributes:
        text: as written.
        stems: stems of its content words.
        answers: whether it may be given as an answer: it is not a question and says
            something that the question does not.
    """

    text: str
    stems: frozenset[str]
    answers: bool


def stem(word: str) -> str:
    """A crude English stem: one common ending removed where four letters remain."""
    word = re.sub(r"['’]s$", "", word)
    if not word.isalpha():
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word


def stems(text: str) -> frozenset[str]:
    """Stems of the content words; of all words where there are no others."""
    return frozenset(stem(w) for w in content_words(text) or words(text))


def segments(text: str, question: str, asked: frozenset[str]) -> list[Segment]:
    """The sentences of one passage, in order.

    A verbatim copy of the question is cut out as a segment of its own: it tells what the
    next sentence is about, as in a list of questions and answers, and is no answer.
    """
    return [
        Segment(part, found, not part.endswith("?") and bool(found - asked))
        for piece in _around_echo(text, question)
        for sentence in sentences(piece)
        for part in _short(sentence)
        if (found := frozenset(stem(w) for w in content_words(part))) or True
    ]


def _around_echo(text: str, question: str) -> Iterator[str]:
    asked = words(question)
    if len(asked) < 3:
        yield text
        return
    pattern = r"\W+".join(re.escape(word) for word in asked)
    start = 0
    for match in re.finditer(rf"(?<!\w){pattern}(?!\w)[.?!]*", text, re.IGNORECASE):
        yield text[start : match.start()]
        yield match.group()
        start = match.end()
    yield text[start:]


def _short(sentence: str) -> Iterator[str]:
    """Runs of at most 80 words, so that a passage without full stops is not one answer."""
    tokens = sentence.split()
    if len(tokens) <= _MAX_WORDS:
        yield sentence
        return
    for start in range(0, len(tokens), _MAX_WORDS):
        yield " ".join(tokens[start : start + _MAX_WORDS])
