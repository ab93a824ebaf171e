"""What kind of answer a question asks for, and which words of a sentence are of that kind."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Literal, TypeAlias

from ragshield.readers.segments import Segment

Kind: TypeAlias = Literal["date", "number", "name", "any"]
"""`any`: the question does not tell, or is not in English."""

_DATE = re.compile(r"\b(when|(?:what|which|whose) (?:year|date|day|month|decade|century)|year)\b")
_NUMBER = re.compile(
    r"\b(how (?:many|much|old|long|far|tall|big|high|large|deep|fast|often|heavy|wide)"
    r"|(?:what|which) (?:percent\w*|number|age|time|size|length|height|population)|number of"
    r"|average|cost|population|zip code|phone number|temperature)\b"
)
_NAME = re.compile(
    r"\b(who|whom|whose|where|(?:what|which) (?:city|county|country|state|town|village|actor"
    r"|actress|author|person|company|firm|band|river|island|school|university|team|club))\b"
)
_CLASS = re.compile(r"\b(?:what|which)\s+(\w+)")
_MONTHS = frozenset(
    "january february march april may june july august september october november december".split()
)
_YEAR = re.compile(r"(?:1\d{3}|20\d{2})s?")
_NUMBER_WORDS = frozenset(
    """two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
    hundred thousand million billion dozen half once twice""".split()
)


def expected_kind(question: str) -> Kind:
    """The kind of answer that an English question asks for."""
    lowered = question.lower()
    if _DATE.search(lowered):
        return "date"
    if _NUMBER.search(lowered):
        return "number"
    return "name" if _NAME.search(lowered) else "any"


def asked_class(question: str) -> frozenset[str]:
    """The noun after "which" or "what", which says what the answer is, not whom it is about."""
    return frozenset(_CLASS.findall(question.lower()))


def words_of_kind(kind: Kind, part: Segment, names: Set[str]) -> set[str]:
    """Words of a sentence that are of the kind asked for; none for `any`.

    Args:
        kind: what is asked for.
        part: the sentence.
        names: words that are names in the passages at hand.
    """
    if kind == "any":
        return set()
    if kind == "name":
        return {word for word in part.words if word in names}
    if kind == "date":
        months = _MONTHS & part.names | _MONTHS & part.first
        return {word for word in part.words if _YEAR.fullmatch(word) or word in months}
    return {
        word
        for word in part.words
        if word in _NUMBER_WORDS or (word[0].isdigit() and not _YEAR.fullmatch(word))
    }
