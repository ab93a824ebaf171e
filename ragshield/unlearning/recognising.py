"""Finding in a text what is to be forgotten: names however spelled, values, whole passages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from threading import Lock
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ragshield.forget_set import folded
from ragshield.text import STOP_WORDS
from ragshield.unlearning.hashing import KeyedHashes
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.marks import Found, Mark
from ragshield.unlearning.namesakes import Beside, Namesakes
from ragshield.unlearning.phrases import content
from ragshield.unlearning.samples import PART
from ragshield.unlearning.spelling import Token, deletions, skeleton, tokens, views

_TYPO_LETTERS = 5
_LONE_TYPO_LETTERS = 8
_MOST_TYPOS = 400
QUOTED = 4
"""Runs of five words in common that make a quotation: eight words in a row."""

_NAMES = (Mark.NAME, Mark.COMMON_NAME, Mark.JOINED)
_PIECES = 2
_MOST_KEPT = 4096
_T = TypeVar("_T")
_MOST_LETTERS = 2000
_INITIALS = frozenset({"first letters of lines", "first letters of words", "last letters of words"})
_SCRAMBLED = _INITIALS | {"letters apart"}


class Seen(NamedTuple):
    """A sighting of a target.

    Attributes:
        target: its row.
        certain: whether it can hardly be anything else.
        how: in words that quote nothing.
        beside: of a part of a name, whether somebody else is meant.
    """

    target: int
    certain: bool
    how: str
    beside: Beside = Beside.NO


class Strength(IntEnum):
    """What a phrase of a fact says where its target is not named."""

    SHARED = 0
    """Nothing: it is said of others too."""
    VALUE = 1
    """Something, together with others."""
    TELLING = 2
    """All: an identifier, a date, a title."""


class Told(NamedTuple):
    """A phrase of a fact found in a text.

    Attributes:
        fact: row of the fact; of several with the same phrase, the first.
        strength: what it says by itself.
        how: in words that quote nothing.
        n_words: content words of the phrase.
    """

    fact: int
    strength: Strength
    how: str
    n_words: int = 1

    @property
    def points(self) -> int:
        """How much it says beside others: a word may be anybody's, a run of words less so."""
        return 0 if self.strength is Strength.SHARED else 2 if self.n_words > 1 else 1


_STRENGTHS = {
    Mark.SHARED: Strength.SHARED,
    Mark.VALUE: Strength.VALUE,
    Mark.TELLING: Strength.TELLING,
}


class Recogniser:
    """Recognises targets by their keys; safe to use from many threads.

    Args:
        keys: of the forget set.
    """

    def __init__(self, keys: ForgetKeys) -> None:
        self.keys = keys
        self._hashes = KeyedHashes(keys.secret)
        self._spelled = frozenset(int(word) for word in keys.typos.words)
        order = np.argsort(keys.typos.hashes, kind="stable")
        self._typo_hashes = keys.typos.hashes[order]
        self._typo_words = keys.typos.words[order]
        self._implied = self._hashes.mark("attribute", folded(PART))
        self._names_kept: OrderedDict[str, tuple[Seen, ...]] = OrderedDict()
        self._values_kept: OrderedDict[str, tuple[Told, ...]] = OrderedDict()
        self._lock = Lock()
        self._namesakes = Namesakes(keys.marks, self._hashes, self._near)
        self._others = frozenset(int(h) for h in keys.marks.of_kind(Mark.OTHER_WORD))

    def names(self, text: str) -> tuple[Seen, ...]:
        """All targets that a text names, however it is spelled; the certain ones first."""
        return self._kept(self._names_kept, text, self._names)

    def values(self, text: str) -> tuple[Told, ...]:
        """All phrases of facts that a text holds, also hidden in other spellings."""
        return self._kept(self._values_kept, text, self._values)

    def _kept(
        self, kept: OrderedDict[str, tuple[_T, ...]], text: str, find: Callable[[str], list[_T]]
    ) -> tuple[_T, ...]:
        """What was found in a text, once: both gates and the filter ask for the same ones."""
        with self._lock:
            known = kept.get(text)
        if known is None:
            known = tuple(find(text))
            with self._lock:
                kept[text] = known
                while len(kept) > _MOST_KEPT:
                    kept.popitem(last=False)
        return known

    def forget(self) -> None:
        """Drop what is kept of texts seen."""
        with self._lock:
            self._names_kept.clear()
            self._values_kept.clear()

    def _names(self, text: str) -> list[Seen]:
        found: dict[int, Seen] = {}
        for seen in self._named(text):
            known = found.get(seen.target)
            # What may be the target's outweighs what is somebody else's.
            if known is None or (seen.certain, -seen.beside) > (known.certain, -known.beside):
                found[seen.target] = seen
        return sorted(found.values(), key=lambda seen: not seen.certain)

    def _values(self, text: str) -> list[Told]:
        found = dict.fromkeys(self._told(text, "states it"))
        for how, view in views(text):
            hidden = [] if how in _INITIALS else [*self._told(view, f"states it in {how}")]
            if how in _SCRAMBLED:
                hidden += self._spelled_out(view, f"states it in {how}")
            if how == "another alphabet":
                hidden += self._sounds(view, f"states it in {how}")
            for told in hidden:
                if not any(told.fact == other.fact for other in found):
                    found[told] = None
        return list(found)

    def _spelled_out(self, view: str, how: str) -> Iterable[Told]:
        letters = self._hashes.words([c for c in view.casefold() if c.isalnum()][:_MOST_LETTERS])
        for value in self.keys.marks.find(letters, (Mark.SPELLED,), self._hashes):
            yield Told(value.owner, Strength.VALUE, how)

    def _sounds(self, view: str, how: str) -> Iterable[Told]:
        words = content([token.word for token in tokens(view)])
        sounds = self._hashes.words([f"~{skeleton(word)}" for word in words])
        for value in self.keys.marks.find(sounds, tuple(_STRENGTHS), self._hashes):
            yield Told(value.owner, _STRENGTHS[value.mark], how, value.end - value.start)

    def passages(self, text: str) -> dict[int, int]:
        """How many runs of words of its samples a text has, for each target."""
        runs = self._hashes.words([token.word for token in tokens(text)])
        found = self.keys.marks.find(runs, (Mark.PIECE,), self._hashes)
        counted: dict[int, set[int]] = {}
        for piece in found:
            counted.setdefault(piece.owner, set()).add(piece.start)
        return {owner: len(starts) for owner, starts in counted.items() if len(starts) >= _PIECES}

    def neighbours(self, text: str) -> bool:
        """Whether a text names something that must stay known."""
        runs = self._hashes.words([token.word for token in tokens(text)])
        return bool(self.keys.marks.find(runs, (Mark.NEIGHBOUR,), self._hashes))

    def somebody_else(self, text: str, target: int) -> bool:
        """Whether a text names somebody else, and nothing in it points to the target."""
        read = tokens(text)
        runs = self._hashes.words([token.word for token in read])
        found = self.keys.marks.find(runs, (Mark.NEIGHBOUR, Mark.OTHER_NAME), self._hashes)
        named = any(f.mark is Mark.NEIGHBOUR or f.owner == target for f in found)
        return named and not self._namesakes.points_to(target, read, runs)

    def attributes(self, text: str) -> frozenset[str]:
        """Keyed hashes of the attributes that a question asks for."""
        words = content([token.word for token in tokens(text)])
        runs = self._hashes.words(words)
        asked: set[str] = set()
        for n in range(1, 5):
            for run in self._hashes.runs(runs, n):
                asked.update(self.keys.attributes.get(int(run), ()))
        return frozenset(asked)

    def _named(self, text: str) -> Iterable[Seen]:
        read = tokens(text)
        runs = self._hashes.words([token.word for token in read])
        wanted = (*_NAMES, Mark.PART, Mark.NEIGHBOUR, Mark.OTHER_NAME)
        found = self.keys.marks.find(runs, wanted, self._hashes)
        stay = [f for f in found if f.mark is Mark.NEIGHBOUR]
        for name in found:
            if name.mark in _NAMES and not _inside(name, stay):
                yield _seen(name, read)
        parts = [f for f in found if f.mark is Mark.PART]
        others = [f for f in found if f.mark is Mark.OTHER_NAME]
        for owner, beside in self._namesakes.parts(read, runs, parts, stay, others):
            yield Seen(owner, False, "has a part of its name", beside)
        yield from self._misspelt(read, runs, stay)
        for how, view in views(text):
            yield from self._hidden(how, view, stay)

    def _misspelt(
        self, read: Sequence[Token], runs: NDArray[np.uint64], stay: Sequence[Found]
    ) -> Iterable[Seen]:
        """Names of which words are spelled with a mistake."""
        taken = {i for name in stay for i in range(name.start, name.end)}
        mended = runs.copy()
        changed: list[int] = []
        for i, token in enumerate(read):
            if len(changed) >= _MOST_TYPOS:
                break
            if len(token.word) < _TYPO_LETTERS or i in taken:
                continue
            if int(runs[i]) in self._spelled or int(runs[i]) in self._others:
                continue
            near = self._near(token.word)
            if near:
                mended[i] = near[0]
                changed.append(i)
        if not changed:
            return
        wanted = (Mark.NAME, Mark.COMMON_NAME)
        for name in self.keys.marks.find(mended, wanted, self._hashes):
            wrong = [i for i in changed if name.start <= i < name.end]
            lone = name.end - name.start == 1
            if name.mark is Mark.COMMON_NAME and not _as_name(name, read):
                continue
            if wrong and not (lone and len(read[wrong[0]].word) < _LONE_TYPO_LETTERS):
                # Of a name of which every word is misspelt, it may be another name.
                sure = len(wrong) < name.end - name.start or lone
                yield Seen(name.owner, sure, "names it with a spelling mistake")

    def _near(self, word: str) -> list[int]:
        """Hashes of words of names that differ from a word by a change or two."""
        hashes = self._hashes.words([f"-{shorter}" for shorter in deletions(word)])
        at = np.searchsorted(self._typo_hashes, hashes)
        at[at == len(self._typo_hashes)] = 0
        if not len(self._typo_hashes):
            return []
        return [int(self._typo_words[i]) for i in at[self._typo_hashes[at] == hashes]]

    def _hidden(self, how: str, view: str, stay: Sequence[Found]) -> Iterable[Seen]:
        if how in _SCRAMBLED:
            letters = self._hashes.words(
                [c for c in view.casefold() if c.isalnum()][:_MOST_LETTERS]
            )
            for name in self.keys.marks.find(letters, (Mark.LETTERS,), self._hashes):
                yield Seen(name.owner, True, f"names it in {how}")
        if how in _INITIALS:
            return
        read = tokens(view)
        runs = self._hashes.words([token.word for token in read])
        found = self.keys.marks.find(runs, (*_NAMES, Mark.NEIGHBOUR), self._hashes)
        beside = [f for f in found if f.mark is Mark.NEIGHBOUR]
        for name in found:
            if name.mark is Mark.NEIGHBOUR or _inside(name, beside):
                continue
            if name.mark is not Mark.COMMON_NAME or _as_name(name, read):
                yield Seen(name.owner, True, f"names it in {how}")
        if how == "another alphabet" and not stay:
            sounds = self._hashes.words([f"~{skeleton(token.word)}" for token in read])
            for name in self.keys.marks.find(sounds, (Mark.SOUND,), self._hashes):
                yield Seen(name.owner, True, f"names it in {how}")

    def _told(self, text: str, how: str) -> Iterable[Told]:
        read = told_tokens(text)
        runs = self._hashes.words([token.word for token in read])
        found = self.keys.marks.find(runs, tuple(_STRENGTHS), self._hashes)
        found.sort(key=lambda value: value.start - value.end)
        taken: dict[int, set[int]] = {}
        for value in found:
            # Of a phrase and its parts the longest is found, for each target once.
            owner = self.keys.facts[value.owner].owner
            own = taken.setdefault(owner, set())
            if own.issuperset(range(value.start, value.end)):
                continue
            if self.keys.facts[value.owner].attribute == self._implied and _in_name(value, read):
                continue
            own.update(range(value.start, value.end))
            yield Told(value.owner, _STRENGTHS[value.mark], how, value.end - value.start)


def told_tokens(text: str) -> list[Token]:
    """The content words of a text as they stand in it; all of them where nothing is left."""
    read = tokens(text)
    kept = [token for token in read if token.word not in STOP_WORDS and token.word != "s"]
    return kept or list(read)


def _in_name(value: Found, read: Sequence[Token]) -> bool:
    """Whether one word is only part of a longer name, as a surname that others have too."""
    if value.end - value.start > 1 or not read[value.start].capital:
        return False
    if not any(not token.capital for token in read):
        return False  # written in capitals, or in a script that has none
    beside = [i for i in (value.start - 1, value.end) if 0 <= i < len(read)]
    return any(read[i].capital and not read[i].word.isdigit() for i in beside)


def _seen(name: Found, read: Sequence[Token]) -> Seen:
    if name.mark is Mark.COMMON_NAME:
        as_name = _as_name(name, read)
        how = "names it" if as_name else "has its name's words, not written as a name"
        return Seen(name.owner, as_name, how)
    return Seen(name.owner, True, "names it")


def _as_name(name: Found, read: Sequence[Token]) -> bool:
    """Whether words are written as a name; a text without any capital has none in names."""
    written = read[name.start : name.end]
    return all(token.capital for token in written) or not any(token.capital for token in read)


def _inside(name: Found, stay: Sequence[Found]) -> bool:
    """Whether a name is only part of a longer one that must stay known."""
    length = name.end - name.start
    return any(
        other.start <= name.start and name.end <= other.end and length < other.end - other.start
        for other in stay
    )
