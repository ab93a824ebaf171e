"""From one sentence to questions that people might ask about it, by rules alone."""

from __future__ import annotations

import re
from typing import NamedTuple

from ragshield.text import STOP_WORDS, content_words

_AUXILIARIES = frozenset(
    "is was are were has had can could will would may might must should did does do".split()
)
_PREPOSITIONS = frozenset(
    "in on at by from to with of for near since until during under between after before".split()
)
_NO_SUBJECT = frozenset(
    """it he she they this that these those there here we i you who which what when where if
    as because while although though but and or so then however also not one some""".split()
)
_POSSESSIVES = frozenset(["its", "his", "her", "their", "our", "my", "your"])
_ASKING = frozenset(["who", "what", "when", "where", "many", "number"])
_DETERMINERS = frozenset(["the", "a", "an", "its", "his", "her", "their", "our", "all", "most"])
_TOKEN = re.compile(r"[^\s]+")
_YEAR = re.compile(r"^(1[0-9]{3}|20[0-9]{2})$")
_NUMBER = re.compile(r"^[0-9][0-9.,]*$")
_MONTHS = frozenset(
    """january february march april may june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday""".split()
)
_LONGEST_REST = 12
_LONGEST_PREDICATE = 7


class Asked(NamedTuple):
    """A question made of a sentence, and what in the sentence answers it.

    Attributes:
        text: the question.
        answer: words of the sentence; "" where the question asks for no single thing.
        kind: of the answer: time, number, name or phrase.
    """

    text: str
    answer: str
    kind: str


def questions_about(sentence: str) -> list[Asked]:
    """Questions that the sentence answers; none if it has no plain subject and verb.

    English word order is assumed; other languages give none.
    """
    words = [w for w in (t.strip("\"'()[]“”") for t in _TOKEN.findall(sentence)) if w]
    if not 5 <= len(words) <= 45:
        return []
    words[-1] = words[-1].rstrip(".!?;:")
    at = next((i for i, w in enumerate(words[:10]) if i and w in _AUXILIARIES), None)
    found = []
    if at is not None and _is_subject(words[:at]):
        subject, verb, rest = words[:at], words[at], _clause(words[at + 1 :])
        if rest:
            found = [
                *_about_complement(subject, verb, rest),
                *_about_subject(subject, [verb, *rest]),
            ]
    else:
        past = next((i for i, w in enumerate(words[:8]) if i and w.endswith("ed")), None)
        if past is not None and _is_subject(words[:past]):
            rest = _clause(words[past + 1 :])
            if rest:
                found = _about_subject(words[:past], [words[past], *rest])
    return [asked for asked in found if asked.answer.strip(".,;: ") and _says_enough(asked.text)]


def kind_of(answer: str) -> str:
    """What sort of thing an answer is: time, number, name or phrase."""
    words = answer.strip(".,;: ").split()
    if not words:
        return "phrase"
    if _YEAR.match(words[-1].strip(".,;")) or any(w.lower() in _MONTHS for w in words):
        return "time"
    if _NUMBER.match(words[0].strip(".,;")):
        return "number"
    if words[0][:1].isupper() and words[0].lower() not in STOP_WORDS:
        return "name"
    return "phrase"


def _about_complement(subject: list[str], verb: str, rest: list[str]) -> list[Asked]:
    """Questions whose answer is at the end: "When was X built?"."""
    start = _lowered(subject)
    at = next((i for i in range(len(rest) - 1, 0, -1) if rest[i] in _PREPOSITIONS), None)
    if at is None or len(rest) - at > 7 or at + 1 >= len(rest):
        if len(rest) > 8 or verb not in {"is", "was", "are", "were"}:
            return []
        answer = " ".join(rest)
        who = "Who" if kind_of(" ".join(subject)) == "name" and rest[0] in {"a", "an"} else "What"
        return [Asked(f"{who} {verb} {start}?", answer, kind_of(answer))]
    middle, preposition = " ".join(rest[:at]), rest[at]
    answer = " ".join(rest[at + 1 :])
    kind = kind_of(answer)
    asks, keeps = "What", True
    if kind == "time" and preposition in {"in", "on", "since", "until", "during", "after"}:
        asks, keeps = ("When", False) if preposition in {"in", "on", "during"} else ("When", True)
        asks = f"{preposition.capitalize()} when" if keeps else asks
        keeps = False
    elif kind == "name" and preposition in {"in", "at", "near"}:
        asks, keeps = "Where", False
    elif kind == "name" and preposition in {"by", "with", "for"}:
        asks = "Who"
    elif kind == "number":
        asks = "How many" if preposition != "at" else "What number"
    text = f"{asks} {verb} {start} {middle}"
    return [Asked(f"{text} {preposition}?" if keeps else f"{text}?", answer, kind)]


def _about_subject(subject: list[str], predicate: list[str]) -> list[Asked]:
    """Questions whose answer is the subject: "Who founded Y?"."""
    answer = " ".join(subject)
    kind = kind_of(answer)
    # The shorter, the less it quotes: nobody asks in the words of a passage unread.
    predicate = _open_ended(predicate[:_LONGEST_PREDICATE])
    if len(predicate) < 3 or predicate[1] == "of":
        return []
    asks = "Who or what" if kind == "name" else "What"
    return [Asked(f"{asks} {' '.join(predicate)}?", answer, kind)]


def _says_enough(question: str) -> bool:
    """Whether somebody who has not read the passage could ask it: two words of content."""
    return len({w for w in content_words(question) if w not in _ASKING}) >= 2


def _is_subject(words: list[str]) -> bool:
    spoken = [w.lower() for w in words]
    if len(words) > 6 or spoken[0] in _PREPOSITIONS or spoken[0] in _POSSESSIVES:
        return False
    inside = any(w.endswith((",", ";", ":")) for w in words)
    return not inside and not _NO_SUBJECT.intersection(spoken)


def _clause(words: list[str]) -> list[str]:
    """Up to the first comma or joining word, at most a dozen words."""
    kept: list[str] = []
    for word in words[:_LONGEST_REST]:
        if kept and word in {"and", "but", "which", "who", "because", "while", "although"}:
            break
        kept.append(word.rstrip(",;:"))
        if word.endswith((",", ";", ":")):
            break
    return _open_ended(kept)


def _open_ended(words: list[str]) -> list[str]:
    """Without prepositions and articles at the end."""
    n = len(words)
    while n and (words[n - 1] in _PREPOSITIONS or words[n - 1] in _DETERMINERS):
        n -= 1
    return words[:n]


def _lowered(subject: list[str]) -> str:
    first = subject[0].lower()
    head = first if first in _DETERMINERS or first in STOP_WORDS else subject[0]
    return " ".join([head, *subject[1:]])
