"""What a text holds that a person does not see: characters, markup and encoded payloads."""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote

from ragshield.screens.wordings import LOOK_ALIKE, LOOK_ALIKES


@dataclass(frozen=True, slots=True)
class Concealed:
    """One thing that is hidden.

    Attributes:
        kind: short name, for evidence.
        says: what it is, in words.
        weight: suspicion from this alone, in (0, 1), were its content harmless.
        content: what is hidden, readable; empty where only the hiding is seen.
    """

    kind: str
    says: str
    weight: float
    content: str = ""


_MAX_ELEMENTS = 2000
_MAX_CONTENT = 2000

_IN_WORD = re.compile("(?<=[A-Za-z])[\u200b-\u200d\u2060-\u2064\ufeff\u180e]+(?=[A-Za-z])")
_LONG_UNSEEN = re.compile("[\u200b-\u200d\u2060-\u2064\ufeff\u180e]{8,}")
_SOFT_HYPHEN = re.compile("(?<=[A-Za-z])\u00ad+(?=[A-Za-z])")
_OVERRIDE = re.compile("[\u202d\u202e]")
_EMBEDDING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_TAGS = re.compile("[\U000e0020-\U000e007e]+\U000e007f?")
_FLAG = "\U0001f3f4"
_SELECTORS = re.compile("[\ufe00-\ufe0f]{2,}|[\U000e0100-\U000e01ef]+")
_IDEOGRAPH = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_WORD = re.compile("[A-Za-z\u0261\u0370-\u04ff\u0501\u051b]{3,40}")
_LATIN = re.compile("[A-Za-z]")
_CYRILLIC_WORD = re.compile("[\u0400-\u04ff]{4,}")
_PROSE_WORDS = 5
_GREEK = re.compile("[\u0370-\u03ff]")
_STYLED = re.compile("[\U0001d400-\U0001d7ff\uff21-\uff3a\uff41-\uff5a\u24b6-\u24e9]{3,}")
_WIDE_SCRIPT = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_CONCEAL = re.compile("\x1b\\[(?:8|0?;?8)m")

_LINK_COMMENT = re.compile(
    r"^ {0,3}\[[^\]\n]{1,40}\]: *(?:#|<>) *[\"'(]([^\n]{1,1000})[\"')] *$", re.M
)
_HIDING_STYLE = re.compile(
    r"(?:display ?: ?none|visibility ?: ?hidden|font-size ?: ?0(?:px|pt|em|rem|%)?(?![\d.])|"
    r"opacity ?: ?0(?:\.0+)?(?![\d.])|(?:text-indent|left|top|margin-left) ?: ?-\d{3,}|"
    r"(?:max-)?(?:height|width) ?: ?0(?:px)? ?; ?overflow ?: ?hidden)",
    re.I,
)
_WHITE = re.compile(
    r"(?<![-\w])color ?[:=] ?[\"']?(?:#fff(?:fff)?\b|white\b|#f[c-f]f[c-f]f[c-f]\b|transparent\b|"
    r"rgba?\( ?255, ?255, ?255|rgba\([^)]{1,30}, ?0(?:\.0+)? ?\))",
    re.I,
)
_COLOUR = r"\s*:\s*([#\w(),. ]{3,40}?)\s*;"
_SAME_COLOUR = re.compile(
    rf"(?<![-\w])color{_COLOUR}.{{0,200}}?background(?:-color)?\s*:\s*\1\s*(?:[;\"']|$)"
    rf"|background(?:-color)?{_COLOUR}.{{0,200}}?(?<![-\w])color\s*:\s*\2\s*(?:[;\"']|$)",
    re.IGNORECASE | re.S,
)
_MANY_WORDS = 12
_MUCH = 0.4
_BACKGROUND = re.compile(r"background(?:-color|-image)? ?[:=]|bgcolor ?=", re.I)
_OPENING = re.compile(r"<([a-z][a-z0-9]{0,9})\b([^<>]{1,1000})>", re.I)
_TAG = re.compile(r"<[^<>]{1,400}>")
_HIDDEN_ATTRIBUTE = re.compile(r"(?:^|\s)hidden(?:\s|=|/|$)", re.I)
_NO_TEXT = frozenset("script style input link meta svg path iframe img table".split())

_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{24,200000}={0,2}(?![A-Za-z0-9+/_=-])")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:0x)?(?:[0-9a-fA-F]{2}){16,100000}(?![0-9A-Za-z])")
_ESCAPED = re.compile(r"(?:\\x[0-9a-fA-F]{2}){12,4000}|(?:\\u00[0-9a-fA-F]{2}){12,4000}")
_ENTITIES = re.compile(r"(?:&#(?:x[0-9a-f]{2}|\d{2,3});){12,4000}", re.I)
_PERCENT = re.compile(r"(?:%[2-7][0-9a-fA-F]){12,4000}")
_SHORTEST_CODE = 24
"""Fewest characters, none of them a blank, that any of these patterns match."""
_SPEECH = re.compile(r"[A-Za-z]{2,}")


def concealed(text: str) -> Iterator[Concealed]:
    """Everything hidden in a text; time grows with its length and no faster."""
    if not text.isascii():
        yield from _characters(text)
        yield from _letters(text)
    if "\x1b" in text and _CONCEAL.search(text):
        yield Concealed("terminal", "switches a terminal to concealed text", 0.6)
    if "<" in text or "]:" in text:
        yield from _markup(text)
    yield from _encoded(text)


def _characters(text: str) -> Iterator[Concealed]:
    in_word = _IN_WORD.findall(text)
    if in_word:
        # One may have come with a copied link or a line break; several never do.
        weight = 0.4 if len(in_word) == 1 else 0.7 if len(in_word) < 4 else 0.9
        yield Concealed("zero-width", f"zero-width marks inside words ({len(in_word)})", weight)
    for run in _LONG_UNSEEN.findall(text)[:4]:
        yield Concealed(
            "zero-width-run", f"zero-width marks in a row ({len(run)})", 0.8, _bits(run)
        )
    n_hyphens = len(_SOFT_HYPHEN.findall(text))
    if n_hyphens:
        weight = min(0.1 + 0.02 * n_hyphens, 0.4)  # typesetters use them honestly
        yield Concealed("soft-hyphen", f"soft hyphens inside words ({n_hyphens})", weight)
    n_override = len(_OVERRIDE.findall(text))
    if n_override and not _RIGHT_TO_LEFT.search(text):
        yield Concealed("bidi", "overrides of the writing direction amid left-to-right text", 0.85)
    elif n_override:
        yield Concealed("bidi", "overrides of the writing direction", 0.4)
    elif _EMBEDDING.search(text) and not _RIGHT_TO_LEFT.search(text):
        yield Concealed("bidi", "marks of the writing direction amid left-to-right text", 0.4)
    for run in _TAGS.finditer(text):
        before = text[max(0, run.start() - 1) : run.start()]
        if before == _FLAG and run.group().endswith("\U000e007f") and len(run.group()) <= 8:
            continue  # the flag of Scotland
        hidden = "".join(chr(ord(c) - 0xE0000) for c in run.group() if ord(c) < 0xE007F)
        yield Concealed("tag-characters", "text in invisible tag characters", 0.9, hidden)
    for run in _SELECTORS.finditer(text):
        before = text[max(0, run.start() - 1) : run.start()]
        if len(run.group()) == 1 and _IDEOGRAPH.match(before):
            continue  # a variant of an ideograph
        weight = 0.9 if len(run.group()) >= 4 else 0.5
        says = f"variation selectors where none belongs ({len(run.group())})"
        yield Concealed("variation-selectors", says, weight, _selected(run.group()))


def _letters(text: str) -> Iterator[Concealed]:
    mixed = []
    disguised = LOOK_ALIKE.search(text) is not None
    cyrillic = disguised and len(_CYRILLIC_WORD.findall(text)) >= _PROSE_WORDS
    for match in _WORD.finditer(text) if disguised else ():
        word = match.group()
        foreign = [c for c in word if not _LATIN.match(c)]
        if not foreign or len(foreign) == len(word):
            continue
        together = "".join(foreign)
        at_edge = word.startswith(together) or word.endswith(together)
        # A Latin stem with a Cyrillic ending, or a Greek letter before a unit or a name, is
        # no disguise.
        honest = at_edge and (len(foreign) > 1 or cyrillic or _GREEK.match(together))
        if all(c in LOOK_ALIKES for c in foreign) and not honest:
            mixed.append(word)
    if mixed:
        weight = 0.5 if len(mixed) == 1 else 0.75 if len(mixed) < 4 else 0.9
        says = f"look-alike letters of another script inside Latin words ({len(mixed)})"
        yield Concealed("look-alikes", says, weight, " ".join(mixed[:12]))
    styled = _STYLED.findall(text)
    if styled and not _WIDE_SCRIPT.search(text):
        plain = [unicodedata.normalize("NFKC", word) for word in styled]
        said = " ".join(word for word in plain if len(_SPEECH.findall(word)) == 1)
        if len(said.split()) >= 3:
            yield Concealed(
                "styled-letters", "words in mathematical or full-width letters", 0.6, said
            )


def _markup(text: str) -> Iterator[Concealed]:
    start = text.find("<!--")
    while start >= 0 and (end := text.find("-->", start + 4)) >= 0:
        content = text[start + 4 : end].strip()[:_MAX_CONTENT]
        yield Concealed("comment", "a comment in the markup", 0.05, content)
        start = text.find("<!--", end + 3)
    for match in _LINK_COMMENT.finditer(text):
        yield Concealed("comment", "a comment in the markup", 0.1, match.group(1).strip())
    for match in islice(_OPENING.finditer(text), _MAX_ELEMENTS):
        name, attributes = match.group(1).lower(), match.group(2)
        if name in _NO_TEXT:
            continue
        content = _content(text, match.end(), name)
        # Folded-away menus and notes are hidden honestly; what they say decides, and how
        # much: a page does not hide most of what it says.
        much = len(content.split()) >= _MANY_WORDS and len(content) >= _MUCH * len(text)
        if _HIDING_STYLE.search(attributes):
            weight = 0.6 if much else 0.3
            yield Concealed("hiding-style", "text with a style that hides it", weight, content)
        elif _SAME_COLOUR.search(attributes):
            yield Concealed("invisible-colour", "text in its background's colour", 0.6, content)
        elif _WHITE.search(attributes) and not _BACKGROUND.search(attributes):
            weight = 0.6 if much else 0.4
            yield Concealed("invisible-colour", "text in the colour of the page", weight, content)
        elif _HIDDEN_ATTRIBUTE.search(attributes):
            yield Concealed("hidden-attribute", "text marked as hidden", 0.2, content)


def _content(text: str, start: int, name: str) -> str:
    """The text of an element, up to its end tag or its limit."""
    part = text[start : start + _MAX_CONTENT]
    end = part.lower().find(f"</{name}")
    return " ".join(html.unescape(_TAG.sub(" ", part[:end] if end >= 0 else part)).split())


def _encoded(text: str) -> Iterator[Concealed]:
    # Whatever is encoded stands in one piece; most texts hold none so long.
    if len(text) < _SHORTEST_CODE or max(map(len, text.split()), default=0) < _SHORTEST_CODE:
        return
    for match in _BASE64.finditer(text):
        said = _spoken(_from_base64(match.group()))
        if said:
            yield Concealed("base64", "words encoded in base64", 0.65, said)
    for match in _HEX.finditer(text):
        said = _spoken(bytes.fromhex(match.group().removeprefix("0x")))
        if said:
            yield Concealed("hex", "words encoded in hexadecimal", 0.65, said)
    for match in _ESCAPED.finditer(text) if "\\" in text else ():
        pairs = re.findall(r"([0-9a-fA-F]{2})(?=\\|$)", match.group().replace("\\u00", "\\x"))
        said = _spoken(bytes.fromhex("".join(pairs)))
        if said:
            yield Concealed("escapes", "words written as character escapes", 0.5, said)
    for match in _ENTITIES.finditer(text) if "&#" in text else ():
        said = _spoken(html.unescape(match.group()).encode("utf-8", "replace"))
        if said:
            yield Concealed("entities", "words written as character references", 0.5, said)
    for match in _PERCENT.finditer(text) if "%" in text else ():
        said = _spoken(unquote(match.group()).encode("utf-8", "replace"))
        if said:
            yield Concealed("percent", "words in percent-encoding", 0.5, said)


def _from_base64(run: str) -> bytes:
    run = run.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(run + "=" * (-len(run) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _spoken(data: bytes) -> str:
    """The decoded text if it is three words or more and nearly all letters; else nothing."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    letters = sum(c.isalpha() or c in " .,:;!?'\"-\n" for c in text)
    words = [word for word in text.split() if word.strip(".,:;!?'\"()").isalpha()]
    if letters < 0.9 * len(text) or len(words) < 3:
        return ""
    return " ".join(text.split())


def _selected(run: str) -> str:
    """Bytes smuggled in variation selectors, if they are text."""
    data = bytes(
        ord(c) - 0xFE00 if ord(c) < 0xFE10 else min(ord(c) - 0xE0100 + 16, 255) for c in run
    )
    text = data.decode("utf-8", "replace")
    return text if len(text) >= 3 and text.isprintable() else ""


def _bits(run: str) -> str:
    """Letters written with two kinds of zero-width marks as bits, if they are text."""
    kinds = sorted(set(run))
    if len(kinds) != 2 or len(run) % 8:
        return ""
    for zero in kinds:
        bits = "".join("0" if c == zero else "1" for c in run)
        text = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)).decode(
            "utf-8", "replace"
        )
        if text.isascii() and text.isprintable():
            return text
    return ""
