"""Undoing what texts are encoded in: escapes, Base64, codes, spelling alphabets, shifts."""

from __future__ import annotations

import base64
import binascii
import html
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from urllib.parse import unquote

_MOST_SHIFTED = 400
_REFERENCE = re.compile(r"&#?\w{2,31};")
_UNICODE = re.compile(
    r"\\u([0-9a-fA-F]{4})|\\[uU]\{?([0-9a-fA-F]{4,8})\}?|"
    r"U\+([0-9a-fA-F]{4,6})[ ,]?|\\x([0-9a-fA-F]{2})"
)
_CONTROL = re.compile(r"\\[nrt]")
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}")
_PRINTABLE = re.compile(r"(?:=[0-9A-F]{2})+")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{4,}={0,2}(?![A-Za-z0-9+/_=-])")
_BASE32 = re.compile(r"(?<![A-Za-z0-9=])[A-Z2-7]{8,}={0,6}(?![A-Za-z0-9=])")
_HEX = re.compile(r"(?:(?:0x|\\x|%)?[0-9a-fA-F]{2}[ ,:]?){3,}")
_CODES = re.compile(r"(?:\b\d{1,3}\b[ ,;-]*){3,}")
_BITS = re.compile(r"(?:\b[01]{7,8}\b[ ,]*){3,}")
_MORSE = re.compile(
    r"(?:[.\-\u2212\u2013\u2022\u00b7]{1,5}[ /|]+){2,}[.\-\u2212\u2013\u2022\u00b7]{1,5}"
)
_WORD = re.compile(r"[^\W\d_]+")
_ONLY_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


def unescaped(text: str) -> str:
    """A text without references, escapes, percent and quoted-printable codes, three deep."""
    for _ in range(3):
        before = text
        if "&" in text and _REFERENCE.search(text):
            text = html.unescape(text)
        if "\\" in text or "U+" in text:
            text = _without_escapes(text)
        if "%" in text and _PERCENT.search(text):
            text = unquote(text, errors="ignore")
        if "=" in text:
            text = _PRINTABLE.sub(_quoted_printable, text)
        if text == before:
            break
    return text


def decoded(text: str) -> Iterator[tuple[str, str]]:
    """The text with what is encoded in it made readable, in each way that yields words."""
    for how, pattern, read in _WAYS:
        view = _replaced(text, pattern, read)
        if view != text:
            yield how, view
    spelled = _spelled(text)
    if spelled:
        yield "a spelling alphabet", spelled
    whole = "".join(text.split())
    if whole != text and _ONLY_BASE64.fullmatch(whole):
        yield "Base64", _base64(whole)


def _replaced(text: str, pattern: re.Pattern[str], read: Callable[[str], str]) -> str:
    return pattern.sub(lambda match: read(match.group()) or match.group(), text)


def shifted(text: str) -> Iterator[tuple[str, str]]:
    """A short text under every shift of the alphabet but ROT13, and the alphabet reversed."""
    if len(text) > _MOST_SHIFTED or not text.isascii():
        return
    letters = "abcdefghijklmnopqrstuvwxyz"
    for n in range(1, 26):
        if n != 13:
            yield "shifted letters", text.translate(_table(letters[n:] + letters[:n]))
    yield "the alphabet reversed", text.translate(_table(letters[::-1]))


@cache
def _table(letters: str) -> dict[int, int]:
    plain = "abcdefghijklmnopqrstuvwxyz"
    return str.maketrans(plain + plain.upper(), letters + letters.upper())


def _without_escapes(text: str) -> str:
    plain = _UNICODE.sub(lambda match: chr(int(match[match.lastindex or 1], 16) % 0x110000), text)
    plain = _CONTROL.sub(" ", plain)
    # Two escapes of one character (surrogates) are joined; a lone one is dropped.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")


def _quoted_printable(match: re.Match[str]) -> str:
    raw = bytes.fromhex(match.group().replace("=", ""))
    return _printable(raw) or match.group()


def _base64(token: str) -> str:
    bare = token.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _printable(base64.b64decode(bare + "=" * (-len(bare) % 4)))
    except (binascii.Error, ValueError):
        return ""


def _base32(token: str) -> str:
    bare = token.rstrip("=")
    try:
        return _printable(base64.b32decode(bare + "=" * (-len(bare) % 8)))
    except (binascii.Error, ValueError):
        return ""


def _hex(token: str) -> str:
    digits = re.sub(r"0x|\\x|[^0-9a-fA-F]", "", token)
    return _printable(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _codes(token: str) -> str:
    codes = [int(n) for n in re.findall(r"\d+", token)]
    if all(32 <= code < 127 for code in codes):
        return "".join(map(chr, codes))
    # Places in the alphabet: 1 is A.
    return "".join(chr(96 + n) for n in codes) if all(1 <= n <= 26 for n in codes) else ""


def _bits(token: str) -> str:
    return _printable(bytes(int(bits, 2) for bits in re.findall(r"[01]{7,8}", token)))


def _morse(token: str) -> str:
    plain = re.sub(r"[\u2212\u2013]", "-", re.sub(r"[\u2022\u00b7]", ".", token.strip()))
    words = re.split(r"\s*[/|]\s*|\s{2,}", plain)
    codes = _alphabets()["morse"]
    return " ".join("".join(codes.get(mark, "") for mark in word.split()) for word in words)


def _spelled(text: str) -> str:
    """Letters named by words, "Sierra Uniform November", in runs of three or more."""
    names = _alphabets()["spelling_alphabet"]
    read: list[str] = []
    run: list[str] = []
    for word in [*_WORD.findall(text.replace("-ray", "ray")), ""]:
        letter = names.get(word.casefold())
        if letter:
            run.append(letter)
        else:
            read.append("".join(run) if len(run) >= 3 else "")
            run = []
    return " ".join(part for part in read if part)


def _printable(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    readable = sum(c.isalnum() or c in " .,'-" for c in text)
    return text if len(text) >= 3 and readable >= 0.8 * len(text) else ""


_WAYS: tuple[tuple[str, re.Pattern[str], Callable[[str], str]], ...] = (
    ("Base64", _BASE64, _base64),
    ("Base32", _BASE32, _base32),
    ("hexadecimal", _HEX, _hex),
    ("bits", _BITS, _bits),
    ("character codes", _CODES, _codes),
    ("Morse code", _MORSE, _morse),
)


@cache
def _alphabets() -> dict[str, dict[str, str]]:
    source = files("ragshield.unlearning").joinpath("spelling.toml").read_text("utf-8")
    tables = tomllib.loads(source)
    return {
        "morse": {code: letter for letter, code in tables["morse"].items()},
        "spelling_alphabet": tables["spelling_alphabet"],
    }
