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
_TITLES = frozenset("dr prof professor mr mrs ms miss sir dame lady lord herr frau".split())


@dataclass(frozen=True, slots=True)
class Mention:
    """How a passage mentions a name: confidence in (0, 1] and words that say why."""

    confidence: float
    how: str


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Words: folded, with a capital or not, with only a blank before them or not."""

    folded: tuple[str, ...]
    capital: tuple[bool, ...]
    follows: tuple[bool, ...]


class Mentions:
    """Recognises one subject under its names.

    Certain: the whole name or an alias, as whole words, without regard to case, accents,
    invisible characters or a possessive; or the name reversed ("Lindqvist, Ada").
    Uncertain: with a middle name, with an initial, or the last name alone (or behind a
    title) where no other first name stands before it, here or earlier in the text, and it
    does not begin another name ("Lindqvist Ropes").

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
    others = False
    for i in _positions(words, (last,)):
        before = words[max(0, i - 3) : i]
        if first in before:
            return Mention(0.8, f"mentions '{name}' with another name between")
        if before and before[-1] == first[0]:
            best = Mention(0.7, f"mentions '{first[0].upper()}. {last.title()}'")
        elif best is None and tokens.capital[i] and last not in STOP_WORDS and len(last) > 2:
            others = others or _has_another_first_name(tokens, i)
            begins = i + 1 < len(words) and tokens.follows[i + 1] and tokens.capital[i + 1]
            if not others and not (begins and words[i + 1] not in STOP_WORDS):
                best = Mention(0.5, f"mentions '{last.title()}' alone")
    return best


def _has_another_first_name(tokens: _Tokens, i: int) -> bool:
    """Whether a name stands before the last name at i; after one, the last name is theirs."""
    if i == 0 or not tokens.capital[i - 1]:
        return False
    return tokens.folded[i - 1] not in STOP_WORDS | _TITLES


def _tokens(text: str) -> _Tokens:
    plain = unicodedata.normalize("NFKC", text)
    # Zero-width and other invisible characters may stand inside a word.
    plain = "".join(c for c in plain if unicodedata.category(c) != "Cf")
    found = list(_TOKEN.finditer(plain))
    ends = [0, *(match.end() for match in found)]
    return _Tokens(
        tuple(_fold(match.group()) for match in found),
        tuple(match.group()[0].isupper() for match in found),
        tuple(
            not plain[end : match.start()].strip() for end, match in zip(ends, found, strict=False)
        ),
    )


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
