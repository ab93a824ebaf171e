"""How a name may be written: folded words, other alphabets, and ways to hide them."""

from __future__ import annotations

import codecs
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from ragshield.text import STOP_WORDS, words
from ragshield.unlearning.decoding import decoded, shifted, unescaped

_LONGEST = 40_000
_MOST_VIEWS = 64
_INSIDE = re.compile(r"(?<=[^\W_])['\u2019\-\u2010\u2011\u2013./\\:]+(?=[^\W_])")
_SPACED = re.compile(r"(?<!\w)(?:\w[\s._*|\-\u00b7/+~,;:>]{1,4}){3,}\w(?!\w)")
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,80}>|[*_`~|\u00ad]+")
_LINE_START = re.compile(r"^[\s\d.)*\-\u2022#>]*(\w)", re.MULTILINE)


_ENCODED = frozenset({"Base64", "Base32", "hexadecimal", "bits", "character codes", "escapes"})


class Token(NamedTuple):
    """One word of a text.

    Attributes:
        word: without case or accents; a single character in scripts without blanks.
        capital: whether it is written as a name: with a capital, or in a script that has
            none.
    """

    word: str
    capital: bool


@lru_cache(maxsize=2048)
def tokens(text: str) -> tuple[Token, ...]:
    """The words of a text, folded, in order; a possessive ending is no part of a word."""
    plain = shown(text)
    found: list[Token] = []
    for word in _WORDS.findall(plain):
        folded = _folded(word)
        if not folded:
            continue
        if _has_no_blanks(folded):
            found.extend(Token(part, True) for part in _parts(folded))
        else:
            # A letter that is no capital and has none, as in Arabic, is no lower case.
            found.append(Token(folded, not word[0].islower()))
    return tuple(found)


def words_of(text: str) -> tuple[str, ...]:
    """The folded words of a text, in order."""
    return tuple(token.word for token in tokens(text))


def shown(text: str) -> str:
    """A text as it is seen: compatible forms made one, invisible characters gone."""
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKC", text)
    return "".join(c for c in plain if unicodedata.category(c) not in ("Cf", "Co"))


@lru_cache(maxsize=256)
def views(text: str) -> tuple[tuple[str, str], ...]:
    """Other ways to read a text in which words may be hidden, with how they were hidden.

    Escapes undone; look-alike letters, letters for digits, letters apart, mark-up and hyphens
    inside words, shifted and reversed alphabets, reversed text and words, Base64 and the
    like, codes, Morse and spelling alphabets, each also under another once; and the first
    letters of lines and words. Only what differs from the text is given.
    """
    text = text[:_LONGEST]
    plain = shown(text)
    seen = {plain}
    found: list[tuple[str, str]] = []
    bare = shown(unescaped(plain))
    todo = [("escapes", bare, 0)] if bare != plain else []
    todo += [(how, view, 0) for how, view in _candidates(bare)]
    for how, view, depth in todo:
        if not view or view in seen or len(seen) > _MOST_VIEWS:
            continue
        seen.add(view)
        found.append((how, view))
        if depth == 0 and how in _ENCODED:
            # What was decoded may have been hidden before it was encoded.
            todo += [(how, inner, 1) for _, inner in _candidates(shown(unescaped(view)))]
    return tuple(found)


def romanised(text: str) -> str:
    """A text in Latin letters, as far as its letters have a sound; else as it is."""
    if text.isascii():
        return text
    return "".join(c if c.isascii() else _sound(c) for c in shown(text))


def unleeted(word: str) -> str:
    """A word with the letters that its digits may stand for."""
    return word.translate(_leet())


def skeleton(word: str) -> str:
    """The consonants of a name, the same for its usual spellings in other alphabets."""
    plain = _folded(romanised(word))
    for written, sound in _table("sounds"):
        plain = plain.replace(written, sound)
    first, rest = plain[:1], plain[1:]
    kept = first + "".join(c for c in rest if c not in "aeiouhyjw'")
    return "".join(c for i, c in enumerate(kept) if i == 0 or c != kept[i - 1])


def deletions(word: str) -> tuple[str, ...]:
    """A word and all it becomes by leaving out one character."""
    return (word, *dict.fromkeys(word[:i] + word[i + 1 :] for i in range(len(word))))


_WORDS = re.compile(r"[^\W_]+")


def _candidates(text: str) -> Iterator[tuple[str, str]]:
    if not text.isascii():
        alike = text.translate(_lookalikes())
        yield "look-alike letters", alike
        yield "look-alike letters and digits", alike.translate(_leet())
        yield "another alphabet", romanised(text)
    yield "mark-up inside words", _TAG.sub("", text)
    yield "marks inside words", _INSIDE.sub("", text)
    if any(c.isdigit() or c in "@$!|" for c in text):
        yield "digits for letters", text.translate(_leet())
        if "1" in text:
            yield "digits for letters", text.replace("1", "l").translate(_leet())
    if _SPACED.search(text):
        yield "letters apart", _together(text)
    yield "reversed text", text[::-1]
    yield "reversed words", _WORDS.sub(lambda match: match.group()[::-1], text)
    yield "ROT13", codecs.encode(text, "rot13")
    yield from decoded(text)
    lines = "".join(_LINE_START.findall(text))
    if len(lines) >= 3:
        yield "first letters of lines", lines
    read = words(text)
    firsts = "".join(word[0] for word in read)
    if len(firsts) >= 3:
        yield "first letters of words", firsts
        yield "last letters of words", "".join(word[-1] for word in read)
    if not STOP_WORDS.intersection(read):
        # No sentence: a value by itself, or words that are none yet.
        yield from shifted(text)


def _together(text: str) -> str:
    """Letters that stand apart, joined; two separators or more part words."""

    def joined(match: re.Match[str]) -> str:
        parts = re.split(r"[ ]{2,}|[ ]?[-_.*|/][ ]+[-_.*|/]?|\s[/|]\s", match.group())
        return " ".join(re.sub(r"[\W_]", "", part) for part in parts)

    return _SPACED.sub(joined, text)


def _folded(word: str) -> str:
    if word.isascii():
        return word.casefold()
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).replace("\u0142", "l")


def _has_no_blanks(word: str) -> bool:
    return not word.isascii() and any(_own_token(c) for c in word)


def _own_token(c: str) -> bool:
    code = ord(c)
    return (
        0x0E00 <= code <= 0x0FFF  # Thai, Lao, Tibetan
        or 0x1000 <= code <= 0x11FF  # Burmese; Korean letters
        or 0x1780 <= code <= 0x17FF  # Khmer
        or 0x3040 <= code <= 0x30FF  # kana
        or 0x3400 <= code <= 0x9FFF  # Han
        or 0xAC00 <= code <= 0xD7FF  # Korean syllables
        or 0x20000 <= code <= 0x3FFFF
    )


def _parts(word: str) -> Sequence[str]:
    """Characters of scripts without blanks one by one, runs of others whole."""
    found: list[str] = []
    run = ""
    for c in word:
        if _own_token(c):
            found.extend((run, c) if run else (c,))
            run = ""
        else:
            run += c
    return [*found, run] if run else found


@lru_cache(maxsize=4096)
def _sound(c: str) -> str:
    letter = unicodedata.normalize("NFKD", c.casefold())[:1] or c
    known = dict(_table("letters")).get(letter)
    if known is not None:
        return known.upper() if c.isupper() else known
    decomposed = unicodedata.normalize("NFKD", c)
    if decomposed[:1].isascii():
        return decomposed[:1]
    named = re.fullmatch(
        r"(?:KATAKANA|HIRAGANA|DEVANAGARI|BENGALI|TAMIL|TELUGU|ETHIOPIC|HANGUL)"
        r"(?: LETTER| SYLLABLE)(?: SMALL)? ([A-Z]+)",
        unicodedata.name(c, ""),
    )
    return named[1].lower() if named else c


@cache
def _spellings() -> dict[str, dict[str, str]]:
    source = files("ragshield.unlearning").joinpath("spelling.toml").read_text("utf-8")
    return tomllib.loads(source)


@cache
def _table(name: str) -> tuple[tuple[str, str], ...]:
    return tuple(_spellings()[name].items())


@cache
def _lookalikes() -> dict[int, str]:
    return str.maketrans(_spellings()["lookalikes"])


@cache
def _leet() -> dict[int, str]:
    return str.maketrans(_spellings()["leet"])
