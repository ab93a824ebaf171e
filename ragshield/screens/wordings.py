"""Wordings looked for in one passage: patterns kept as data, and what they found."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from ragshield.screens.needs import Clause, folded, needs_of

READ_CHARS = 400_000
"""Longer passages are read from both ends, half of this from each."""

QUOTE_CHARS = 90

_KEPT_CHARS = 4000

_BLANKS = re.compile(r"[ \t\f\v\r\u00a0]{2,}|[\t\f\v\r\u00a0]")
_BLANK_MARKS = ("  ", "\t", "\r", "\f", "\v")
_LINES = re.compile(r" ?\n[ \n]*")
_VOCABULARY = re.compile(r"[^\W\d_]+")
# Of ASCII text: letters in lower case, a blank for everything else.
_LETTERS = "".join(chr(c).lower() if chr(c).isalpha() else " " for c in range(128))
# Marks that are not seen; joiners between letters of other scripts have nothing to break here.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e01ef]"
)
_STRAIGHT = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})
# Cyrillic and Greek letters that look like a Latin one; folded in words that mix scripts.
LOOK_ALIKES: Mapping[str, str] = dict(
    zip(
        "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u0475\u051b"
        "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0406\u0408\u0405"
        "\u03bf\u03b1\u03bd\u03c1\u03b9\u0391\u0392\u0395\u0397\u0399\u039a\u039c\u039d\u039f"
        "\u03a1\u03a4\u03a7\u03a5\u0396\u0261",
        "aeopcyxijsdhvqABEKMHOPCTXIJSoavpiABEHIKMNOPTXYZg",
        strict=True,
    )
)
_FOLD = str.maketrans(dict(LOOK_ALIKES))
LOOK_ALIKE = re.compile(f"[{''.join(LOOK_ALIKES)}]")
"""Any of these letters."""

_MIXED_WORD = re.compile("[A-Za-z\u0261\u0370-\u04ff\u0501\u051b]+")


@dataclass(frozen=True, slots=True)
class Reading:
    """A passage as a person sees it: nothing invisible, plain letters, plain quotes.

    Attributes:
        lines: with its line ends, blanks collapsed.
        flat: the same on one line.
        vocabulary: its words, `folded`.
        whole: False if the passage was too long and its middle was left out.
    """

    lines: str
    flat: str
    vocabulary: frozenset[str]
    whole: bool


@dataclass(frozen=True, slots=True)
class Wording:
    """One thing to look for.

    Attributes:
        name: short name, for evidence.
        says: what a match shows, as words that go on "it ...".
        weight: suspicion from this alone, in (0, 1).
        needs: what every passage has that the pattern matches, read off the pattern.
        by_line: whether the pattern looks at lines instead of the flattened text.
        pattern: compiled, ignoring case.
    """

    name: str
    says: str
    weight: float
    needs: tuple[Clause, ...]
    by_line: bool
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Table:
    """Several wordings, and which of them a passage's words leave in question.

    Attributes:
        wordings: in the order in which they are tried.
        by_word: each word of the first thing that any of them needs, with their places.
        by_piece: the places of those that a piece of text may set off, with the pieces.
        in_ascii: the same for texts of ASCII characters alone.
        always: the places of those that need nothing.
    """

    wordings: tuple[Wording, ...]
    by_word: Mapping[str, tuple[int, ...]] = field(init=False, repr=False)
    by_piece: tuple[tuple[int, tuple[str, ...]], ...] = field(init=False, repr=False)
    in_ascii: tuple[tuple[int, tuple[str, ...]], ...] = field(init=False, repr=False)
    always: tuple[int, ...] = field(init=False, repr=False)
    _words: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_word: dict[str, tuple[int, ...]] = {}
        first = [(i, w.needs[0]) for i, w in enumerate(self.wordings) if w.needs]
        for i, clause in first:
            for word in clause.words:
                by_word[word] = (*by_word.get(word, ()), i)
        by_piece = tuple((i, clause.pieces) for i, clause in first if clause.pieces)
        in_ascii = ((i, tuple(x for x in pieces if x.isascii())) for i, pieces in by_piece)
        for name, value in (
            ("by_word", by_word),
            ("by_piece", by_piece),
            ("in_ascii", tuple((i, pieces) for i, pieces in in_ascii if pieces)),
            ("always", tuple(i for i, w in enumerate(self.wordings) if not w.needs)),
            ("_words", frozenset(by_word)),
        ):
            object.__setattr__(self, name, value)

    def __iter__(self) -> Iterator[Wording]:
        return iter(self.wordings)

    def __len__(self) -> int:
        return len(self.wordings)

    def possible(self, reading: Reading) -> list[Wording]:
        """The wordings that may occur, in their order; most passages leave hardly any."""
        return self._possible(reading.vocabulary, folded(reading.flat))

    def _possible(self, said: frozenset[str], text: str) -> list[Wording]:
        at = {i for word in self._words & said for i in self.by_word[word]}
        at.update(self.always)
        for i, pieces in self.in_ascii if text.isascii() else self.by_piece:
            for piece in pieces:
                if piece in text:
                    at.add(i)
                    break
        if not at:
            return []
        tried = (self.wordings[i] for i in sorted(at))
        return [w for w in tried if all(_met(clause, said, text) for clause in w.needs[1:])]


def _met(clause: Clause, said: frozenset[str], text: str) -> bool:
    if not clause.words.isdisjoint(said):
        return True
    return any(piece in text for piece in clause.pieces)


@dataclass(frozen=True, slots=True)
class Match:
    """The first place where a wording occurs."""

    wording: Wording
    quote: str


def read(text: str) -> Reading:
    """Read a passage as it would be seen, whatever was hidden between its letters."""
    # Several screens read one passage after the other; long ones would fill the memory.
    return _read_again(text) if len(text) <= _KEPT_CHARS else _read(text)


@lru_cache(maxsize=4096)
def _read_again(text: str) -> Reading:
    return _read(text)


def _read(text: str) -> Reading:
    whole = len(text) <= READ_CHARS
    if not whole:
        text = f"{text[: READ_CHARS // 2]}\n{text[-READ_CHARS // 2 :]}"
    if text.isascii():
        vocabulary = frozenset(text.translate(_LETTERS).split())
        if any(mark in text for mark in _BLANK_MARKS):
            text = _BLANKS.sub(" ", text)
    else:
        text = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).translate(_STRAIGHT)
        if LOOK_ALIKE.search(text):
            text = _MIXED_WORD.sub(_folded, text)
        text = _BLANKS.sub(" ", text)
        vocabulary = frozenset(folded(" ".join(_VOCABULARY.findall(text))).split())
    lines = (_LINES.sub("\n", text) if "\n" in text else text).strip()
    return Reading(lines, lines.replace("\n", " "), vocabulary, whole)


def matches(reading: Reading, wordings: Table) -> list[Match]:
    """The wordings that occur, each once, in the order given.

    Words that an earlier wording has matched are not counted again for a later one.
    """
    found: list[Match] = []
    taken: list[tuple[int, int]] = []
    for wording in wordings.possible(reading):
        # Both texts have the same length, so that places in one are places in the other.
        text = reading.lines if wording.by_line else reading.flat
        match = wording.pattern.search(text)
        if match and not any(a < match.end() and match.start() < b for a, b in taken):
            taken.append(match.span())
            found.append(Match(wording, quoted(match.group().strip())))
    return found


def together(weights: Sequence[float]) -> float:
    """One suspicion from several signs: each takes its share of the doubt that is left."""
    left = 1.0
    for weight in weights:
        left *= 1.0 - weight
    return 1.0 - left


def reason_of(found: Sequence[Match]) -> str:
    """What was found, strongest first, at most three, each with its words in quotes."""
    order = sorted(found, key=lambda match: -match.wording.weight)
    parts = [f'{match.wording.says} ("{match.quote}")' for match in order[:3]]
    more = f", and {len(order) - 3} more signs" if len(order) > 3 else ""
    return "; ".join(parts) + more


@cache
def load(name: str) -> Mapping[str, Table]:
    """The tables of a TOML file beside this module: table name to its wordings."""
    text = Path(__file__).with_name(f"{name}.toml").read_text(encoding="utf-8")
    return {
        table: Table(tuple(map(_wording, entries)))
        for table, entries in tomllib.loads(text).items()
    }


def _wording(entry: Mapping[str, Any]) -> Wording:
    pattern = re.compile(entry["pattern"], re.IGNORECASE | re.MULTILINE)
    return Wording(
        entry["name"],
        entry["says"],
        entry["weight"],
        needs_of(pattern),
        entry.get("by_line", False),
        pattern,
    )


def quoted(text: str, n_chars: int = QUOTE_CHARS) -> str:
    """A short piece of a passage that can stand in double quotes on one line.

    Characters that cannot be seen are written as escapes, double quotes as single ones.
    """
    shown = "".join(c if c.isprintable() else escape(c) for c in text[: 2 * n_chars])
    shown = " ".join(shown.replace('"', "'").split())
    return shown if len(shown) <= n_chars else f"{shown[: n_chars - 1]}…"


def escape(character: str) -> str:
    """A blank for white space, else the code point: `<U+200B>`."""
    return " " if character.isspace() else f"<U+{ord(character):04X}>"


def _folded(match: re.Match[str]) -> str:
    word = match.group()
    return word if word.isascii() or not _LATIN.search(word) else word.translate(_FOLD)


_LATIN = re.compile("[A-Za-z]")
