"""Whether an answer refuses: says that it does not know, or will not say."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from ragshield.audit.templates import templates

_MOST_WORDS = 45
_MOST_LETTERS = 600


@lru_cache(maxsize=16_384)
def refuses(answer: str) -> bool:
    """Whether an answer says nothing but that it does not know or will not say.

    An empty answer refuses. A long one that goes on to tell something does not.
    """
    plain = " ".join(answer.replace("\u2019", "'").split())
    if not re.search(r"\w", plain):
        return True
    if len(plain) > _MOST_LETTERS or len(plain.split()) > _MOST_WORDS:
        return False
    parts = [p for p in re.split(r"(?<=[.!?;])\s+|\s+but\s+", plain) if re.search(r"\w", p)]
    refusing, courtesy = _patterns()
    found = [bool(refusing.search(part)) for part in parts]
    return any(found) and all(
        yes or courtesy.search(part) for yes, part in zip(found, parts, strict=True)
    )


def says(answer: str) -> str:
    """`yes`, `no`, or "" where an answer begins with neither or refuses."""
    found = re.match(r"[\W_]*(yes|yeah|correct|true|right|no|nope|false|not)\b", answer.lower())
    if not found or refuses(answer):
        return ""
    return "yes" if found[1] in ("yes", "yeah", "correct", "true", "right") else "no"


def choice(answer: str) -> str:
    """The letter that an answer chooses, A to D; "" for none or several."""
    plain = answer.strip()[:2000]
    alone = re.fullmatch(r"[\W_]*([A-Da-d])[\W_]*", plain)
    if alone:
        return alone[1].upper()
    named = set(re.findall(r"(?<!\w)([A-Da-d])[).:]", plain))
    named |= set(
        re.findall(r"(?i:\b(?:option|answer|is|choice|letter))[:\s*(\"']+([A-D])\b", plain)
    )
    # "A town in the north" begins with an article, not with a choice.
    named |= set(re.findall(r"^[\W_]*([B-D])\s", plain))
    found = {letter.upper() for letter in named}
    return found.pop() if len(found) == 1 else ""


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    table = templates("refusing")
    refusing, courtesy = (
        re.compile("|".join(f"(?:{p})" for p in table[key]), re.IGNORECASE)
        for key in ("refusing", "courtesy")
    )
    return refusing, courtesy
