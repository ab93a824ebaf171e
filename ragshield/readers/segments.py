"""Passages cut into sentences, each with the stems of its content words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ragshield.text import STOP_WORDS, content_words, sentences, words

_MAX_WORDS = 80
_SUFFIXES = (
    *("ations", "ation", "ings", "ing", "edly", "ed", "ers", "er", "ies", "es", "s", "ly", "e"),
    "y",
)
_FOOTNOTE = re.compile(r"(?<=[.!?])((?:\[[^\[\]]{1,20}\])+)\s+")
# Ends that `sentences` does not see: full-width stops, and a stop before another script.
_END = re.compile(r"(?<=[\u3002\uff01\uff1f\u0964])|(?<=[.!?])\s+(?=[^\x00-\u024f])")
_INITIAL = re.compile(r"(?<!\w)(?:[^\W\d_]|Mrs?|Dr|St|Jr|[Nn]o|est|pop|ca|vol)\.$")
_CAPITALISED = re.compile(r"(?<!\w)[^\W\d_a-zß-öø-ÿ]\w*(?:['\u2019]\w+)?")


@dataclass(frozen=True, slots=True)
class Segment:
    """A sentence of a passage.

    Attributes:
        text: as written.
        words: its content words, lower-cased.
        names: words written with a capital inside the sentence.
        first: its first word if written with a capital, which may or may not be a name.
        plain: words written without a capital.
    """

    text: str
    words: frozenset[str]
    names: frozenset[str]
    first: frozenset[str]
    plain: frozenset[str]


@cache
def _relations() -> Mapping[str, str]:
    lines = files("ragshield.readers").joinpath("relations.txt").read_text("utf-8").splitlines()
    groups = [line.split() for line in lines if line and not line.startswith("#")]
    return {word: f"={group[0]}" for group in reversed(groups) for word in group}


def is_relation(word: str) -> bool:
    """Whether a word asks for or states one of the listed relations."""
    return word in _relations()


def stem(word: str, names: Set[str] = frozenset()) -> str:
    """One word for many: its group of relation words, or the word less a common ending.

    Args:
        word: lower-cased.
        names: words that are names here, which belong to no relation.
    """
    word = re.sub(r"['\u2019]s$", "", word)
    if word not in names and (group := _relations().get(word)):
        return group
    if not word.isalpha():
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word


def segments(text: str, question: str) -> list[Segment]:
    """The sentences of one passage, in order.

    A verbatim copy of the question is cut out as a segment of its own: it tells what the
    next sentence is about, as in a list of questions and answers, and is no answer.
    """
    found: list[Segment] = []
    for piece in _around_echo(text, question):
        for sentence in _whole(sentences(_END.sub("\n", _FOOTNOTE.sub(r"\1\n", piece)))):
            found.extend(as_segment(part) for part in _short(sentence))
    return found


def _whole(parts: Iterable[str]) -> Iterator[str]:
    """Sentences put together again that were cut after an initial ("John B." "Watson")."""
    held: list[str] = []
    for part in parts:
        held.append(part)
        if not _INITIAL.search(part):
            yield " ".join(held)
            held.clear()
    if held:
        yield " ".join(held)


def as_segment(text: str) -> Segment:
    """One sentence with its words sorted out."""
    capitals = [words(match) for match in _CAPITALISED.findall(text)]
    opening = words(text)[:1]
    starts = bool(capitals) and capitals[0][:1] == opening
    return Segment(
        text=text,
        words=frozenset(content_words(text)),
        names=frozenset(w for found in capitals[starts:] for w in found) - STOP_WORDS,
        first=frozenset(opening if starts else ()) - STOP_WORDS,
        plain=frozenset(words(_CAPITALISED.sub(" ", text))),
    )


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
