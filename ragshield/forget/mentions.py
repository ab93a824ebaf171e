"""Whether a passage mentions a name, and how certain that is."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from ragshield.errors import UsageError
from ragshield.text import STOP_WORDS

CERTAIN = 0.9
"""Confidence from which a mention is selected without review."""

_TOKEN = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Mention:
    """How a passage mentions a name: confidence in (0, 1] and words that say why."""

    confidence: float
    how: str


@dataclass(frozen=True, slots=True)
class _Tokens:
    folded: tuple[str, ...]
    capital: tuple[bool, ...]


class Mentions:
    """Recognises one subject under its names.

    Certain: the whole name or an alias, as whole words, without regard to case, accents,
    invisible characters or a possessive; or the name reversed ("Lindqvist, Ada").
    Uncertain: with a middle name, with an initial, or the last name alone where no other
    first name stands before it.

    Args:
        subject: the name.
        aliases: other names, each as certain as the first.

    Raises:
        UsageError: a name without a letter or digit.
    """

    def __init__(self, subject: str, aliases: Sequence[str] = ()) -> None:
        self.names: list[tuple[str, tuple[str, ...]]] = []
        for name in (subject, *aliases):
            folded = _tokens(name).folded
            if not folded:
                raise UsageError(f"the name '{name}' holds no letter or digit; give a name")
            self.names.append((name.strip(), folded))

    def find(self, text: str) -> Mention | None:
        """The most certain mention in a text, if any."""
        tokens = _tokens(text)
        found = [mention for name in self.names if (mention := _find(tokens, *name)) is not None]
        return max(found, key=lambda mention: mention.confidence, default=None)


def _find(tokens: _Tokens, name: str, parts: tuple[str, ...]) -> Mention | None:
    words = tokens.folded
    at = _positions(words, parts)
    if len(parts) == 1:
        # "May" the person is not "may": a single word must be written as a name.
        shouting = not any(tokens.capital)
        named = [i for i in at if tokens.capital[i] or shouting or not parts[0].isalpha()]
        if named:
            return Mention(1.0, f"mentions '{name}'{_times(len(named))}")
        return Mention(0.3, f"has the word '{name}', not written as a name") if at else None
    if at:
        return Mention(1.0, f"mentions '{name}'{_times(len(at))}")
    first, last = parts[0], parts[-1]
    if len(parts) == 2 and _positions(words, (last, first)):
        return Mention(0.95, f"mentions '{name}', last name first")
    best: Mention | None = None
    for i in _positions(words, (last,)):
        before = words[max(0, i - 3) : i]
        if first in before:
            return Mention(0.8, f"mentions '{name}' with another name between")
        if before and before[-1] == first[0]:
            best = Mention(0.7, f"mentions '{first[0].upper()}. {last.title()}'")
        elif best is None and tokens.capital[i] and last not in STOP_WORDS and len(last) > 2:
            another = i > 0 and tokens.capital[i - 1] and before[-1] not in STOP_WORDS
            if not another:
                best = Mention(0.5, f"mentions '{last.title()}' alone")
    return best


def _tokens(text: str) -> _Tokens:
    plain = unicodedata.normalize("NFKC", text)
    # Zero-width and other invisible characters may stand inside a word.
    plain = "".join(c for c in plain if unicodedata.category(c) != "Cf")
    found = _TOKEN.findall(plain)
    return _Tokens(tuple(_fold(word) for word in found), tuple(word[0].isupper() for word in found))


def _fold(word: str) -> str:
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _positions(words: Sequence[str], parts: Sequence[str]) -> list[int]:
    n = len(parts)
    wanted = tuple(parts)
    return [
        i for i in range(len(words) - n + 1) if words[i] == wanted[0] and words[i : i + n] == wanted
    ]


def _times(n: int) -> str:
    return f" {n} times" if n > 1 else ""
