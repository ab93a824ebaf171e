"""What a text must hold for a pattern to match it, told from the pattern itself.

A pattern is tried only on texts that hold certain words, which is many times quicker. Which
words these are is read off the tree that `re` makes of the pattern, so that no form that it
matches can be left out; what is not understood asks for nothing.

Source: the same is done with trigrams in Cox, Regular Expression Matching with a Trigram
Index, 2012, and RE2's `Prefilter`. Differs: whole words, which a text's vocabulary tells.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby, islice, product
from pathlib import Path
from typing import Any, NamedTuple

from ragshield.text import STOP_WORDS

# The parser that `re` itself uses. Where there is none, every pattern is tried on every text.
_parser: Any = import_module("re._parser") if find_spec("re._parser") else None

_EDGE, _NO_LETTER, _ANYTHING = "\0", " ", "\1"
"""In a form: a border of a word, what is no letter for sure, and what may be any text."""

_ENDS = frozenset({_EDGE, _NO_LETTER, _ANYTHING})

_MARKS = frozenset('!#$%&()*+,-./:;<=>?@[\\]^`{|}~"')
_RARE_MARKS = frozenset("<>[]{}|#\\?")
_MOST_FORMS = 200
_MOST_REPEATED = 12
_MOST_OF_A_SET = 8
_SHORTEST_PIECE = 3
_MOST_CLAUSES = 3
_SAME = str.maketrans({"\u0130": "i", "\u0131": "i"})
_RUN = re.compile(r"[^\W\d_]+|[!#-&(-/:-@\[-^`{-~\"]+")
_WORDS_OF_A_TEXT = 5
_LEAST_LETTERS = 4
"""Shorter words are not in the list of English words."""
_PRONOUNS = frozenset("i me my you your we us our".split())
_RANK_OF_OTHERS = 12_000


class Clause(NamedTuple):
    """A text that the pattern matches has one of these words, or holds one of these pieces."""

    words: frozenset[str]
    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    """A part of a pattern: each of its matches has one of the forms, and meets all clauses."""

    forms: frozenset[str]
    clauses: tuple[frozenset[str], ...] = ()


def needs_of(pattern: re.Pattern[str]) -> tuple[Clause, ...]:
    r"""What every text has that the pattern matches, what is rarest first; nothing if not known.

    Args:
        pattern: compiled, ignoring case or not.

    Returns:
        Clauses, all of them to be met. Words are runs of letters between what are no letters
        (`[^\W\d_]+`), words and pieces as `folded` gives them.
    """
    if _parser is None:
        return ()
    parsed = _parser.parse(pattern.pattern, pattern.flags)
    # Cut at every word, branches tell less of where words end and more of what is in them.
    clauses = {clause for cut in (False, True) for clause in _whole(parsed, cut=cut).clauses}
    found = sorted(clauses, key=lambda clause: (_cost(clause), sorted(clause)))
    return tuple(map(_clause, found[:_MOST_CLAUSES]))


def folded(text: str) -> str:
    """A text in which letters are the same that a pattern takes for the same."""
    return text.lower() if text.isascii() else text.translate(_SAME).casefold()


def _clause(atoms: Iterable[str]) -> Clause:
    words = frozenset(atom[1:-1] for atom in atoms if atom.startswith(_EDGE))
    pieces = sorted((atom for atom in atoms if not atom.startswith(_EDGE)), key=len)
    kept: list[str] = []
    for piece in pieces:
        if not any(other in piece for other in kept):
            kept.append(piece)
    return Clause(words, tuple(kept))


def _whole(parsed: Any, *, cut: bool) -> _Read:
    if len(parsed) == 1 and str(parsed[0][0]) == "BRANCH":
        return _any_of([_whole(branch, cut=cut) for branch in parsed[0][1][1]])
    read = _sequence(parsed, cut=cut, whole=True)
    return _Read(frozenset({_ANYTHING}), read.clauses + _clauses_of(read.forms))


def _sequence(parsed: Any, *, cut: bool, whole: bool = False) -> _Read:
    """Parts one after the other; of the whole pattern, or of a piece of it."""
    forms, clauses = frozenset({""}), tuple[frozenset[str], ...]()
    for part in _parts(parsed, cut=cut):
        clauses += part.clauses
        if len(forms) * len(part.forms) > _MOST_FORMS:
            clauses += _clauses_of(form[0 if whole else _head(form) :] for form in forms)
            forms = frozenset(map(_end if whole else _shortened, forms))
        if len(forms) * len(part.forms) > _MOST_FORMS:
            clauses += _clauses_of(part.forms)
            forms = frozenset({_ANYTHING})
            continue
        forms = frozenset(one + other for one, other in product(forms, part.forms))
        # Words end here in every form: what follows is looked at by itself.
        if (cut or whole) and all(form and form[-1] in _ENDS for form in forms):
            clauses += _clauses_of(form[0 if whole else _head(form) :] for form in forms)
            forms = frozenset(map(_end if whole else _shortened, forms))
    return _Read(forms, clauses)


def _parts(parsed: Any, *, cut: bool) -> Iterator[_Read]:
    """What is known of each part; characters that follow one another are one."""
    for op, members in groupby(parsed, lambda member: str(member[0])):
        if op == "LITERAL":
            yield _Read(frozenset({"".join(_character(code) for _, code in members)}))
        else:
            yield from (_part(op, value, cut=cut) for _, value in members)


def _part(op: str, value: Any, *, cut: bool) -> _Read:
    match op:
        case "IN":
            return _Read(frozenset(_one_of(value)))
        case "AT":
            return _Read(frozenset({_place(str(value))}))
        case "SUBPATTERN":
            return _sequence(value[3], cut=cut)
        case "ATOMIC_GROUP":
            return _sequence(value, cut=cut)
        case "BRANCH":
            return _any_of([_sequence(branch, cut=cut) for branch in value[1]])
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, inner = value
            return _repeated(_sequence(inner, cut=cut), int(least), int(most))
        case "ASSERT":
            return _Read(frozenset({_beside(*value)}))
        case "ASSERT_NOT":
            return _Read(frozenset({""}))
    return _Read(frozenset({_ANYTHING}))


def _character(code: int) -> str:
    character = chr(code)
    if character.isalpha():
        return folded(character)
    # What is alphanumeric and no digit counts as a letter where words are cut.
    if character.isalnum() and not character.isdecimal():
        return _ANYTHING
    return character if character in _MARKS else _NO_LETTER


def _one_of(members: Any) -> set[str]:
    found = set()
    for op, value in members:
        match str(op):
            case "LITERAL":
                found.add(_character(value))
            case "CATEGORY" if str(value) in {
                "CATEGORY_SPACE",
                "CATEGORY_DIGIT",
                "CATEGORY_NOT_WORD",
            }:
                found.add(_NO_LETTER)
            case "RANGE" if value[1] < 128 and not any(
                chr(c).isalpha() for c in range(value[0], value[1] + 1)
            ):
                found.add(_NO_LETTER)
            case _:
                return {_ANYTHING}
    if len(found) > 2 and _ANYTHING not in found:
        found = {character if character.isalpha() else _NO_LETTER for character in found}
    return found if len(found) <= _MOST_OF_A_SET and _ANYTHING not in found else {_ANYTHING}


def _place(name: str) -> str:
    if name in {"AT_BOUNDARY", "AT_UNI_BOUNDARY"}:
        return _EDGE
    return _NO_LETTER if name.startswith(("AT_BEGINNING", "AT_END")) else ""


def _beside(direction: int, parsed: Any) -> str:
    """What is known of the character beside, which a look-around does not take."""
    forms = _sequence(parsed, cut=False).forms
    nearest = {form[-1 if direction < 0 else 0] for form in forms if form}
    return _NO_LETTER if "" not in forms and nearest <= {_NO_LETTER, *_MARKS} else ""


def _any_of(branches: Sequence[_Read]) -> _Read:
    forms = frozenset().union(*(branch.forms for branch in branches))
    every = [branch.clauses or _clauses_of(branch.forms) for branch in branches]
    ranked = [sorted(clauses, key=_cost) for clauses in every]
    clauses = tuple(frozenset().union(*clause) for clause in zip(*ranked, strict=False))
    if len(forms) > _MOST_FORMS:
        return _Read(frozenset({_ANYTHING}), clauses)
    # Where words are known of all of them already, they are known again from their forms.
    return _Read(forms, clauses if any(branch.clauses for branch in branches) else ())


def _repeated(inner: _Read, least: int, most: int) -> _Read:
    forms = {""} if least == 0 else set()
    if most == 0:
        return _Read(frozenset({""}))
    if least <= 1:
        forms |= inner.forms
    if most > 1:
        if len(inner.forms) <= _MOST_REPEATED:
            ends = product(inner.forms, inner.forms)
            forms |= {one + _ANYTHING + other for one, other in ends}
        else:
            forms.add(_ANYTHING)
    return _Read(frozenset(forms), inner.clauses if least else ())


def _head(form: str) -> int:
    """How many letters it begins with: what stands before them is not known yet."""
    n = 0
    while n < len(form) and form[n].isalpha():
        n += 1
    return n


def _shortened(form: str) -> str:
    """The letters that it begins and ends with, and what stands beside them."""
    head, end = _head(form), _end(form)
    if head + 1 >= len(form) - len(end) + 1:
        return form
    return form[: head + 1] + _ANYTHING + end


def _end(form: str) -> str:
    """The letters that it ends with, and what stands before them."""
    tail = len(form)
    while tail and form[tail - 1].isalpha():
        tail -= 1
    return form[max(tail - 1, 0) :]


def _clauses_of(forms: Iterable[str]) -> tuple[frozenset[str], ...]:
    """Words and pieces of which every form has one; other ones; and so on."""
    every = {_atoms(form) for form in forms}
    if not every or not all(every):
        return ()
    found: list[frozenset[str]] = []
    used: set[str] = set()
    while len(found) < _MOST_CLAUSES:
        clause = _covering([atoms - used or atoms for atoms in every])
        if clause <= used:
            break
        found.append(clause)
        used |= clause
    return tuple(found)


def _covering(every: Iterable[frozenset[str]]) -> frozenset[str]:
    """Few and rare ones, one of them in each set: the best for what it costs, again and again."""
    chosen: set[str] = set()
    left = list(every)
    while left:
        counts = Counter(atom for atoms in left for atom in atoms)
        best = min(counts, key=lambda atom: (_often(atom) / counts[atom], atom))
        chosen.add(best)
        left = [atoms for atoms in left if best not in atoms]
    return frozenset(chosen)


@lru_cache(maxsize=4096)
def _atoms(form: str) -> frozenset[str]:
    """Words, between edges, and pieces of a form."""
    found = set()
    for run in _RUN.finditer(form):
        text = run.group()
        if not text[0].isalpha():
            if len(text) > 1 or text in _RARE_MARKS:
                found.add(text)
            continue
        before, after = form[run.start() - 1 : run.start()], form[run.end() : run.end() + 1]
        if all(beside and beside != _ANYTHING for beside in (before, after)):
            found.add(f"{_EDGE}{text}{_EDGE}")
        elif len(text) >= _SHORTEST_PIECE or not text.isascii():
            found.add(text)
    return frozenset(found)


@cache
def _often(atom: str) -> float:
    """A guess at the share of texts that hold it."""
    word = atom.strip(_EDGE)
    if not word.isascii():
        return 0.001
    if not word.isalpha():
        return 0.01 if len(word) > 1 else 0.1
    if word in _PRONOUNS:
        often = 0.03
    elif word in STOP_WORDS or len(word) < _LEAST_LETTERS:
        often = 0.5
    else:
        often = min(1.0, _WORDS_OF_A_TEXT / _rank().get(word, _RANK_OF_OTHERS))
    # A piece is in longer words, too, and has to be looked for.
    return often if word != atom else min(1.0, 2 * often + 0.01)


@cache
def _rank() -> Mapping[str, int]:
    """English words, in lower case, the most common one first."""
    text = Path(__file__).with_name("english_words.txt").read_text(encoding="utf-8")
    words = (w for line in text.splitlines() if line[:1] != "#" for w in line.split())
    return {word: rank for rank, word in enumerate(islice(words, _RANK_OF_OTHERS), start=1)}


def _cost(clause: Iterable[str]) -> float:
    """How many texts meet it, about, and how long it takes to tell."""
    return sum(_often(atom) if atom.startswith(_EDGE) else _often(atom) + 0.02 for atom in clause)
