"""Reading text: normal form, sentences, content words, and whether an answer is stated."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_WORD = re.compile(r"\w+(?:['\u2019]\w+)?")
_SENTENCE_END = re.compile(r"[.!?\u2026][\"'\u2019\u201d)\]]*\s+|\n+")
_INITIAL = re.compile(r"\b[^\W\d_]\.$")
_OPENERS = "\"'\u2018\u201c(["
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
    """Sentences in order, stripped, none empty; closing quotes stay with their sentence.

    A sentence ends at a line end, and at `.`, `!`, `?` or an ellipsis before white space
    and something that can begin one: a letter that is not lower case, or a digit. A
    single letter with a dot (`J. Holm`, `b. 1953`) ends none.
    """
    found, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        rest = text[end.end() : end.end() + 4].lstrip(_OPENERS)
        begins = bool(rest) and (rest[0].isdigit() or (rest[0].isalpha() and not rest[0].islower()))
        initial = _INITIAL.search(text, max(start, end.start() - 3), end.start() + 1)
        if end.group()[0] == "\n" or (begins and not initial):
            found.append(text[start : end.end()].strip())
            start = end.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


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


def visible(text: str, most: int | None = None) -> str:
    """A text for one line of a screen: no control characters, no line ends.

    What is stored was written by somebody else and must not drive a terminal.

    Args:
        text: any text.
        most: longest result; what is cut off is shown by an ellipsis. None: no limit.
    """
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return cut(plain, most) if most is not None else plain


def cut(text: str, most: int) -> str:
    """At most `most` characters, the last one an ellipsis if something was cut off."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
