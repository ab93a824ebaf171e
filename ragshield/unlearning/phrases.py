"""What gives a fact away: its value in its usual spellings, and the telling parts of a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ragshield.forget_set import Fact
from ragshield.text import STOP_WORDS, sentences
from ragshield.unlearning.spelling import skeleton, unleeted, words_of

LONGEST = 6
"""Content words of a phrase that is matched whole; longer ones are matched by their parts."""

_SOUNDS = 4
_MONTHS = (
    "january february march april may june july august september october november december"
).split()
_SLASHED = re.compile(r"\b(\d{1,2})[/.\-](\d{1,2})[/.\-](\d{4})\b")
_ISO = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_WRITTEN = re.compile(
    rf"\b(?:(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({'|'.join(_MONTHS)})|"
    rf"({'|'.join(_MONTHS)}) (\d{{1,2}})(?:st|nd|rd|th)?),? (\d{{4}})\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"\u201c\u201d\u00ab]([^\"\u201c\u201d\u00bb]{3,80})[\"\u201c\u201d\u00bb]")
_TOKEN = re.compile(r"[\w'\u2019-]+|[^\w\s]")
_LITTLE = frozenset("of the and & de la von van".split())
_NUMBER = re.compile(r"\d[\d.,/-]*\d|\d")
_TITLE = re.compile(r"\b(?:Dr|Prof|Mr|Mrs|Ms|St|Sr|Jr|Mt|No|vs|Rev|Hon|Gen|Col|Capt|Lt|Sgt)\.$")
_COUNTS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_YEAR = re.compile(r"(?:1[0-9]|20)\d{2}")


def whole_sentences(text: str) -> list[str]:
    """Sentences in order; one that ends in a title such as "Dr." goes on in the next."""
    found: list[str] = []
    for sentence in sentences(text):
        if found and _TITLE.search(found[-1]):
            found[-1] = f"{found[-1]} {sentence}"
        else:
            found.append(sentence)
    return found


def content(words: Sequence[str]) -> list[str]:
    """Folded words without stop words; all of them where nothing else is left."""
    kept = [word for word in words if word not in STOP_WORDS and word != "s"]
    return kept or list(words)


class Phrase(NamedTuple):
    """What gives a fact away.

    Attributes:
        words: folded content words, a run of which is looked for.
        joined: all its words as one, for where they are written without blanks.
    """

    words: tuple[str, ...]
    joined: str

    @property
    def spellings(self) -> tuple[tuple[str, ...], ...]:
        """Other runs that are the same phrase: joined, with letters for digits, by sound."""
        found: dict[tuple[str, ...], None] = {}
        if len(self.words) > 1:
            found[(self.joined,)] = None
        plain = tuple(unleeted(word) for word in self.words)
        if any(any(c.isdigit() for c in word) for word in self.words) and len(self.joined) > 4:
            found[plain] = None
        sounds = tuple(f"~{skeleton(word)}" for word in self.words)
        if sum(map(len, sounds)) - len(sounds) >= _SOUNDS and all(len(s) > 1 for s in sounds):
            found[sounds] = None
        return tuple(found)


def phrases_of(fact: Fact, names: Sequence[str]) -> Iterator[Phrase]:
    """Phrases, each of which gives the fact away; none twice.

    The value in its usual spellings; of a value longer than a phrase the quoted, capitalised
    and numeric parts that are no part of the target's names.
    """
    own = {word for name in names for word in words_of(name)}
    seen: set[tuple[str, ...]] = set()
    short = len(content(words_of(fact.value))) <= LONGEST
    whole = [fact.value, *_dates(fact.value), *_counts(fact.value)] if short else []
    texts = [text for text in (fact.value if not short else "",) if text]
    for phrase in (*whole, *(part for text in texts for part in telling_parts(text))):
        every = words_of(phrase)
        run = tuple(content(every))
        if run and run not in seen and not own.issuperset(run):
            seen.add(run)
            yield Phrase(run, "".join(every))


def telling_parts(text: str) -> Iterator[str]:
    """Quoted titles, names and numbers of a text, and its dates in other spellings."""
    yield from (match[1] for match in _QUOTED.finditer(text))
    yield from _dates(text)
    for sentence in sentences(text):
        for i, run in _capital_runs(sentence):
            # The first word of a sentence has its capital from there.
            n_words = len(run.split())
            if i > 0 or n_words > 1:
                yield run
            if i == 0 and n_words > 2:
                yield run.split(maxsplit=1)[1]
    for match in _NUMBER.finditer(text):
        if sum(c.isdigit() for c in match.group()) >= 3:
            yield match.group()


def _capital_runs(text: str) -> Iterator[tuple[int, str]]:
    """Runs of capitalised words with the little words between them, and where they begin."""
    run: list[str] = []
    start = 0
    for i, word in enumerate([*_TOKEN.findall(text), ""]):
        if word[:1].isupper():
            start = start if run else i
            run.append(word)
        elif run and word in _LITTLE:
            run.append(word)
        elif run:
            while run[-1] in _LITTLE:
                run.pop()
            yield start, " ".join(run)
            run = []


def _dates(text: str) -> Iterator[str]:
    """A date of the text in its other spellings; of two readings of 05/11, both."""
    for match in _SLASHED.finditer(text):
        a, b, year = int(match[1]), int(match[2]), match[3]
        for day, month in ((a, b), (b, a)):
            if 1 <= month <= 12 and 1 <= day <= 31:
                yield from _spelled(day, month, year)
    for match in _ISO.finditer(text):
        if 1 <= int(match[2]) <= 12:
            yield from _spelled(int(match[3]), int(match[2]), match[1])
    for match in _WRITTEN.finditer(text):
        month = _MONTHS.index((match[2] or match[3]).lower()) + 1
        yield from _spelled(int(match[1] or match[4]), month, match[5])


def _spelled(day: int, month: int, year: str) -> Iterator[str]:
    name = _MONTHS[month - 1]
    suffix = "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    for d in (str(day), f"{day}{suffix}"):
        yield f"{d} {name} {year}"
        yield f"{name} {d} {year}"
    for d, m in ((str(day), str(month)), (f"{day:02d}", f"{month:02d}")):
        yield f"{d}/{m}/{year}"
        yield f"{m}/{d}/{year}"
        yield f"{year}-{m}-{d}"


def _counts(text: str) -> Iterator[str]:
    """A small number written out, or in digits; a large one with and without separators."""
    plain = text.strip().lower()
    if plain in _COUNTS:
        yield str(_COUNTS.index(plain))
    elif plain.isascii() and plain.isdigit() and int(plain) < len(_COUNTS):
        yield _COUNTS[int(plain)]
    elif _YEAR.fullmatch(plain):
        yield from _year(plain)
    elif re.fullmatch(r"\d{1,3}(?:,\d{3})+", plain):
        yield plain.replace(",", "")
    elif re.fullmatch(r"\d{4,}", plain):
        yield f"{int(plain):,}"


def _year(year: str) -> Iterator[str]:
    """A year in words, and digit by digit."""
    first, last = int(year[:2]), int(year[2:])
    hundreds, rest = _below_hundred(first), _below_hundred(last)
    if last == 0:
        yield f"{hundreds} hundred" if first % 10 else f"{_COUNTS[first // 10]} thousand"
    elif last < 10:
        yield f"{hundreds} oh {rest}"
        yield f"{hundreds} hundred and {rest}"
    else:
        yield f"{hundreds} {rest}"
        yield f"{hundreds} hundred and {rest}"
    if first == 20 and last:
        yield f"two thousand and {rest}"
    yield " ".join(_COUNTS[int(digit)] for digit in year)


def _below_hundred(number: int) -> str:
    if number < len(_COUNTS):
        return _COUNTS[number]
    tens, ones = divmod(number, 10)
    return f"{_TENS[tens]} {_COUNTS[ones]}" if ones else _TENS[tens]
