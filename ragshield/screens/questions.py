"""Questions in a text, and how far the words beside each restate it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ragshield.text import STOP_WORDS, words

READ_CHARS = 4000
"""Of longer texts this much is read."""

_WINDOW_WORDS = 60
_MAX_QUESTION_WORDS = 40
# A sentence end, also the glued one of `question + "." + text`, but not that of "U.S." or "3.5".
_END = re.compile(r"[?!]+[.\"')\]]*\s*|(?<=\w\w)\.(?=[A-Z\"'(])|(?<=\w)[.:][\"')\]]*\s+|\s*\n+\s*")
FAQ = re.compile(r"(?:^|\n)\W*(?:q|question|faqs?)\s*\d*\s*[:.)-]", re.IGNORECASE)
_ASKING = frozenset(
    """who whom whose what which when where why how is are was were am do does did can could will
    would shall should may might has have had who's what's where's""".split()
)
_WH = frozenset("who whom whose what which when where why how who's what's where's".split())
# "Can be simple", "did not", "is also": the rest of a sentence, not a question.
_GOES_ON = frozenset("be been not also only to then therefore usually often never".split())
_PREPOSITIONS = frozenset("in on at for of to from by during with under about into".split())


@dataclass(frozen=True, slots=True)
class Echo:
    """One question found in a passage.

    Attributes:
        question: its words as they stand.
        marked: whether it ends in a question mark.
        leading: whether the passage begins with it.
        restated: share of its content words that come back beside it, [0, 1].
        n_questions: questions with a mark in the passage.
    """

    question: str
    marked: bool
    leading: bool
    restated: float
    n_questions: int

    @property
    def specific(self) -> float:
        """Less than 1 for "Where was she born?", which asks about nobody, and "RAID or LVM?"."""
        tokens = words(self.question)
        asks = (bool(tokens) and tokens[0] in _ASKING) or not _WH.isdisjoint(tokens)
        return 1.0 if asks and len(keys(tokens)) > 1 else 0.5


def echoes(text: str) -> list[Echo]:
    """The questions in the first 4,000 characters of a text."""
    parts = _parts(text[:READ_CHARS])
    asked = [
        (i, part, "?" in end)
        for i, (part, end) in enumerate(parts)
        if ("?" in end or (i == 0 and _asks(part))) and len(words(part)) >= 3
    ]
    found = []
    for i, part, marked in asked:
        if len(words(part)) > _MAX_QUESTION_WORDS:
            continue
        before = " ".join(p for p, _ in parts[:i])
        after = " ".join(p for p, _ in parts[i + 1 :])
        near = (words(after)[:_WINDOW_WORDS], words(before)[-_WINDOW_WORDS:])
        share = max(restated(part, window) for window in near)
        n_questions = sum(1 for _, _, is_marked in asked if is_marked)
        found.append(Echo(part, marked, i == 0, share, n_questions))
    return found


def _parts(text: str) -> list[tuple[str, str]]:
    """Sentences with the punctuation that ended each."""
    parts, start = [], 0
    for end in _END.finditer(text):
        if text[start : end.start()].strip():
            parts.append((text[start : end.start()].strip(), end.group()))
        start = end.end()
    if text[start:].strip():
        parts.append((text[start:].strip(), ""))
    return parts


def _asks(part: str) -> bool:
    """Whether it begins as a question does: "who ...", "in which ..."."""
    first = words(part[:200])[:2]
    if not first:
        return False
    if first[0] in _PREPOSITIONS:
        return len(first) > 1 and first[1] in {"what", "which", "whose", "whom"}
    return first[0] in _ASKING and first[-1] not in _GOES_ON


def restated(question: str, window: Sequence[str]) -> float:
    """Share of the question's content words that occur in the window."""
    asked = keys(words(question))
    if not asked:
        return 0.0
    return len(asked & keys(window)) / len(asked)


def keys(tokens: Sequence[str]) -> set[str]:
    """Content words cut to six letters."""
    # Six letters stand for a stem: founded, founder, founding.
    return {token[:6] for token in tokens if token not in STOP_WORDS}


def after(text: str, n_words: int) -> list[str]:
    """The words that follow a text's first `n_words` words, as many as are read beside one."""
    return words(text[:READ_CHARS])[n_words : n_words + _WINDOW_WORDS]
