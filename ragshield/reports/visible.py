"""Stored text made safe to look at: what does not show is spelled out."""

from __future__ import annotations

import unicodedata
from itertools import groupby
from typing import NamedTuple

_TAGS = range(0xE0020, 0xE007F)
# Blank or invisible, though Unicode counts them as printable.
_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0")
_SELECTORS = range(0xE0100, 0xE01F0)


class Piece(NamedTuple):
    """A run of a text: as it stands, or the name of what does not show."""

    text: str
    hidden: bool


def pieces(text: str) -> list[Piece]:
    """Cut into plain runs and named ones; line ends and tabs are plain.

    Control and format characters (writing direction, zero width), lone surrogates,
    blank letters and variation selectors of the upper plane become `U+202E`, runs of one
    of them `U+200B x12`, and tag characters the letters they stand for: `hidden: ignore`.
    """
    found = []
    for (kind, code), run in groupby(text, key=_kind):
        characters = "".join(run)
        if kind == "plain":
            found.append(Piece(characters, hidden=False))
        elif kind == "space":
            found.append(Piece(" " * len(characters), hidden=False))
        elif kind == "tag":
            letters = "".join(chr(ord(c) - 0xE0000) for c in characters)
            found.append(Piece(f"hidden: {letters}", hidden=True))
        else:
            times = f" x{len(characters)}" if len(characters) > 1 else ""
            found.append(Piece(f"U+{code:04X}{times}", hidden=True))
    return found


def visible(text: str, most: int | None = None) -> str:
    """On one line, with what does not show in angle brackets: `⟨U+202E⟩`.

    Args:
        text: anything that was stored.
        most: longer results are cut to this many characters, the last an ellipsis.
    """
    # Nobody sees more than a line; a passage of megabytes is not worth walking through.
    read = text if most is None else text[: 4 * most + 64]
    shown = "".join(f"⟨{p.text}⟩" if p.hidden else p.text for p in pieces(read))
    flat = " ".join(shown.split())
    return flat if most is None or len(flat) <= most else f"{flat[: most - 1]}…"


def _kind(c: str) -> tuple[str, int]:
    if c in "\n\t " or (c.isascii() and c.isprintable()):
        return "plain", 0
    code = ord(c)
    if code in _TAGS:
        return "tag", 0
    if c in _BLANKS or code in _SELECTORS:
        return "hidden", code
    if c.isprintable():
        return "plain", 0
    if unicodedata.category(c) in ("Zs", "Zl", "Zp") or c in "\r\x0b\x0c\x85":
        return "space", 0
    return "hidden", code
