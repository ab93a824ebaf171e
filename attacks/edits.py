"""Small edits that make a true passage false: an answer, number, date, name or negation."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np

from ragshield.attacks.templates import table

Edit: TypeAlias = Literal["answer", "number", "date", "name", "negation"]

_YEAR = re.compile(r"\b(?:1[0-9]|20)\d\d\b")
_MONTHS = "January February March April May June July August September October November December"
_MONTH = re.compile(rf"\b(?:{'|'.join(_MONTHS.split())})\b")
_NUMBER = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?![\w,])|(?<![\w.,])\d+(?:\.\d+)?(?![\w,])")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][\w'\u2019-]+(?: [A-Z][\w'\u2019-]+)*")
_VERB = re.compile(r"\b(?:is|are|was|were|has|have|had|can|could|will|would|does|did)\b(?! not\b)")
_NOT = re.compile(r"(?<=\w) not\b")


def answer_edit(text: str, right: str, wrong: str) -> str | None:
    """The text with each whole-word `right` turned into `wrong`; None if it is not there."""
    if not right.strip():
        return None
    pattern = r"\s+".join(map(re.escape, right.split()))
    changed, n = re.subn(rf"(?<!\w){pattern}(?!\w)", lambda _: wrong, text, flags=re.IGNORECASE)
    return changed if n else None


def fact_edit(text: str, edit: Edit, others: Sequence[str], rng: np.random.Generator) -> str | None:
    """The text with one value changed; None where it has no such value.

    A number changes by a digit, tenfold or by a tenth; a date by 1 to 30 years or to
    another month; a name becomes one from `others` or from a list; a negation is put in
    or taken out.

    Args:
        text: a true passage.
        edit: what to change, not `answer`.
        others: texts whose names may be borrowed.
        rng: draws the place and the value.
    """
    if edit == "date":
        return _at(text, [*_YEAR.finditer(text), *_MONTH.finditer(text)], _date, rng)
    if edit == "number":
        years = {m.span() for m in _YEAR.finditer(text)}
        found = [m for m in _NUMBER.finditer(text) if m.span() not in years]
        return _at(text, found, _number, rng)
    if edit == "name":
        own = [m for m in _NAME.finditer(text) if not _MONTH.fullmatch(m.group())]
        borrowed = [name for other in others for name in _names(other) if name not in text]
        names = borrowed or [n for n in table("decoys.toml")["name"] if n not in text]
        return _at(text, own, lambda _, r: names[r.integers(len(names))], rng)
    if found := [*_NOT.finditer(text)]:
        return _at(text, found, lambda _, __: "", rng)
    return _at(text, [*_VERB.finditer(text)], lambda verb, _: f"{verb} not", rng)


def decoys(value: str, n: int, rng: np.random.Generator) -> list[str]:
    """Up to n other values of the kind of `value`: year, number, name or phrase; all different.

    Fewer come back where the list of that kind has no more. The case of `value` tells a
    name from a phrase.
    """
    if _YEAR.fullmatch(value) or _NUMBER.fullmatch(value):
        change = _date if _YEAR.fullmatch(value) else _number
        drawn = dict.fromkeys(change(value, rng) for _ in range(20 * (n + 1)))
        return [other for other in drawn if other != value][:n]
    kind = "name" if value[:1].isupper() else "phrase"
    words = [word for word in table("decoys.toml")[kind] if word.lower() != value.lower()]
    return [words[i] for i in rng.permutation(len(words)).tolist()][:n]


def _names(text: str) -> list[str]:
    return [name for name in _NAME.findall(text) if not _MONTH.fullmatch(name)]


def _at(
    text: str,
    found: Sequence[re.Match[str]],
    change: Callable[[str, np.random.Generator], str],
    rng: np.random.Generator,
) -> str | None:
    """The text with one of the matches, drawn at random, changed."""
    if not found:
        return None
    match = found[int(rng.integers(len(found)))]
    return text[: match.start()] + change(match.group(), rng) + text[match.end() :]


def _date(value: str, rng: np.random.Generator) -> str:
    if value in (months := _MONTHS.split()):
        return months[(months.index(value) + int(rng.integers(1, 12))) % 12]
    return str(int(value) + int(rng.integers(1, 31)) * (1 if rng.random() < 0.5 else -1))


def _number(value: str, rng: np.random.Generator) -> str:
    plain = value.replace(",", "")
    how = int(rng.integers(3))
    if how == 0 and plain.isdigit():
        changed = plain + "0"
    elif how == 1 and plain.isdigit() and len(plain) > 1 and plain.endswith("0"):
        changed = plain[:-1]
    else:
        digits = [i for i, char in enumerate(plain) if char.isdigit()]
        at = digits[int(rng.integers(len(digits)))]
        others = [digit for digit in "123456789" if digit != plain[at]]
        changed = plain[:at] + others[int(rng.integers(len(others)))] + plain[at + 1 :]
    return f"{int(changed):,}" if "," in value else changed
