"""One refusal for all that is not told: not allowed, and never known, look the same."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

REFUSAL = "I don't know."
"""What is answered where nothing is told. An application's own "I don't know" is given in
the same words, so that the wording does not say which of the two it was."""

_MOST_WORDS = 60
_LONG = 26
_TURNS = frozenset({"but", "while", "although", "though", "however", "yet"})


def is_refusal(text: str) -> bool:
    """Whether a text says nothing but that it does not know, or will not say.

    A text that denies one thing and goes on to tell another is none: what is left when the
    sentences that refuse are taken away must be empty or a courtesy.
    """
    plain = " ".join(text.replace("\u2019", "'").split()).strip(" *_\"'")
    if not plain:
        return True
    if len(plain.split()) > _MOST_WORDS:
        return False
    refuses, courtesy = _patterns()
    parts = [part for part in re.split(r"(?<=[.!?;])\s+", plain) if part]
    refusing = [bool(refuses.search(part)) and not _tells(part) for part in parts]
    return any(refusing) and all(
        found or courtesy.search(part) for part, found in zip(parts, refusing, strict=True)
    )


def uniform(text: str, refusal: str = REFUSAL) -> str:
    """A text as it is, or the one refusal where it is any refusal."""
    return refusal if is_refusal(text) else text


def _tells(part: str) -> bool:
    """Whether a sentence that denies something goes on to tell another thing."""
    words = part.split()
    turn = next((i for i, w in enumerate(words) if w.lower() in _TURNS), len(words))
    return len(words) > _LONG or (turn == 0 and len(words) > 12) or len(words) - turn > 9


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    source = files("ragshield.unlearning").joinpath("refusing.toml").read_text("utf-8")
    record = tomllib.loads(source)
    return (
        re.compile("|".join(f"(?:{p})" for p in record["refusal"]), re.IGNORECASE),
        re.compile("|".join(f"(?:{p})" for p in record["courtesy"]), re.IGNORECASE),
    )
