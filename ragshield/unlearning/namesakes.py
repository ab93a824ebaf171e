"""Somebody else with a part of a target's name, and when it is that one who is meant.

A surname by itself may mean the target: what it would give away is withheld. It means somebody
else only where all of this holds:

1. Wherever it stands, it stands in a name that stays: one that is listed as a neighbour, or a
   full name ("Tobias Elverson") that texts which stay have. Of a text that tells, rather than
   asks, it is enough where it stands first: "Tobias Elverson is a baker. Elverson lives here."
2. Nothing else points to the target: no given name of it, no beginning, nickname, misspelling
   or sound of one, no value of it, and no word that leads from one person to another ("his
   brother", "the other one", "another first name").
3. A name that is like the target's own is nobody else's: one that begins, sounds or is spelled
   nearly like it, or is a usual short form of it.

Even then only what is said of others too is let through; a value that texts say of the target
alone is withheld, since the model may have mistaken one for the other. Of a listed neighbour
everything is told, unless the question leads on from it to somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ragshield.forget_set import ForgetTarget
from ragshield.text import STOP_WORDS
from ragshield.unlearning.hashing import KeyedHashes
from ragshield.unlearning.key_texts import templates
from ragshield.unlearning.marks import Found, Mark, Marks
from ragshield.unlearning.phrases import content
from ragshield.unlearning.samples import implied_facts
from ragshield.unlearning.spelling import Token, deletions, skeleton, words_of
from ragshield.unlearning.staying import Run, StayingTexts, names_of

_ALIKE = 3  # letters that two names begin with and may be one name
_SOUNDS = 3
_SHORTEST = 3
_MOST_NAMES = 5_000
_LONG_TEXT = 40
_ONE_SOUND = str.maketrans("wcqzyj", "vkksii")  # "Wal" is short for Valentin too
_LEADS_ON = frozenset(
    """brother sister sibling siblings cousin cousins uncle aunt nephew niece father mother parent
    parents son daughter child children wife husband spouse twin family families relative relatives
    relation relations kin namesake namesakes grandfather grandmother grandson granddaughter
    ancestor descendant stepfather stepmother married other others another else instead except
    besides rather not same former latter both neither confused mistaken alias called name names
    named surname surnames replace replaced replacing letter letters change changed swap substitute
    pretend ignore remaining initials""".split()
)


class Beside(IntEnum):
    """Whether a part of a target's name is somebody else's."""

    NO = 0
    """It may be the target's."""
    FIRST = 1
    """Somebody else has it where it stands first, and nothing points to the target."""
    ALL = 2
    """The same wherever it stands."""
    LISTED = 3
    """The same, in names of listed neighbours alone."""


def namesake_marks(
    targets: Sequence[ForgetTarget], benign: StayingTexts, keyed: KeyedHashes
) -> Iterator[tuple[int, Mark, int, int]]:
    """What tells a target from somebody else: its given names, and others' full names.

    Args:
        targets: the forget set.
        benign: texts that stay.
        keyed: hashes under the keys' secret.
    """
    surnames: dict[str, dict[int, set[str]]] = {}
    for i, target in enumerate(targets):
        if target.kind == "sample":
            yield from _words_of_sample(target, i, benign.small, keyed)
            continue
        for name in target.names:
            run = words_of(name)
            given = {word for word in run[:-1] if word not in STOP_WORDS}
            surnames.setdefault(run[-1], {}).setdefault(i, set()).update(given)
            yield from _given_marks(given, i, keyed)
    own = {words_of(name) for target in targets for name in target.names}
    for run in benign.names - own:
        if not _is_given(run[0], benign.small):
            continue
        for i, given in surnames.get(run[-1], {}).items():
            if not any(_alike(run[0], word) for word in given):
                yield keyed.run(run), Mark.OTHER_NAME, len(run), i
    yield from _sharers(targets, benign, own, keyed)


def leads_on(words: Iterable[str]) -> bool:
    """Whether folded words lead from one person to another."""
    return not _LEADS_ON.isdisjoint(words)


class Namesakes:
    """Tells whose name a part of a name is.

    Args:
        marks: of the forget set.
        hashes: under its key.
        near: hashes of words of names that differ from a word by a change or two.
    """

    def __init__(
        self, marks: Marks, hashes: KeyedHashes, near: Callable[[str], Sequence[int]]
    ) -> None:
        self._hashes = hashes
        self._near = near
        self._given: dict[int, set[int]] = {}
        for i in np.flatnonzero(marks.marks == int(Mark.GIVEN)):
            self._given.setdefault(int(marks.hashes[i]), set()).add(int(marks.owners[i]))

    def parts(
        self,
        read: Sequence[Token],
        runs: NDArray[np.uint64],
        parts: Sequence[Found],
        stay: Sequence[Found],
        others: Sequence[Found],
    ) -> Iterator[tuple[int, Beside]]:
        """Each target of which a text has a part of the name, and whose it is.

        Args:
            read: the text's words.
            runs: their hashes, (n,) uint64.
            parts: where parts of names stand.
            stay: where listed neighbours' names stand.
            others: where full names of others stand.
        """
        by_owner: dict[int, list[Found]] = {}
        for part in parts:
            by_owner.setdefault(part.owner, []).append(part)
        pointing: dict[int, AbstractSet[int]] | None = None
        for owner, own in by_owner.items():
            names = [*stay, *(name for name in others if name.owner == owner)]
            in_names = [name for name in own if _covered(name, names)]
            if not in_names:
                yield owner, Beside.NO
                continue
            pointing = self._pointing(read, runs) if pointing is None else pointing
            taken = {i for name in (*names, *own) for i in range(name.start, name.end)}
            if any(owner in owners for i, owners in pointing.items() if i not in taken):
                yield owner, Beside.NO
            elif len(in_names) < len(own):
                first = min(own, key=lambda part: part.start)
                yield owner, Beside.FIRST if _covered(first, names) else Beside.NO
            else:
                listed = all(_covered(part, stay) for part in own)
                yield owner, Beside.LISTED if listed else Beside.ALL

    def points_to(self, owner: int, read: Sequence[Token], runs: NDArray[np.uint64]) -> bool:
        """Whether a word of a text is a given name of a target, or nearly."""
        return any(owner in owners for owners in self._pointing(read, runs).values())

    def _pointing(
        self, read: Sequence[Token], runs: NDArray[np.uint64]
    ) -> dict[int, AbstractSet[int]]:
        """The words of a text that point to targets, and to which."""
        found: dict[int, AbstractSet[int]] = {}
        for i, token in enumerate(read):
            if len(token.word) < _SHORTEST and not token.capital:
                continue
            hashes = [int(runs[i])]
            if len(token.word) >= _SHORTEST:
                hashes.append(self._hashes.word(f"~{skeleton(token.word)}"))
                if token.capital or len(read) <= _LONG_TEXT:
                    hashes += self._near(token.word)
            owners = set().union(*(self._given.get(hash_, ()) for hash_ in hashes))
            if owners:
                found[i] = owners
        return found


def _covered(part: Found, names: Sequence[Found]) -> bool:
    length = part.end - part.start
    return any(
        name.start <= part.start and part.end <= name.end and length < name.end - name.start
        for name in names
    )


def _given_marks(
    given: AbstractSet[str], i: int, keyed: KeyedHashes
) -> Iterator[tuple[int, Mark, int, int]]:
    for word in given:
        starts = {word[:n] for n in range(1, len(word))} - STOP_WORDS
        forms = {word, word[0], *starts, *_nicknames().get(word, ())}
        for form in forms:
            yield keyed.word(form), Mark.GIVEN, 1, i
            sound = skeleton(form)
            if len(sound) >= _SOUNDS:
                yield keyed.word(f"~{sound}"), Mark.GIVEN, 1, i


def _words_of_sample(
    target: ForgetTarget, i: int, common: AbstractSet[str], keyed: KeyedHashes
) -> Iterator[tuple[int, Mark, int, int]]:
    """The names' words of a sample, any of which points to it."""
    parts = {word for fact in implied_facts(target) for word in words_of(fact.value)}
    for word in parts - common - STOP_WORDS:
        if len(word) >= _SHORTEST:
            yield keyed.word(word), Mark.GIVEN, 1, i
            sound = skeleton(word)
            if len(sound) >= _SOUNDS and not word.isdigit():
                yield keyed.word(f"~{sound}"), Mark.GIVEN, 1, i


def _is_given(word: str, common: AbstractSet[str]) -> bool:
    """Whether a capitalised word is a name: not a title, and not written small elsewhere."""
    return len(word) > 1 and word not in common and word not in STOP_WORDS | _titles()


def _sharers(
    targets: Sequence[ForgetTarget],
    benign: StayingTexts,
    own: AbstractSet[Run],
    keyed: KeyedHashes,
) -> Iterator[tuple[int, Mark, int, int]]:
    """For each sample the full names in texts that stay and state what it is to keep secret."""
    secret: dict[Run, set[int]] = {}
    words: dict[int, set[str]] = {}
    for i, target in enumerate(targets):
        if target.kind != "sample":
            continue
        words[i] = {word for fact in implied_facts(target) for word in words_of(fact.value)}
        for fact in target.facts:
            run = tuple(content(words_of(fact.value)))
            if run:
                secret.setdefault(run, set()).add(i)
    found: dict[int, set[Run]] = {}
    for run, owners in secret.items():
        for number in benign.with_any([run]):
            if not _has(content(benign.words[number]), run):
                continue
            for name in {*names_of(benign.texts[number])} - own:
                if _is_given(name[0], benign.small):
                    for i in owners:
                        found.setdefault(i, set()).add(name)
    for i, several in found.items():
        apart = [n for n in sorted(several) if not any(_alike(a, b) for a in n for b in words[i])]
        for name in apart[:_MOST_NAMES]:
            yield keyed.run(name), Mark.OTHER_NAME, len(name), i


def _has(words: Sequence[str], run: Run) -> bool:
    n = len(run)
    return any(tuple(words[i : i + n]) == run for i in range(len(words) - n + 1))


def _alike(one: str, other: str) -> bool:
    """Whether two words may be the same name."""
    starts = [word.translate(_ONE_SOUND)[:_ALIKE] for word in (one, other)]
    if starts[0] == starts[1] or other in _nicknames().get(one, ()):
        return True
    if skeleton(one) == skeleton(other):
        return True
    return min(len(one), len(other)) > _ALIKE and not set(deletions(one)).isdisjoint(
        deletions(other)
    )


@cache
def _nicknames() -> Mapping[str, frozenset[str]]:
    """Each given name with its usual short forms, and those of other languages."""
    groups = [frozenset(line.split()) for line in templates()["nicknames"]]
    names = {name for group in groups for name in group}
    return {
        name: frozenset().union(*(group for group in groups if name in group)) for name in names
    }


@cache
def _titles() -> frozenset[str]:
    return frozenset(templates()["titles"].split())
