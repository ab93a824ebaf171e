"""Two texts that are the same but for one value, and what kind of value it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, TypeAlias

EditKind: TypeAlias = Literal["number", "date", "name", "negation", "word"]

READ_CHARS = 8000
"""Of longer texts this much is compared."""

_WORD = re.compile(r"\w+(?:['\u2019.,:/-]\w+)*%?")
_NUMBERS = frozenset(
    """one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
    hundred thousand million billion first second third fourth fifth once twice""".split()
)
_DATES = frozenset(
    """january february march april may june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday""".split()
)
_NEGATIONS = frozenset(
    """not no never neither nor without cannot can't won't don't doesn't didn't isn't aren't
    wasn't weren't hasn't haven't hadn't shouldn't wouldn't couldn't mustn't""".split()
)
# Digits with a sign or a unit; "host_3" and "ls.1" name a thing.
_QUANTITY = re.compile(r"\W*(?:[a-z]{0,3})\d[\d.,:/-]*(?:[a-z%]{0,3})$")
_NUMBERED = re.compile(r"(?:[A-Z]|\d{1,2})(?:[.-]\d{1,2})+$|\d{1,2}$")
_VERSION = frozenset(
    """version v release section chapter figure fig table page p part step volume vol no number
    appendix item rev revision build""".split()
)
_MAX_CHANGED = 8


@dataclass(frozen=True, slots=True)
class Edit:
    """What one text has in the place of what another has.

    Attributes:
        kind: what was changed.
        first: the words of the first text, joined by blanks; empty if it has none there.
        second: the words of the second.
        position: number of words before the first change.
        n_same: number of words that both have.
        numbering: whether the changed number follows a word such as "version" or "page", or
            the changed name stands before a number.
    """

    kind: EditKind
    first: str
    second: str
    position: int
    n_same: int
    numbering: bool


def tokens(text: str) -> list[str]:
    """Words and numbers in order, as they are written."""
    return _WORD.findall(text[:READ_CHARS])


def same_form(first: Counter[str], second: Counter[str]) -> bool:
    """Whether three of four words of two texts are the same."""
    changed = (first - second).total() + (second - first).total()
    return changed <= 0.25 * (first.total() + second.total())


def edit_between(first: Sequence[str], second: Sequence[str]) -> Edit | None:
    """The one value in which two texts differ, however often it stands in them.

    Returns:
        None if they do not differ, or in more than one value, or if less than four words
        stay the same for each that does not.
    """
    if not 0 < _n_changed(first, second) <= _MAX_CHANGED:
        return None
    changes = [
        (tuple(first[a:b]), tuple(second[c:d]), a)
        for tag, a, b, c, d in SequenceMatcher(a=first, b=second, autojunk=False).get_opcodes()
        if tag != "equal"
    ]
    n_same = len(first) - sum(len(old) for old, _, _ in changes)
    n_changed = max(sum(len(old) for old, _, _ in changes), sum(len(new) for _, new, _ in changes))
    if len({(old, new) for old, new, _ in changes}) != 1 or n_same < 4 * n_changed:
        return None
    old, new, position = changes[0]
    kind = _kind(old, new)
    if kind is None:
        return None
    before = first[position - 1].lower().rstrip(".") if position else ""
    numbering = kind == "number" and (before in _VERSION or any(v.count(".") > 1 for v in old))
    behind = first[position + len(old) :][:1]
    if kind == "name" and behind and _NUMBERED.match(behind[0]):
        numbering = True  # "Figure 3": what something numbered is called
    return Edit(kind, " ".join(old), " ".join(new), position, n_same, numbering)


def _n_changed(first: Sequence[str], second: Sequence[str]) -> int:
    a, b = Counter(first), Counter(second)
    return (a - b).total() + (b - a).total()


def _kind(old: tuple[str, ...], new: tuple[str, ...]) -> EditKind | None:
    lowered = {word.lower() for word in (*old, *new)}
    if bool({w.lower() for w in old} & _NEGATIONS) != bool({w.lower() for w in new} & _NEGATIONS):
        return "negation" if len(old) + len(new) <= 3 else None
    if not old or not new or max(len(old), len(new)) > 3:
        return None
    if lowered <= _DATES:
        return "date"
    if all(_QUANTITY.match(w) or w in _NUMBERS for w in lowered):
        return "number"
    if all(word[0].isupper() for word in (*old, *new)):
        return "name" if {w.lower() for w in old} != {w.lower() for w in new} else None
    if len(old) == len(new) == 1 and old[0].islower() and new[0].islower():
        # A plural or another ending is a correction, not another claim.
        shorter = min(len(old[0]), len(new[0]))
        return "word" if old[0][: shorter - 1] != new[0][: shorter - 1] else None
    return None
