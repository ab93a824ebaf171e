"""Passages with words that form no sentence: text optimised against an encoder."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from ragshield.protocols import Snapshot
from ragshield.records import Action, Batch, Finding
from ragshield.screens.soup_sieve import Gains, runs_of
from ragshield.screens.whole import judge_batch
from ragshield.screens.wordings import quoted
from ragshield.text import STOP_WORDS

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0066", "LLM08:2025", "LLM09:2026")
"""MITRE ATLAS Retrieval Content Crafting; OWASP embedding weaknesses, with the year."""

READ_CHARS = 400_000
"""Longer passages are read from both ends, half of this from each."""

_PIECE = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+|\n|  +|(?:(?<=\s)|^)##(?=[a-z])|[^\w\s]|_")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_LATIN = re.compile("[a-z\u00df-\u024f\u1ea0-\u1ef9']+$")
_OTHER_SCRIPT = re.compile("[\u0370-\u1dff\u2e80-\ud7ff]")
# A quotation mark with a blank on either side quotes nothing.
_QUOTES = frozenset("\u201c\u201d\u201e")
_LONE_QUOTES = re.compile(r"(?<=\s)[\u201c\u201d\u201e](?=\s)")
# What each piece adds to a run; a run ends where it has lost all that it had gained.
_NEW_WORD = 1.0
_CAPITAL = 0.3  # names and headings
_FOREIGN = 0.4  # a language that is recognised, or letters with marks
_FUNCTION_WORD = -3.0
_PUNCTUATED = -2.0
_LINE_END = -3.0
_NUMBER = -0.3
_LETTER = -0.5
_STRAY = 0.5  # a word of another script amid Latin words
_WORD_PIECE = 2.0
# Length of the worst run, in new words, and what it means. Honest English text of dictionaries
# and manuals reaches 6 in one passage of a hundred and 9.5 in one of three thousand.
_LENGTHS = (5.0, 6.0, 9.5, 12.0, 16.0, 24.0, 40.0)
_MEANS = (0.0, 0.2, 0.5, 0.75, 0.9, 0.97, 0.99)
# Shortest run that means enough to be shown.
_SHORTEST = float(np.interp(MIN_SHOWN, _MEANS, _LENGTHS)) - 1e-9
_KEPT_PIECES = 200_000
_TENTHS = 10
_MIN_FOREIGN_WORDS = 4
_LIKELY = 0.5
_PHRASE = 4
_FEW = 5
_MIN_STORE = 50
_STEP = 1024
_MAX_OTHER_SCRIPT = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """The stretch of a text that is least like language.

    Attributes:
        length: new words in it, less what speaks for language.
        start: offset of its first character.
        end: offset behind its last.
        n_pieces: `##` marks of a tokenizer in the whole text.
    """

    length: float
    start: int
    end: int
    n_pieces: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """A passage with such a run: its row, its id, the run and what it says."""

    row: int
    passage_id: str
    run: Run
    quote: str


class TokenSoup:
    """Passages with a run of words that no grammar holds together (HotFlip, jamming, triggers).

    Sentences need function words, punctuation and repetition; tokens chosen by a gradient
    have none of them. The worst run of a passage is found in one pass: each new word makes it
    longer, each function word of thirty-odd languages, each mark, line end or repeated word
    shortens it. Names, words in a recognised other language and words with accents count
    less; marks of a word-piece tokenizer (`##`) count more. The same run on more than five
    pages counts less (a menu). Where many passages of the store
    read like this (keyword lists, an unknown language), it is the store's habit and the
    suspicion is lower. No language model is asked. Suspicion says how sure it is that the run
    is no language; a keyword list or a menu on one line looks the same.

    Source: the form of HotFlip passages: PoisonedRAG (white box), arXiv 2402.07867; Zhong et
    al., corpus poisoning, arXiv 2310.19156; Phantom, arXiv 2405.20485; jamming, arXiv
    2406.05870. Detection by perplexity as in the first three.
    Differs: no language model computes a perplexity; short runs (below nine words) and soup
    written in capitals pass.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.
        habit: share of the store's passages, in (0, 1), that may read like this before it
            counts as the store's habit; read from fifty passages on.

    Raises:
        ValueError: an argument out of its range.
    """

    name: ClassVar[str] = "token-soup"

    def __init__(self, *, drop_from: float = 0.5, habit: float = 0.1) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        if not 0 < habit < 1:
            raise ValueError(f"habit is {habit}; it must be in (0, 1)")
        self.drop_from = drop_from
        self.habit = habit

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; reads no vectors."""
        return judge_batch(self, batch)

    def read(self, snapshot: Snapshot, part: range) -> list[Suspect]:
        """The passages of a part whose worst run is long enough to be worth a line."""
        suspects = []
        for step in range(part.start, part.stop, _STEP):
            rows = range(step, min(step + _STEP, part.stop))
            passages = snapshot.passages(rows)
            texts = [_read(passage.text) for passage in passages]
            for row, passage, text, may in zip(rows, passages, texts, _may(texts), strict=True):
                if not may:
                    continue
                run = worst_run(text)
                if _suspicion(run) >= MIN_SHOWN:
                    quote = quoted(text[run.start : run.end])
                    suspects.append(Suspect(row, passage.id, run, quote))
        return suspects

    def judge(self, snapshot: Snapshot, readings: Sequence[list[Suspect]]) -> list[Finding]:
        """Findings of all suspects, less where such text is the store's habit."""
        suspects = [suspect for reading in readings for suspect in reading]
        n_soup = sum(1 for suspect in suspects if _suspicion(suspect.run) >= _LIKELY)
        share = n_soup / max(len(snapshot), 1)
        # A handful of passages has no habits.
        usual = len(snapshot) >= _MIN_STORE and share > self.habit
        rare = self.habit / share if usual else 1.0
        # A menu or a list of names that stands on many pages was not optimised for one.
        n_same = _n_same([suspect.quote for suspect in suspects])
        found = (
            self._finding(suspect, rare * _of_many(n), share)
            for suspect, n in zip(suspects, n_same, strict=True)
        )
        return [finding for finding in found if (finding.suspicion or 0) >= MIN_SHOWN]

    def _finding(self, suspect: Suspect, rare: float, share: float) -> Finding:
        run = suspect.run
        suspicion = round(_suspicion(run) * rare, 4)
        pieces = f" and {run.n_pieces} marks of a tokenizer (##)" if run.n_pieces else ""
        return Finding(
            suspect.passage_id,
            suspicion,
            self.name,
            Action.DROP if suspicion >= self.drop_from else Action.KEEP,
            f'has a run of words that forms no sentence{pieces} ("{suspect.quote}")',
            evidence={
                "run_length": round(run.length, 1),
                "run_chars": [run.start, run.end],
                "word_pieces": run.n_pieces,
                "share_of_store": round(share, 4),
                "quotes": [suspect.quote],
                "taxonomy": list(TAXONOMY),
            },
        )


def _phrases(quote: str) -> set[tuple[str, ...]]:
    words = quote.split()
    return {tuple(words[i : i + _PHRASE]) for i in range(len(words) - _PHRASE + 1)}


def _n_same(quotes: Sequence[str]) -> list[int]:
    """For each quote, how many hold the phrase of it that most hold; 1 where it holds none.

    Phrases are counted by their hashes: of a store that is all soup there are millions.
    """
    own = [np.array([hash(x) for x in _phrases(quote)], dtype=np.int64) for quote in quotes]
    lengths = np.array([len(hashes) for hashes in own], dtype=np.intp)
    most = np.ones(len(quotes), dtype=np.int64)
    if lengths.any():
        _, which, counts = np.unique(np.concatenate(own), return_inverse=True, return_counts=True)
        starts = (np.cumsum(lengths) - lengths)[lengths > 0]
        most[lengths > 0] = np.maximum.reduceat(counts[which.ravel()], starts)
    return [int(n) for n in most]


def _of_many(n_same: int) -> float:
    return max(0.5, min(1.0, math.sqrt(_FEW / n_same)))


def _suspicion(run: Run) -> float:
    return float(np.interp(run.length, _LENGTHS, _MEANS))


def _read(text: str) -> str:
    if len(text) <= READ_CHARS:
        return text
    return f"{text[: READ_CHARS // 2]}\n{text[-READ_CHARS // 2 :]}"


def _may(texts: Sequence[str]) -> list[bool]:
    """Whether each text may hold a run that is long enough to be found."""
    plain = [text.isascii() and "##" not in text for text in texts]
    gains = Gains(
        *(
            round(_TENTHS * gain)
            for gain in (_NEW_WORD, _CAPITAL, _LETTER, _FUNCTION_WORD, _PUNCTUATED)
        )
    )
    sieved = iter(
        runs_of(
            [text for text, is_plain in zip(texts, plain, strict=True) if is_plain],
            _function_words()[0],
            gains,
            math.floor(_TENTHS * _SHORTEST),
        )
    )
    return [
        next(sieved) if is_plain else may_be_soup(text)
        for text, is_plain in zip(texts, plain, strict=True)
    ]


def may_be_soup(text: str) -> bool:
    """Whether a run can be long enough to be found; four times as quick as looking for it.

    Each piece gains what it could gain at most, whatever stands around it.
    """
    run = 0.0
    gains = _most_gained
    for piece in _PIECE.findall(text.replace("\u2019", "'")):
        run += gains[piece]
        if run <= 0:
            run = 0.0
        elif run >= _SHORTEST:
            return True
    return False


class _Gains(dict[str, float]):
    """What a piece gains at most; known ones are looked up."""

    def __missing__(self, piece: str) -> float:
        gain = _gain_at_most(piece)
        if len(self) < _KEPT_PIECES:
            self[piece] = gain
        return gain


_most_gained = _Gains()


def _gain_at_most(piece: str) -> float:
    if piece == "##":
        return _WORD_PIECE
    if piece[0].isspace():
        return _LINE_END
    word = piece.lower()
    if piece.isdigit():
        return _NUMBER
    if not piece[0].isalpha():
        return 0.0 if piece in _QUOTES else _PUNCTUATED
    if word in _function_words()[0]:
        return _FUNCTION_WORD
    if not _LATIN.match(word):
        return _STRAY
    if len(word) == 1:
        return _LETTER
    if piece != word:
        return _CAPITAL
    return _NEW_WORD if word.isascii() else _FOREIGN


def worst_run(text: str) -> Run:
    """The run of pieces with the largest sum, in one pass over the text."""
    function_words, _ = _function_words()
    text = text.replace("\u2019", "'")
    vocabulary = {word.lower() for word in _WORD.findall(text)}
    foreign = n_foreign(vocabulary) >= _MIN_FOREIGN_WORDS
    per_word = _FOREIGN if foreign else _NEW_WORD
    n_other = len(_OTHER_SCRIPT.findall(text))
    stray = _STRAY if n_other <= _MAX_OTHER_SCRIPT * len(text) else _PUNCTUATED
    best, first, last, n_pieces = 0.0, 0, 0, 0
    run, start = 0.0, 0
    seen: set[str] = set()
    for match in _PIECE.finditer(text):
        piece = match.group()
        word = piece.lower()
        if piece == "##":
            gain = _WORD_PIECE
            n_pieces += 1
        elif piece[0].isspace():
            gain = _LINE_END
        elif piece.isdigit():
            gain = _NUMBER
        elif not piece[0].isalpha():
            lone = not text.isascii() and _LONE_QUOTES.match(text, match.start())
            gain = 0.0 if lone else _PUNCTUATED
        elif word in function_words:
            gain = _FUNCTION_WORD
        elif not _LATIN.match(word):
            gain = stray
        elif len(word) == 1:
            gain = _LETTER
        elif word in seen:
            gain = 0.0
        elif piece != word:
            gain = _CAPITAL
        else:
            gain = per_word if word.isascii() else _FOREIGN
        if run <= 0:
            if gain <= 0:
                continue
            run, start = 0.0, match.start()
            seen.clear()
        run += gain
        seen.add(word)
        if run > best:
            best, first, last = run, start, match.end()
    return Run(best, first, last, n_pieces)


def n_foreign(vocabulary: Set[str]) -> int:
    """Most function words of one language but English among these words, in lower case."""
    return max(len(vocabulary & words) for words in _function_words()[1])


@cache
def _function_words() -> tuple[frozenset[str], tuple[frozenset[str], ...]]:
    """All function words, and for each language but English those that are not English, too."""
    text = Path(__file__).with_name("function_words.txt").read_text(encoding="utf-8")
    lines = [line.split()[1:] for line in text.splitlines() if not line.startswith("#")]
    languages = [frozenset(words) for words in lines if words]
    # Short or English-looking words occur in English text by chance and prove nothing.
    english = STOP_WORDS | _ALSO_ENGLISH
    own = tuple(frozenset(w for w in words if len(w) > 1) - english for words in languages)
    return STOP_WORDS.union(*languages), own


_ALSO_ENGLISH = frozenset(
    """a at be but den des die do een el en era es et ex fan for fur have her het hit in is it
    la le les lo los man me men met mi min non nor not of om on or per plus pot pro que se si
    so sin son sub sun sur te to un us van vi via was war wat wie you de da al das del di ang
    may si na lui mai air dan dar don ne no pe pod pour os hat""".split()
)
