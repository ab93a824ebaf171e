"""Typing errors as people make them, never inside what must stay readable."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ragshield.attacks.templates import table

WORD = re.compile(r"[^\W\d_]{4,}")
"""What can be misspelt."""


def changeable(text: str, pattern: re.Pattern[str], kept: Sequence[str]) -> list[re.Match[str]]:
    """Matches that touch no kept phrase, whatever its case and blanks, in order."""
    covered = bytearray(len(text))
    for phrase in {" ".join(phrase.split()).lower() for phrase in kept}:
        if phrase:
            inside = r"\s+".join(map(re.escape, phrase.split()))
            for match in re.finditer(inside, text, flags=re.IGNORECASE):
                covered[match.start() : match.end()] = b"\1" * len(match.group())
    return [m for m in pattern.finditer(text) if not any(covered[m.start() : m.end()])]


def replaced(text: str, changes: Sequence[tuple[re.Match[str], str]]) -> str:
    """The text with each match, in order and apart, replaced."""
    pieces, at = [], 0
    for match, new in changes:
        pieces += [text[at : match.start()], new]
        at = match.end()
    return "".join([*pieces, text[at:]])


def with_typos(text: str, kept: Sequence[str], rng: np.random.Generator, *, rate: float) -> str:
    """The text with a share of its words of four or more letters misspelt.

    GARAG's operators, one drawn for each word: inner letters swapped, the end cut off, a
    neighbouring key, a common misspelling of a letter pair.

    Args:
        text: what to misspell.
        kept: phrases that stay as they are.
        rng: draws the words and errors.
        rate: share of words; at least one word changes where any can and the rate is not 0.
    """
    found = changeable(text, WORD, kept)
    n = min(len(found), max(round(rate * len(found)), 1)) if rate else 0
    chosen = sorted(rng.choice(len(found), size=n, replace=False).tolist()) if n else []
    return replaced(text, [(found[i], misspelt(found[i].group(), rng)) for i in chosen])


def misspelt(word: str, rng: np.random.Generator) -> str:
    """A word of four or more letters with one typing error, its first letter kept."""
    how = int(rng.integers(4))
    if how == 0 and len(set(word[1:-1])) > 1:
        at = next(i for i in range(1, len(word) - 2) if word[i] != word[i + 1])
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if how == 1:
        return word[:-1]
    keys, pairs = table("typos.toml")["keyboard"], table("typos.toml")["natural"]
    if how == 2 and (near := [i for i, char in enumerate(word) if i and char in keys]):
        at = near[int(rng.integers(len(near)))]
        others: str = keys[word[at]]
        return word[:at] + others[int(rng.integers(len(others)))] + word[at + 1 :]
    for right, wrong in pairs.items():
        if right in word[1:]:
            return word[0] + word[1:].replace(right, wrong, 1)
    return word[:1] + word[1] + word[1:]
