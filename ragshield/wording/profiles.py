"""What one text shows by itself: its words, and how unlike a document it reads."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from ragshield.text import STOP_WORDS

HEAD_CHARS = 12_000
"""Longer texts are read from both ends, this much from each: no honest chunk is longer,
and an encoder sees far less."""

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_PIECE = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[^\w\s]")
# Invisible marks between Latin letters (Persian, Indic, Hebrew and emoji need some of them
# elsewhere), overrides of the writing direction, tag characters.
_HIDDEN = re.compile(
    "(?<=[A-Za-z])[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]+(?=[A-Za-z])|[\u202d\u202e\U000e0020-\U000e007f]"
)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff\u202d\u202e\U000e0020-\U000e007f]")
_FOREIGN = re.compile("[\u0370-\u04ff]")
# A Latin word with a Cyrillic or Greek letter in it.
_MIXED = re.compile("[a-z][\u0370-\u04ff]+[a-z]|\\b[\u0370-\u04ff][a-z]{2}", re.I)
_MARKUP = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0\b|<!--", re.I
)
_ENDS = frozenset(".!?")
_EDITED = (
    "the and for with that from was were which this have after also first their there been "
    "into between during about because through before other where while they would when who "
    "more than had has his her its are not"
).split()
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a text shows without its neighbours.

    Attributes:
        stems: word stems in order.
        n_words: number of words.
        soup: longest run of words with no function word and no punctuation mark.
        typos: share of words that are one edit away from a function word and no words;
            the first one is forgiven.
        instruction: number of instruction patterns that match.
        request: 1 if a sentence asks for something in the imperative, else 0.
        refusal: number of refusal patterns that match.
        insistence: number of insistence patterns that match.
        emphasis: number of words that present a claim as surprising or beyond doubt.
        hidden: number of invisible characters and hiding styles.
        n_questions: number of sentences that end in a question mark.
        asks_first: whether its first sentence is a question, as in an FAQ.
        praise: number of words that praise or stress instead of stating.
        adverbs: number of other adverbs in -ly.
        marks: stems of names and numbers, in order; what opens a sentence counts as a
            name only before another capital.
    """

    stems: tuple[str, ...]
    n_words: int
    soup: int
    typos: float
    instruction: int
    request: int
    refusal: int
    insistence: int
    emphasis: int
    hidden: int
    n_questions: int
    asks_first: bool
    praise: int
    adverbs: int
    marks: tuple[str, ...]


@lru_cache(maxsize=4096)
def profile(text: str) -> Profile:
    """Read one text. Cached: a store returns the same passages again and again."""
    if len(text) > 2 * HEAD_CHARS:
        text = f"{text[:HEAD_CHARS]} {text[-HEAD_CHARS:]}"
    hidden = len(_MARKUP.findall(text)) if ":" in text or "<" in text else 0
    plain = text
    if not text.isascii():
        # One character of them is looked for first: these patterns are slow, and most texts
        # hold none.
        if _FOREIGN.search(text):
            hidden += len(_MIXED.findall(text))
        if _INVISIBLE.search(text):
            hidden += len(_HIDDEN.findall(text))
            plain = _HIDDEN.sub("", text)
        plain = unicodedata.normalize("NFKC", plain)
    straight = plain.replace("\u2019", "'")
    cased = _PIECE.findall(straight)
    flat = " ".join(straight.lower().split())
    words = list(map(_word, cased))
    needs = longest = run = 0
    stems: list[str] = []
    special: list[int] = []
    for i, (root, in_soup, is_special, alarms) in enumerate(words):
        if root is not None:
            stems.append(root)
        if in_soup:
            run += 1
            if run > longest:
                longest = run
        elif in_soup is False:
            run = 0
        if is_special:
            special.append(i)
        needs |= alarms
    patterns = _patterns().by_name

    def n_matching(name: str) -> int:
        return sum(1 for bit, pattern in patterns[name] if needs & bit and pattern.search(flat))

    seen = [_oddity(cased[i]) for i in special]
    n_typos = sum(odd.typo for odd in seen)
    return Profile(
        stems=tuple(stems),
        n_words=len(stems),
        soup=longest,
        typos=max(n_typos - 1, 0) / len(stems) if stems else 0.0,
        instruction=n_matching("instruction"),
        request=n_matching("request"),
        refusal=n_matching("refusal"),
        insistence=n_matching("insistence"),
        emphasis=sum(
            len(pattern.findall(flat)) for bit, pattern in patterns["emphasis"] if needs & bit
        ),
        hidden=hidden,
        n_questions=flat.count("?"),
        asks_first=next((piece == "?" for piece in cased if piece in _ENDS), False),
        praise=sum(odd.praise for odd in seen),
        adverbs=sum(odd.adverb for odd in seen),
        marks=_marks(cased, special, words),
    )


class _Oddity(NamedTuple):
    praise: bool
    adverb: bool
    typo: bool
    name: bool
    number: bool


@lru_cache(maxsize=32768)
def _word(piece: str) -> tuple[str | None, bool | None, bool, int]:
    """What a piece of text shows by itself, looked up once for each distinct piece.

    Returns:
        Its stem (None: no word); whether it lengthens a run of soup (False: ends one,
        None: neither); whether `_oddity` has something to say; the patterns it calls for,
        as bits.
    """
    lower = piece.lower()
    is_word = lower[0].isalnum()
    in_soup = None
    if lower in STOP_WORDS or lower in ",.;:|!?-/=[]{}":
        in_soup = False
    elif lower.isalpha() and len(lower) > 1:
        in_soup = True
    alarms = _patterns().needed.get(lower.removesuffix("'s"), 0) if is_word else 0
    return stem(lower) if is_word else None, in_soup, any(_oddity(piece)), alarms


@lru_cache(maxsize=8192)
def _oddity(piece: str) -> _Oddity:
    """What few pieces are: praise, an adverb, a misspelt function word, a name, a number."""
    lower = piece.lower()
    is_word = lower[0].isalnum()
    found = _patterns()
    is_cased = not piece.islower()
    return _Oddity(
        praise=lower in found.praise,
        adverb=is_word and lower[-2:] == "ly" and lower not in found.no_adverbs,
        typo=is_word and lower in near_words(),
        name=is_cased and piece[0].isupper() and lower not in STOP_WORDS,
        number=is_cased and piece[0].isdigit(),
    )


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A word without its most common endings; equal stems are taken as the same word."""
    for ending in ("'s", "ing", "ed", "es", "s", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:7].rstrip("e") if len(word) > 3 else word


@lru_cache(maxsize=4096)
def question_stems(question: str) -> tuple[str, ...]:
    """Stems of all words of the question, in order."""
    return tuple(map(stem, _TOKEN.findall(unicodedata.normalize("NFKC", question).lower())))


@cache
def stop_stems() -> frozenset[str]:
    """Stems of function words."""
    return frozenset(map(stem, STOP_WORDS))


def _marks(
    cased: list[str],
    special: list[int],
    words: list[tuple[str | None, bool | None, bool, int]],
) -> tuple[str, ...]:
    found = []
    last = len(cased) - 1
    for i in special:
        odd = _oddity(cased[i])
        if odd.name:
            opens = i == 0 or cased[i - 1] in _ENDS or (i > 1 and cased[i - 2] in _ENDS)
            if opens and not (i < last and cased[i + 1][0].isupper()):
                continue
        elif not odd.number:
            continue
        found.append(words[i][0] or stem(cased[i].lower()))
    return tuple(found)


@cache
def near_words() -> frozenset[str]:
    """Strings one edit away from a frequent function word that are no words themselves."""
    near: set[str] = set()
    for word in _EDITED:
        halves = [(word[:i], word[i:]) for i in range(len(word) + 1)]
        near.update(a + b[1] + b[0] + b[2:] for a, b in halves if len(b) > 1)
        near.update(a + b[1:] for a, b in halves if b and len(word) > 3)
        near.update(a + c + b[1:] for a, b in halves if b for c in _LETTERS)
        near.update(a + c + b for a, b in halves for c in _LETTERS)
    near -= set(_EDITED) | STOP_WORDS
    known = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split()
    return frozenset(near - set(known))


class _Patterns(NamedTuple):
    """The table of patterns, ready for use.

    Attributes:
        by_name: patterns by kind, each behind the bit of the words that it needs.
        needed: those bits by word.
        praise: words of praise with their adverbs.
        no_adverbs: words in -ly that do not count as adverbs.
    """

    by_name: dict[str, tuple[tuple[int, re.Pattern[str]], ...]]
    needed: dict[str, int]
    praise: frozenset[str]
    no_adverbs: frozenset[str]


@cache
def _patterns() -> _Patterns:
    table = tomllib.loads(Path(__file__).with_name("patterns.toml").read_text(encoding="utf-8"))
    praise = frozenset(table.pop("praise")["words"].split())
    praise |= {f"{word[:-1]}y" if word.endswith("le") else f"{word}ly" for word in praise}
    other = frozenset(table.pop("no_adverbs")["words"].split()) | praise
    by_name: dict[str, tuple[tuple[int, re.Pattern[str]], ...]] = {}
    needed: dict[str, int] = {}
    bit = 1
    for name, entries in table.items():
        ready = []
        for entry in entries:
            for word in entry["needs"].split():
                needed[word] = needed.get(word, 0) | bit
            ready.append((bit, re.compile(entry["pattern"])))
            bit <<= 1
        by_name[name] = tuple(ready)
    return _Patterns(by_name, needed, praise, other)
