"""Questions in a text, and how far the words beside each restate it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ragshield.text import STOP_WORDS, words

READ_CHARS = 4000
"""Of longer texts this much is read."""

_WINDOW_WORDS = 60
_MAX_QUESTION_WORDS = 40
# A sentence end, also the glued one of `question + "." + text`, but not that of "U.S." or "3.5".
_END = re.compile(r"[?!]+[.\"')\]]*\s*|(?<=\w\w)\.(?=[A-Z\"'(])|(?<=\w)[.:][\"')\]]*\s+|\s*\n+\s*")
# The same where there are no lines; begins with a character, so that it is looked for quickly.
_END_OF_ONE_LINE = re.compile(
    r"[?!.:](?:(?<=[?!])[?!]*[.\"')\]]*\s*|(?<=\w\w\.)(?=[A-Z\"'(])|(?<=\w[.:])[\"')\]]*\s+)"
)
FAQ = re.compile(r"(?:^|\n)\W*(?:q|question|faqs?)\s*\d*\s*[:.)-]", re.IGNORECASE)
_ASKING = frozenset(
    """who whom whose what which when where why how is are was were am do does did can could will
    would shall should may might has have had who's what's where's""".split()
)
_WH = frozenset("who whom whose what which when where why how who's what's where's".split())
# "Can be simple", "did not", "is also": the rest of a sentence, not a question.
_GOES_ON = frozenset("be been not also only to then therefore usually often never so".split())
_MODAL = frozenset("can could will would shall should may might have has had".split())
_BEING = frozenset("is are was were am do does did".split())
_SUBJECTS = frozenset(
    """the a an this that these those you i we they he she it there my your his her its our their
    any some all most each every many much anyone someone people""".split()
)
_CAPITAL = re.compile(r"(?<=\s)[\"'(]?[^\W\d_a-zß-öø-ÿ]")
_MANY = re.compile(r"[^s]s$")
_MOSTLY = 0.5
_MAX_CUTS = 12
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
    text = text[:READ_CHARS]
    if "?" not in text:
        # Only how it begins can be a question then.
        begins = list(islice(_parts(text), 2))
        if not any(_asks(part) for part, _ in begins[_first(begins) :][:1]):
            return []
    parts = list(_parts(text))
    first = _first(parts)
    if first < len(parts) and "?" not in parts[first][1] and _asks(parts[first][0]):
        parts[first : first + 1] = _run_on(*parts[first])
    asked = [
        (i, part, "?" in end)
        for i, (part, end) in enumerate(parts)
        if ("?" in end or (i == first and _asks(part))) and len(words(part)) >= 3
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
        found.append(Echo(part, marked, i == first, share, n_questions))
    return found


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Sentences with the punctuation that ended each."""
    start = 0
    ends = _END if "\n" in text else _END_OF_ONE_LINE
    for end in ends.finditer(text):
        if part := text[start : end.start()].strip():
            yield part, end.group()
        start = end.end()
    if part := text[start:].strip():
        yield part, ""


def _first(parts: Sequence[tuple[str, str]]) -> int:
    """Where the text begins: behind a label such as "Query:"."""
    labelled = bool(parts) and parts[0][1].startswith(":") and len(parts[0][0].split()) < 3
    return 1 if labelled else 0


def _run_on(part: str, end: str) -> list[tuple[str, str]]:
    """A question with no mark cut from the answer that follows it without a stop.

    "who plays the king The king is played by ...": it ends before a capital from which on
    most of its content words come again.
    """
    best, cut = _MOSTLY, 0
    for match in islice(_CAPITAL.finditer(part), _MAX_CUTS):
        asked = words(part[: match.start()])
        if not 3 <= len(asked) <= _MAX_QUESTION_WORDS or len(keys(asked)) < 2:
            continue
        share = restated(" ".join(asked), words(part[match.start() :])[:_WINDOW_WORDS])
        if share > best:
            best, cut = share, match.start()
    return [(part[:cut].strip(), ""), (part[cut:], end)] if cut else [(part, end)]


def _asks(part: str) -> bool:
    """Whether it begins as a question does: "who ...", "in which ..."."""
    first = words(part[:200])[:2]
    if not first:
        return False
    if first[0] in _PREPOSITIONS:
        return len(first) > 1 and first[1] in {"what", "which", "whose", "whom"}
    if first[0] not in _ASKING or first[-1] in _GOES_ON:
        return False
    # "Will replace the file", "are generated from": the rest of a sentence, with no subject.
    named = part.split(None, 2)[1:2]
    if first[0] in _MODAL:
        named_or_many = any(not word[0].islower() or _MANY.search(word) for word in named)
        return first[-1] in _SUBJECTS or named_or_many
    return first[0] not in _BEING or not first[-1].endswith("ed")


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
