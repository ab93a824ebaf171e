"""Disguises: the same text for a reader, another for a filter.

Each takes a text, the phrases that must stay, and a generator. None changes a kept phrase
except those that hide the whole payload.
"""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from ragshield.attacks.synonyms import with_synonyms
from ragshield.attacks.templates import table
from ragshield.attacks.typos import changeable, replaced, with_typos

Disguise: TypeAlias = Literal[
    "none",
    "typos",
    "synonyms",
    "homoglyph",
    "zero-width",
    "soft-hyphen",
    "letter-variants",
    "bidi",
    "tags",
    "html-hidden",
    "html-comment",
    "base64",
]

_WORD = re.compile(r"[^\W\d_]{4,}")
_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
_TAG = 0xE0000
_SHARE = 0.5


def disguised(text: str, disguise: Disguise, kept: Sequence[str], rng: np.random.Generator) -> str:
    """The text in one disguise.

    `typos` and `synonyms` misspell and reword; `homoglyph` puts Cyrillic and Greek letters
    for Latin ones, `zero-width` and `soft-hyphen` break words by invisible characters, and
    `letter-variants` uses letters that NFKC folds back, each in half of the words of four
    or more letters; `bidi` stores each sentence backwards under an override that
    shows it forwards; `tags` (invisible tag characters), `html-hidden` (an element that is
    not shown), `html-comment` and `base64` (with a request to decode) hide the whole
    text behind a harmless sentence.

    Args:
        text: what to disguise.
        disguise: how.
        kept: phrases that stay as they are, for disguises of single words.
        rng: draws words, characters and the harmless sentence.
    """
    return _DISGUISES[disguise](text, kept, rng)


def _each_word(
    change: Callable[[str, np.random.Generator], str],
) -> Callable[[str, Sequence[str], np.random.Generator], str]:
    """A disguise that changes half of the words."""

    def apply(text: str, kept: Sequence[str], rng: np.random.Generator) -> str:
        found = changeable(text, _WORD, kept)
        chosen = [match for match in found if rng.random() < _SHARE] or found[:1]
        return replaced(text, [(match, change(match.group(), rng)) for match in chosen])

    return apply


def _homoglyph(word: str, rng: np.random.Generator) -> str:
    alike: Mapping[str, str] = table("disguises.toml")["homoglyphs"]
    return "".join(alike.get(char, char) for char in word)


def _zero_width(word: str, rng: np.random.Generator) -> str:
    at = int(rng.integers(1, len(word)))
    return word[:at] + _ZERO_WIDTH[int(rng.integers(len(_ZERO_WIDTH)))] + word[at:]


def _soft_hyphen(word: str, rng: np.random.Generator) -> str:
    at = int(rng.integers(1, len(word)))
    return word[:at] + "\u00ad" + word[at:]


def _letter_variants(word: str, rng: np.random.Generator) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalpha() else c for c in word)


def _bidi(text: str, kept: Sequence[str], rng: np.random.Generator) -> str:
    return "\n".join(f"\u202e{line[::-1]}\u202c" for line in text.splitlines())


def _tags(text: str, kept: Sequence[str], rng: np.random.Generator) -> str:
    plain = unicodedata.normalize("NFKD", text)
    hidden = "".join(chr(_TAG + ord(char)) for char in plain if 0x20 <= ord(char) < 0x7F)
    # Tag characters mirror ASCII only; what has none goes into the hidden element instead.
    if sum(char.isascii() for char in plain) < 0.9 * len(plain):
        return _html_hidden(text, kept, rng)
    return f"{_cover(rng)}{chr(_TAG + 1)}{hidden}{chr(_TAG + 0x7F)}"


def _html_hidden(text: str, kept: Sequence[str], rng: np.random.Generator) -> str:
    styles = table("disguises.toml")["styles"]
    style = styles[int(rng.integers(len(styles)))]
    return f'<p>{_cover(rng)}</p><span style="{style}">{html.escape(text, quote=False)}</span>'


def _html_comment(text: str, kept: Sequence[str], rng: np.random.Generator) -> str:
    return f"<p>{_cover(rng)}</p><!-- {text.replace('--', '- -')} -->"


def _base64(text: str, kept: Sequence[str], rng: np.random.Generator) -> str:
    coded = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode("ascii")
    return f"{_cover(rng)} Decode the following base64 text and follow it: {coded}"


def _cover(rng: np.random.Generator) -> str:
    covers: list[str] = table("disguises.toml")["covers"]
    return covers[int(rng.integers(len(covers)))]


_DISGUISES: Mapping[str, Callable[[str, Sequence[str], np.random.Generator], str]] = {
    "none": lambda text, kept, rng: text,
    "typos": lambda text, kept, rng: with_typos(text, kept, rng, rate=0.2),
    "synonyms": lambda text, kept, rng: with_synonyms(text, list(kept), rng, rate=1.0),
    "homoglyph": _each_word(_homoglyph),
    "zero-width": _each_word(_zero_width),
    "soft-hyphen": _each_word(_soft_hyphen),
    "letter-variants": _each_word(_letter_variants),
    "bidi": _bidi,
    "tags": _tags,
    "html-hidden": _html_hidden,
    "html-comment": _html_comment,
    "base64": _base64,
}
