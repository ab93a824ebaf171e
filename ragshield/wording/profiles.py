"""What one text shows by itself: its words, and how unlike a document it reads."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from ragshield.text import STOP_WORDS

HEAD_CHARS = 12_000
"""Longer texts are read from both ends, this much from each: no honest chunk is longer,
and an encoder sees far less."""

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_PIECE = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[^\w\s]")
_SPACE = re.compile(r"\s+")
# Invisible marks between Latin letters (Persian, Indic, Hebrew and emoji need some of them
# elsewhere), overrides of the writing direction, tag characters.
_HIDDEN = re.compile(
    "(?<=[A-Za-z])[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]+(?=[A-Za-z])|[\u202d\u202e\U000e0020-\U000e007f]"
)
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
        hidden += len(_HIDDEN.findall(text)) + len(_MIXED.findall(text))
        plain = unicodedata.normalize("NFKC", _HIDDEN.sub("", text))
    cased = _PIECE.findall(plain.replace("\u2019", "'"))
    flat = _SPACE.sub(" ", plain.lower().replace("\u2019", "'")).strip()
    pieces = list(map(str.lower, cased))
    tokens = [piece for piece in pieces if piece[0].isalnum()]
    patterns, praising, no_adverbs = _patterns()
    vocabulary = frozenset(token.removesuffix("'s") for token in tokens)

    def n_matching(name: str) -> int:
        return sum(
            1
            for needs, pattern in patterns[name]
            if not needs.isdisjoint(vocabulary) and pattern.search(flat)
        )

    praise = 0 if praising.isdisjoint(pieces) else sum(map(praising.__contains__, pieces))
    ending = [t for t in tokens if t[-2:] == "ly" and t not in no_adverbs]
    return Profile(
        stems=tuple(map(stem, tokens)),
        n_words=len(tokens),
        soup=_soup(pieces),
        typos=_typos(tokens),
        instruction=n_matching("instruction"),
        request=n_matching("request"),
        refusal=n_matching("refusal"),
        insistence=n_matching("insistence"),
        emphasis=sum(
            len(pattern.findall(flat))
            for needs, pattern in patterns["emphasis"]
            if not needs.isdisjoint(vocabulary)
        ),
        hidden=hidden,
        n_questions=flat.count("?"),
        asks_first=next((piece == "?" for piece in pieces if piece in _ENDS), False),
        praise=praise,
        adverbs=len(ending),
        marks=_marks(cased),
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


def _soup(pieces: list[str]) -> int:
    longest = run = 0
    for piece in pieces:
        if piece in STOP_WORDS or piece in ",.;:|!?-/=[]{}":
            run = 0
        elif piece.isalpha() and len(piece) > 1:
            run += 1
            if run > longest:
                longest = run
    return longest


def _marks(cased: list[str]) -> tuple[str, ...]:
    found = []
    last = len(cased) - 1
    for i, piece in enumerate(cased):
        if piece.islower():
            continue
        if piece[0].isdigit():
            found.append(stem(piece.lower()))
        elif piece[0].isupper() and (lower := piece.lower()) not in STOP_WORDS:
            opens = i == 0 or cased[i - 1] in _ENDS or (i > 1 and cased[i - 2] in _ENDS)
            if not opens or (i < last and cased[i + 1][0].isupper()):
                found.append(stem(lower))
    return tuple(found)


def _typos(tokens: list[str]) -> float:
    if not tokens:
        return 0.0
    near = near_words()
    return max(sum(1 for token in tokens if token in near) - 1, 0) / len(tokens)


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


@cache
def _patterns() -> tuple[
    dict[str, tuple[tuple[frozenset[str], re.Pattern[str]], ...]], frozenset[str], frozenset[str]
]:
    """Patterns by name, words of praise with their adverbs, and adverbs that do not count."""
    table = tomllib.loads(Path(__file__).with_name("patterns.toml").read_text(encoding="utf-8"))
    praise = frozenset(table.pop("praise")["words"].split())
    praise |= {f"{word[:-1]}y" if word.endswith("le") else f"{word}ly" for word in praise}
    other = frozenset(table.pop("no_adverbs")["words"].split()) | praise
    patterns = {
        name: tuple((frozenset(e["needs"].split()), re.compile(e["pattern"])) for e in entries)
        for name, entries in table.items()
    }
    return patterns, praise, other
