"""What a text is compared by: its words, names and numbers, and runs of words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.minhash import signature
from ragshield.text import STOP_WORDS, words

RUN = 5
"""Words of a run: fewer are common phrases, more would miss edited copies."""

_ARTICLES = frozenset({"a", "an", "the"})
_MOST_CHARS = 200_000
_MOST_LINKS = 3
_TABLE = 1 << 18
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w|https?://\S+")
_TOKEN = re.compile(r"\w+(?:['\u2019]\w+)?")
_OPENS = re.compile(r"(?:^|[.!?\u2026\n\"\u201c(\[*-])[\s\"\u201c(\[*#-]*$")
_LINKS = frozenset("of the de da di do du la le van von der den el al bin and for & y".split())
_TITLES = frozenset("dr prof professor mr mrs ms miss sir dame lady lord st".split())
_ENDINGS = ("ations", "ation", "ingly", "ings", "ing", "edly", "ied", "ies", "ers", "er", "ed",
            "es", "ly", "s")  # fmt: skip


class Name(NamedTuple):
    """A name or number as it stands in a text.

    Attributes:
        text: the words, without a title.
        tokens: its words in lower case, without small words between.
        start: where it begins.
        titled: a title such as "Dr." stands before it.
    """

    text: str
    tokens: tuple[str, ...]
    start: int
    titled: bool = False


@dataclass(frozen=True, eq=False)
class Features:
    """One text, looked at as far as somebody asks; at most 200,000 characters of it."""

    text: str

    @cached_property
    def words(self) -> list[str]:
        """Words in order, in lower case."""
        return words(self.text[:_MOST_CHARS])

    @cached_property
    def normal(self) -> str:
        """The words as one line, without articles: what counts as the same text."""
        return " ".join(word for word in self.words if word not in _ARTICLES)

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """Every word, also without its possessive ending, and every address as a whole."""
        plain = frozenset(bare(word) for word in self.words)
        return plain.union(self.words) | self.addresses

    @cached_property
    def stems(self) -> frozenset[str]:
        """Words without stop words and endings."""
        return frozenset(stem(word) for word in self.vocabulary if word not in STOP_WORDS)

    @cached_property
    def names(self) -> tuple[Name, ...]:
        """Names and numbers in order; see `names_in`."""
        return tuple(names_in(self.text[:_MOST_CHARS]))

    @cached_property
    def marks(self) -> frozenset[str]:
        """The words of all names and numbers, and addresses: what tells one text from another."""
        found = {token for name in self.names for token in name.tokens}
        return frozenset(found) | self.addresses

    @cached_property
    def addresses(self) -> frozenset[str]:
        """E-mail and web addresses in lower case."""
        return _addresses(self.text[:_MOST_CHARS])

    @cached_property
    def signature(self) -> NDArray[np.uint32]:
        """MinHash, (128,) uint32."""
        return signature(self.text[:_MOST_CHARS])

    @cached_property
    def runs(self) -> NDArray[np.uint64]:
        """Hashes of every run of `RUN` words, sorted, none twice; of all words if fewer."""
        return _runs(self._codes, RUN)

    @cached_property
    def pairs(self) -> NDArray[np.uint64]:
        """The same of two words."""
        return _runs(self._codes, 2)

    @cached_property
    def _codes(self) -> NDArray[np.uint64]:
        return _codes_of(self.words)


def runs_of(found: Sequence[str], length: int = RUN) -> NDArray[np.uint64]:
    """Hashes of every run of `length` neighbouring words: sorted, none twice."""
    return _runs(_codes_of(found), length)


def _codes_of(found: Sequence[str]) -> NDArray[np.uint64]:
    return np.fromiter(map(_crc, found), dtype=np.uint64, count=len(found))


def _runs(codes: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    if not len(codes):
        return np.empty(0, dtype=np.uint64)
    n = min(length, len(codes))
    mixed = np.full(len(codes) - n + 1, n, dtype=np.uint64)
    for i in range(n):
        mixed = (mixed ^ codes[i : len(codes) - n + 1 + i]) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return np.unique(mixed)


def stem(word: str) -> str:
    """A word without the commonest English endings; crude, and the same for both sides."""
    for ending in _ENDINGS:
        if len(word) - len(ending) >= 3 and word.endswith(ending):
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and word[-1] in "ey" else word


def names_in(text: str) -> list[Name]:
    """Names (runs of words with capitals, `of` and the like between) and numbers.

    A capital at the beginning of a sentence makes no name by itself: another one has to
    follow, or the word has a digit or a second capital.
    """
    tokens = list(_TOKEN.finditer(text))
    found: list[Name] = []
    i = 0
    while i < len(tokens):
        if not _capital(tokens[i].group()):
            i += 1
            continue
        j = i + 1
        while j < len(tokens) and _continues(text, tokens[j - 1], tokens[j]):
            # Small words count where a capital follows: "Henk van der Veld".
            k = j
            while k - j < _MOST_LINKS and k + 1 < len(tokens) and _links(text, tokens, k):
                k += 1
            if not _capital(tokens[k].group()):
                break
            j = k + 1
        name = _named(text, tokens[i:j])
        if name is not None:
            found.append(name)
        i = j
    return found


def _continues(text: str, before: re.Match[str], word: re.Match[str]) -> bool:
    """Whether nothing but a blank, a hyphen or an initial's full stop is between two words."""
    between = text[before.end() : word.start()]
    if len(between) > 2 or between.strip(" .-'\u2019&"):
        return False
    return "." not in between or _short(before.group())


def _links(text: str, tokens: Sequence[re.Match[str]], at: int) -> bool:
    word = tokens[at].group()
    blank = text[tokens[at].end() : tokens[at + 1].start()] == " "
    return blank and word.lower() in _LINKS and not _capital(word)


def _named(text: str, run: Sequence[re.Match[str]]) -> Name | None:
    """The name in a run of capital words, if it is one."""
    plain = [match.group().lower() for match in run]
    keep = next((i for i, word in enumerate(plain) if word not in _TITLES), len(run))
    run, plain = run[keep:], plain[keep:]
    opens = (
        not keep and bool(run) and _OPENS.search(text[max(0, run[0].start() - 12) : run[0].start()])
    )
    if opens and plain[0] in STOP_WORDS:
        run, plain = run[1:], plain[1:]
        opens = False
    if not run:
        return None
    first = run[0].group()
    if opens and len(run) == 1 and not any(c.isdigit() or c.isupper() for c in first[1:]):
        return None
    tokens = tuple(bare(word) for word in plain if word not in _LINKS)
    tokens = tuple(token for token in tokens if token not in STOP_WORDS)
    shown = bare(text[run[0].start() : run[-1].end()])
    return Name(" ".join(shown.split()), tokens, run[0].start(), keep > 0) if tokens else None


class Rarity:
    """How rare words are in a store: counted while it is read, in a table of fixed size."""

    def __init__(self) -> None:
        self._counts = np.zeros(_TABLE, dtype=np.uint32)
        self.n = 0

    def note(self, vocabulary: Iterable[str]) -> None:
        """Count the words of one more passage."""
        rows = np.fromiter(map(_crc, vocabulary), dtype=np.intp) % _TABLE
        # Unlike `add.at` this counts a word once though two of its kind share a place.
        self._counts[rows] += 1
        self.n += 1

    def weight(self, word: str) -> float:
        """log(1 + n / how many passages have the word): rare words weigh more."""
        return float(np.log1p(self.n / max(1, int(self._counts[_crc(word) % _TABLE]))))

    def count(self, word: str) -> int:
        """In about how many passages the word stands."""
        return int(self._counts[_crc(word) % _TABLE])

    def rows(self, texts: Sequence[Features], dim: int = 512) -> NDArray[np.float32]:
        """Word-count vectors for a store without embeddings: (n, dim) float32, unit rows."""
        found = np.zeros((len(texts), dim), dtype=np.float32)
        for row, text in zip(found, texts, strict=True):
            for word in sorted(set(text.words[:800]) - STOP_WORDS):
                value = zlib.crc32(word.encode("utf-8", "surrogatepass"))
                row[(value >> 1) % dim] += (1 if value & 1 else -1) * self.weight(word)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return (found / np.where(lengths > 0, lengths, 1)).astype(np.float32, copy=False)


def covered(needle: Iterable[str], hay: frozenset[str], rarity: Rarity) -> float:
    """Share of the needle's words that the hay holds, rare words counting more: [0, 1]."""
    weights = [(rarity.weight(word), word in hay) for word in needle]
    total = sum(weight for weight, _ in weights)
    return sum(weight for weight, there in weights if there) / total if total else 0.0


def _capital(word: str) -> bool:
    return word[0].isupper() or word[0].isdigit()


def _short(word: str) -> bool:
    """An initial or a title, whose full stop ends no sentence."""
    return len(word) == 1 or word.lower() in _TITLES


def bare(word: str) -> str:
    """A word without its possessive ending."""
    return word[:-2] if word.endswith(("'s", "\u2019s")) else word


def _addresses(text: str) -> frozenset[str]:
    if "@" not in text and "://" not in text:
        return frozenset()
    return frozenset(found.lower().rstrip(".,;)") for found in _ADDRESS.findall(text))


@lru_cache(maxsize=1 << 17)
def _crc(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))
