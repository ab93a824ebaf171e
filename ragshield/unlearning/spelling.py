"""How a name may be written: folded words, other alphabets, and ways to hide them."""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from ragshield.text import words

_LONGEST = 40_000
_MOST_VIEWS = 24
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_HEX = re.compile(r"(?:(?:0x|\\x|%)?[0-9a-fA-F]{2}[ ,:]?){4,}")
_CODES = re.compile(r"(?:\b\d{2,3}\b[ ,;-]*){4,}")
_BITS = re.compile(r"(?:\b[01]{8}\b[ ,]*){3,}")
_SPACED = re.compile(r"(?<!\w)(?:\w[ ._*|\-\u00b7/+~]{1,3}){3,}\w(?!\w)")
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,80}>|[*_`~|\u00ad]+")
_LINE_START = re.compile(r"^[\s\d.)*\-\u2022#>]*(\w)", re.MULTILINE)
_MORSE = re.compile(r"(?:[.\-\u2212\u2013]{1,5}[ /|]+){3,}[.\-\u2212\u2013]{1,5}")


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


def views(text: str) -> Iterator[tuple[str, str]]:
    """Other ways to read a text in which words may be hidden, with how they were hidden.

    Look-alike letters, letters for digits, letters apart, mark-up inside words, ROT13,
    reversed text, Base64, hexadecimal, character codes, bits, Morse code, and the first
    letters of lines, sentences and words. Only what differs from the text is given.
    """
    text = shown(text[:_LONGEST])
    seen = {text}
    for how, view in _candidates(text):
        if view and view not in seen and len(seen) <= _MOST_VIEWS:
            seen.add(view)
            yield how, view


def romanised(text: str) -> str:
    """A text in Latin letters, as far as its letters have a sound; else as it is."""
    if text.isascii():
        return text
    return "".join(c if c.isascii() else _sound(c) for c in shown(text))


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
    bare = _TAG.sub("", text)
    yield "mark-up inside words", bare
    if any(c.isdigit() or c in "@$!|" for c in text):
        yield "digits for letters", text.translate(_leet())
    if _SPACED.search(text):
        yield "letters apart", _together(text)
    yield "reversed text", text[::-1]
    yield "ROT13", codecs.encode(text, "rot13")
    yield from _decoded(text)
    lines = "".join(_LINE_START.findall(text))
    if len(lines) >= 3:
        yield "first letters of lines", lines
    firsts = "".join(word[0] for word in words(text))
    if len(firsts) >= 3:
        yield "first letters of words", firsts


def _decoded(text: str) -> Iterator[tuple[str, str]]:
    for match in list(_BASE64.finditer(text))[:8]:
        yield "Base64", _printable(_base64(match.group()))
    for match in list(_HEX.finditer(text))[:4]:
        digits = re.sub(r"0x|\\x|[^0-9a-fA-F]", "", match.group())
        yield "hexadecimal", _printable(_unhexed(digits))
    for match in list(_BITS.finditer(text))[:4]:
        yield "bits", _printable(bytes(int(b, 2) for b in re.findall(r"[01]{8}", match.group())))
    for match in list(_CODES.finditer(text))[:4]:
        codes = [int(n) for n in re.findall(r"\d+", match.group())]
        if all(32 <= code < 127 for code in codes):
            yield "character codes", "".join(map(chr, codes))
    for match in list(_MORSE.finditer(text))[:2]:
        marks = re.split(r"[ ]+", re.sub(r"[\u2212\u2013]", "-", match.group().strip()))
        yield "Morse code", "".join(_morse().get(m, " ") for m in marks)


def _together(text: str) -> str:
    """Letters that stand apart, joined; two separators or more part words."""

    def joined(match: re.Match[str]) -> str:
        parts = re.split(r"[ ]{2,}|\s[/|]\s", match.group())
        return " ".join(re.sub(r"[\W_]", "", part) for part in parts)

    return _SPACED.sub(joined, text)


def _base64(text: str) -> bytes:
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4))
    except (binascii.Error, ValueError):
        return b""


def _unhexed(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits[: len(digits) // 2 * 2])
    except ValueError:
        return b""


def _printable(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    readable = sum(c.isalnum() or c in " .,'-" for c in text)
    return text if len(text) >= 3 and readable >= 0.8 * len(text) else ""


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


@cache
def _morse() -> dict[str, str]:
    return {code: letter for letter, code in _spellings()["morse"].items()}
