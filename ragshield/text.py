"""Reading text: normal form, sentences, content words, and whether an answer is stated."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_WORD = re.compile(r"\w+(?:['\u2019]\w+)?")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[A-Z0-9À-Þ])|\n+")
_ARTICLES = frozenset({"a", "an", "the"})

STOP_WORDS = frozenset(
    """a about above after again all also am an and any are as at be because been before being
    below between both but by can could did do does doing down during each few for from further
    had has have having he her here hers him his how i if in into is it its itself just me more
    most my no nor not of off on once only or other our out over own same she should so some such
    than that the their them then there these they this those through to too under until up very
    was we were what when where which while who whom whose why will with would you your""".split()
)


def words(text: str) -> list[str]:
    """Lower-cased words in order, NFKC-normalised, without punctuation."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


def content_words(text: str) -> list[str]:
    """Words in order, without stop words."""
    return [word for word in words(text) if word not in STOP_WORDS]


def sentences(text: str) -> list[str]:
    """Sentences in order, stripped, none empty."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


@lru_cache(maxsize=4096)
def normal_form(text: str) -> str:
    """Words joined by single blanks, without articles; what answers are compared in."""
    return " ".join(word for word in words(text) if word not in _ARTICLES)


def states(text: str, answer: str) -> bool:
    """Whether `text` contains `answer` as whole words, after normalising both.

    One-directional: an empty text states nothing, and an empty answer is never stated.
    """
    wanted = normal_form(answer)
    return bool(wanted) and f" {wanted} " in f" {normal_form(text)} "
