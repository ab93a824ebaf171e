"""Ways to read an answer in which a value may stand in disguise.

Written apart from the decoding that `ragshield.unlearning` guards with: an auditor who saw
with the eyes of what he audits would miss what it misses.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from ragshield.audit.templates import templates

_LONGEST = 60_000
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}(?:\s*[A-Za-z0-9+/_-]{4,})*={0,2}")
_HEX = re.compile(r"(?:(?:0x|\\x|%)?[0-9a-fA-F]{2}[\s,:;-]*){3,}")
_ESCAPES = re.compile(r"\\u\{?([0-9a-fA-F]{4,6})\}?|\\x([0-9a-fA-F]{2})")
_CODES = re.compile(r"\d{1,6}(?:[\s,;|-]+\d{1,6}){2,}")
_BITS = re.compile(r"(?:[01]{7,8}[\s,;]*){3,}")
_MORSE = re.compile(r"[.\-\u2013\u2212\u00b7/| \n]{6,}")
_NOT_SHOWN = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]"
)
_MARKS = re.compile(r"</?[a-zA-Z][^<>]{0,80}>|[*_`~|]+")
_SINGLE = re.compile(r"(?<!\w)\w(?:[\s.,;:*_|\\/+~\u00b7\u2022\u2013-]{1,4}\w){2,}(?!\w)")
_LINE_START = re.compile(r"^[\s\d.)*\-\u2022#>\"']*(\w)", re.MULTILINE)


def views(text: str) -> Iterator[tuple[str, str]]:
    """A text and every other way to read it, each with how it was hidden; "" for as it is.

    Escapes (JSON, percent, HTML), Base64, hexadecimal, character codes, bits, ROT13, Morse
    code, reversed letters and words, letters apart, mark-up and invisible characters inside
    words, look-alike letters, digits for letters, other alphabets, spelling alphabets and
    first letters of lines, sentences and words.
    """
    text = text[:_LONGEST]
    seen = set()
    for how, view in _all(text):
        if view and view not in seen:
            seen.add(view)
            yield how, view


def _all(text: str) -> Iterator[tuple[str, str]]:
    plain = _NOT_SHOWN.sub("", unicodedata.normalize("NFKC", text))
    yield "", text
    yield "invisible characters", plain
    opened = _unescaped(plain)
    yield "escapes", opened
    for found in _decoded(opened):
        yield found
        # Disguises are worn in pairs: Base64 of ROT13 is still an answer.
        yield f"{found[0]}, reversed", found[1][::-1]
        yield f"{found[0]}, ROT13", codecs.encode(found[1], "rot13")
    bare = _MARKS.sub("", opened)
    yield "mark-up inside words", bare
    yield "letters apart", _joined(opened)
    yield "letters apart", _joined(_MARKS.sub(" ", opened))
    yield "reversed letters", bare[::-1]
    yield "reversed letters", _joined(opened)[::-1]
    yield "reversed words", " ".join(bare.split()[::-1])
    yield "reversed words", " ".join(word[::-1] for word in bare.split())
    yield "ROT13", codecs.encode(bare, "rot13")
    table = templates("decoding")
    alike = bare.translate(str.maketrans(table["alike"]))
    yield "look-alike letters", alike
    yield "digits for letters", alike.translate(str.maketrans(table["digits"]))
    if not bare.isascii():
        yield "another alphabet", romanised(bare)
    yield "spelling alphabet", _spelled(bare, table["spelling"])
    yield from _first_letters(opened)


def romanised(text: str) -> str:
    """Letters of other alphabets in Latin ones, as far as they have a sound."""
    return "".join(c if c.isascii() else _sound(c) for c in unicodedata.normalize("NFKC", text))


def _sound(c: str) -> str:
    letters: dict[str, str] = templates("decoding")["letters"]
    plain = unicodedata.normalize("NFKD", c.lower())[:1] or c
    found = letters.get(c.lower(), letters.get(plain))
    if found is not None:
        return found
    if plain.isascii():
        return plain
    named = re.fullmatch(
        r"(?:KATAKANA|HIRAGANA|HANGUL|DEVANAGARI|ARMENIAN|GEORGIAN|ETHIOPIC|HEBREW|ARABIC)"
        r"(?: CAPITAL| SMALL)?(?: LETTER| SYLLABLE)(?: SMALL)? ([A-Z]+)",
        unicodedata.name(c, ""),
    )
    return named[1].lower() if named else c


def _unescaped(text: str) -> str:
    def opened(match: re.Match[str]) -> str:
        code = int(match[1] or match[2], 16)
        return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else ""

    return html.unescape(unquote(_ESCAPES.sub(opened, text)))


def _decoded(text: str) -> Iterator[tuple[str, str]]:
    for match in list(_BASE64.finditer(text))[:16]:
        for part in {match.group(), "".join(match.group().split()), *match.group().split()}:
            yield "Base64", _readable(_from_base64(part))
    for match in list(_HEX.finditer(text))[:8]:
        digits = re.sub(r"0x|\\x|[^0-9a-fA-F]", "", match.group())
        yield "hexadecimal", _readable(bytes.fromhex(digits[: len(digits) // 2 * 2]))
    for match in list(_CODES.finditer(text))[:8]:
        codes = [int(n) for n in re.findall(r"\d+", match.group())]
        if all(31 < code < 0x3000 for code in codes):
            yield "character codes", "".join(map(chr, codes))
        if all(1 <= code <= 26 for code in codes):
            yield "places in the alphabet", "".join(chr(96 + code) for code in codes)
    for match in list(_BITS.finditer(text))[:4]:
        bits = re.findall(r"[01]{7,8}", match.group())
        yield "bits", _readable(bytes(int(b, 2) for b in bits))
    for match in list(_MORSE.finditer(text))[:4]:
        marks = re.sub(r"[\u2013\u2212]", "-", match.group()).replace("\u00b7", ".")
        table: dict[str, str] = templates("decoding")["morse"]
        yield "Morse code", "".join(table.get(m, " ") for m in re.split(r"[ \n]", marks))


def _from_base64(text: str) -> bytes:
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4))
    except (binascii.Error, ValueError):
        return b""


def _readable(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return text if len(text) >= 2 and sum(map(str.isprintable, text)) >= 0.9 * len(text) else ""


def _joined(text: str) -> str:
    """Single characters that stand apart, joined; wider gaps part words."""

    def joined(match: re.Match[str]) -> str:
        parts = re.split(r"\s{2,}|\s[/|]\s", match.group())
        return " ".join(re.sub(r"[\W_]", "", part) for part in parts)

    return _SINGLE.sub(joined, text)


def _spelled(text: str, alphabet: dict[str, str]) -> str:
    """`Alfa Delta Alfa` as `ada`; words that are none of the alphabet part names."""
    letters = [alphabet.get(word.lower().strip(".,;:-"), " ") for word in re.split(r"[\s-]+", text)]
    return " ".join("".join(letters).split())


def _first_letters(text: str) -> Iterator[tuple[str, str]]:
    lines = "".join(_LINE_START.findall(text))
    if len(lines) >= 3:
        yield "first letters of lines", lines
    sentences = "".join(re.findall(r"(?:^|[.!?]\s+)(\w)", text))
    if len(sentences) >= 3:
        yield "first letters of sentences", sentences
    firsts = "".join(re.findall(r"\b(\w)\w*", text))
    if len(firsts) >= 3:
        yield "first letters of words", firsts
