"""What kind of answer a question asks for, as far as its first words tell."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from ragshield.readers.segments import Segment, stem
from ragshield.text import words

Kind: TypeAlias = Literal["number", "name", "any"]

_NUMBER = re.compile(
    r"\b(how (many|much|old|long|far|tall|big|high|large|deep|fast|often|heavy)|when|(what|which) "
    r"(year|date|day|month|percent\w*|number|age|century|decade|time)|age of|number of|year|zip code|population|cost)\b"
)
_NAME = re.compile(r"\b(who|whom|whose|where|(what|which) (city|county|country|state|town|actor|actress|author|person|company|band|river))\b")
_DIGITS = re.compile(r"\d")
_NUMBER_WORDS = frozenset(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion first second third once twice".split()
)
_CAPITAL = re.compile(r"(?<!\w)[^\W\d_a-zß-ÿ][\w'’.-]*")


def expected_kind(question: str) -> Kind:
    lowered = question.lower()
    if _NUMBER.search(lowered):
        return "number"
    if _NAME.search(lowered):
        return "name"
    return "any"


def of_kind(kind: Kind, part: Segment, asked: frozenset[str]) -> bool:
    if kind == "any":
        return True
    if kind == "number":
        return any(
            w not in asked and (_DIGITS.search(w) or w in _NUMBER_WORDS) for w in words(part.text)
        )
    return any(
        stem(w) not in asked and stem(w) in part.stems
        for name in _CAPITAL.findall(part.text)
        for w in words(name)
    )
