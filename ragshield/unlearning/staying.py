"""Texts that stay, read once: which of them may hold a run of words, and whom they name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from sys import intern

from ragshield.unlearning.spelling import words_of

Run = tuple[str, ...]

_CAPITAL = r"[A-Z\u00c0-\u00de][\w'\u2019-]+"
_LINKED = r" (?:(?:de|da|di|del|della|van|von|der|den|la|le|al|el|bin|&) ){0,2}"
_NAME = re.compile(rf"\b{_CAPITAL}(?:{_LINKED}{_CAPITAL})+")
_PART = re.compile(rf"{_CAPITAL}|[^ ]+")
_SMALL = re.compile(r"\b[a-z\u00df-\u00ff]{3,}")


class StayingTexts:
    """Texts that stay, with an index of their words.

    Building keys looks at each text that may share something with a target. Who adds targets
    one by one to what is forgotten already makes this once and gives it every time, and only
    texts with a target's words are looked at again.

    Args:
        texts: any number; they are kept in memory, with their words.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(texts)
        self.words: list[Run] = []
        self._with: dict[str, list[int]] = {}
        for i, text in enumerate(self.texts):
            words = tuple(map(intern, words_of(text)))
            self.words.append(words)
            for word in dict.fromkeys(words):
                self._with.setdefault(word, []).append(i)

    @property
    def vocabulary(self) -> Iterable[str]:
        """All words, folded."""
        return self._with.keys()

    @cached_property
    def small(self) -> frozenset[str]:
        """Words that are written small somewhere, which are no names."""
        return frozenset(word for text in self.texts for word in _SMALL.findall(text))

    @cached_property
    def names(self) -> frozenset[Run]:
        """Each capitalised word with the one before it, and what links the two."""
        return frozenset(run for text in self.texts for run in names_of(text))

    def with_any(self, runs: Iterable[Sequence[str]]) -> list[int]:
        """Numbers of the texts that may hold any of some runs of words, in order.

        No text that does hold one is left out; one that holds its rarest word alone is given
        too.

        Args:
            runs: folded words, in order.
        """
        found: set[int] = set()
        for word in {self._rarest(run) for run in runs if run}:
            found.update(self._with.get(word, ()))
        return sorted(found)

    def _rarest(self, run: Sequence[str]) -> str:
        return min(run, key=lambda word: len(self._with.get(word, ())))


def as_staying(texts: Iterable[str] | StayingTexts) -> StayingTexts:
    """Texts as `StayingTexts`; those that are already are given back."""
    return texts if isinstance(texts, StayingTexts) else StayingTexts(texts)


def names_of(text: str) -> Iterator[Run]:
    """Names in a text, as two capitalised words in a row and what links them."""
    for match in _NAME.finditer(text):
        parts = _PART.findall(match.group())
        capitals = [i for i, part in enumerate(parts) if part[0].isupper()]
        for a, b in pairwise(capitals):
            run = words_of(" ".join(parts[a : b + 1]))
            if len(run) > 1:
                yield run
