"""Instructions and encoded words that appear only when two neighbouring chunks are joined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Snapshot
from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.concealed import concealed
from ragshield.screens.documents import key_of, place
from ragshield.screens.groups import group_id
from ragshield.screens.instructions import may_show, signs
from ragshield.screens.whole import judge_batch
from ragshield.screens.wordings import quoted, together

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0051.001", "AML.T0068", "LLM01:2025", "LLM01:2026")
"""MITRE ATLAS indirect prompt injection, LLM Prompt Obfuscation; OWASP, with the year."""

_STEP = 512
_BESIDE_CHARS = 120
_RUN_CHARS = 3000
_LEAST_GAIN = 0.2
_ENCODED = frozenset({"base64", "hex", "escapes", "entities", "percent"})
_RUN = re.compile(r"[A-Za-z0-9+/_\\&#;%x-]{8}")
_OVERLAP_CHARS = 300
_LEAST_OVERLAP = 10


class _Pair(NamedTuple):
    """Two neighbouring rows whose texts show more together than each alone."""

    first: int
    second: int
    suspicion: float
    says: str
    quote: str


class _Reading(NamedTuple):
    """Where the part's rows belong, 12 bytes each, and what its neighbouring rows showed.

    Attributes:
        document: key of each row's document, (m,) uint64; 0 where not known.
        number: its number in it, (m,) int32; -1 where not known.
        pairs: of chunks that follow one another in the store, too.
    """

    document: NDArray[np.uint64]
    number: NDArray[np.int32]
    pairs: list[_Pair]


class SplitPayload:
    """Instructions or encoded words that lie across the border of two neighbouring chunks.

    A check of each passage alone is evaded by cutting the payload in two; a reader that is
    given both chunks sees it whole. Chunks are neighbours where metadata or ids give them
    consecutive numbers in one document. The end of one is joined to the beginning of the
    next, with a blank and without, an overlap counted once, and read as `instructions` and
    `hidden-text` read a passage. The suspicion is what the joined text shows, if it is at
    least 0.2 more than either chunk shows alone.

    Source: micro-collaborative poisoning, arXiv 2609.21573.
    Differs: a lie in two halves, each of them innocent, needs reasoning and is not seen;
    only payloads that are wordings or encodings are.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.

    Raises:
        ValueError: an argument out of its range.
    """

    name: ClassVar[str] = "split-payload"

    def __init__(self, *, drop_from: float = 0.5) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        self.drop_from = drop_from

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; reads no vectors."""
        return judge_batch(self, batch)

    def read(self, snapshot: Snapshot, part: range) -> _Reading:
        """Where the rows belong; neighbours that are stored one after another are joined."""
        document = np.zeros(len(part), dtype=np.uint64)
        index = np.full(len(part), -1, dtype=np.int32)
        pairs = []
        for start in range(part.start, part.stop, _STEP):
            stop = min(start + _STEP, part.stop)
            # One row more: a pair belongs to the part of its first chunk.
            passages = snapshot.passages(range(start, min(stop + 1, len(snapshot))))
            places = [place(p) for p in passages]
            following = []
            for i in range(stop - start):
                at = start - part.start + i
                document[at] = key_of(places[i].document)
                found = places[i].number
                index[at] = -1 if found is None else found
                if i + 1 < len(places) and _follows(places[i], places[i + 1]):
                    following.append((start + i, start + i + 1, passages[i], passages[i + 1]))
            pairs += _joined(following)
        return _Reading(document, index, pairs)

    def judge(self, snapshot: Snapshot, readings: Sequence[_Reading]) -> list[Finding]:
        """Findings in the order of the rows, at most one per passage."""
        if not readings:
            return []
        pairs = [pair for reading in readings for pair in reading.pairs]
        apart = _stored_apart(
            np.concatenate([r.document for r in readings]),
            np.concatenate([r.number for r in readings]),
        )
        for start in range(0, len(apart), _STEP):
            some = apart[start : start + _STEP]
            firsts = snapshot.passages([a for a, _ in some])
            seconds = snapshot.passages([b for _, b in some])
            pairs += _joined(
                [(a, b, p, q) for (a, b), p, q in zip(some, firsts, seconds, strict=True)]
            )
        best: dict[int, _Pair] = {}
        for pair in sorted(pairs, key=lambda pair: (-pair.suspicion, pair.first, pair.second)):
            best.setdefault(pair.first, pair)
            best.setdefault(pair.second, pair)
        return [self._finding(snapshot, row, best[row]) for row in sorted(best)]

    def _finding(self, snapshot: Snapshot, row: int, pair: _Pair) -> Finding:
        first, second = snapshot.passages([pair.first, pair.second])
        own, other = (first, second) if row == pair.first else (second, first)
        side = "next" if row == pair.first else "previous"
        return Finding(
            passage_id=own.id,
            suspicion=round(pair.suspicion, 4),
            detector=self.name,
            action=Action.DROP if pair.suspicion >= self.drop_from else Action.KEEP,
            reason=f'joined to the {side} chunk, {other.id}, it {pair.says} ("{pair.quote}")',
            group=group_id([first.id, second.id]),
            evidence={
                "joined_with": other.id,
                "quote": pair.quote,
                "neighbours": [other.id],
                "taxonomy": list(TAXONOMY),
            },
        )


def _follows(one: tuple[str | None, int | None], other: tuple[str | None, int | None]) -> bool:
    if one[0] is None or one[1] is None or other[1] is None:
        return False
    return one[0] == other[0] and other[1] == one[1] + 1


def _stored_apart(document: NDArray[np.uint64], index: NDArray[np.int32]) -> list[tuple[int, int]]:
    """Rows of neighbouring chunks that do not follow one another in the store."""
    order = np.lexsort((index, document))
    one, other = order[:-1], order[1:]
    follows = (document[one] == document[other]) & (document[one] != 0)
    follows &= (index[one] >= 0) & (index[other] == index[one] + 1) & (other != one + 1)
    return list(zip(one[follows].tolist(), other[follows].tolist(), strict=True))


class _Border(NamedTuple):
    """Where one chunk ends and the next begins; `own` is the second with what it repeats."""

    first: int
    second: int
    tail: str
    head: str
    own: str

    def across(self) -> list[str]:
        """What stands across it, with a blank and, where a word was cut, without."""
        near_end, near_start = self.tail[-_BESIDE_CHARS:], self.head[:_BESIDE_CHARS]
        # A word may have been cut in two as well, but only between two letters.
        cut_word = self.tail[-1].isalnum() and self.head[0].islower()
        return [near_end + between + near_start for between in ((" ", "") if cut_word else (" ",))]


def _joined(chunks: Sequence[tuple[int, int, Passage, Passage]]) -> list[_Pair]:
    """What two chunks show together and neither alone; at most one pair of each two."""
    borders = [border for two in chunks if (border := _border(*two)) is not None]
    every = [border.across() for border in borders]
    may = iter(may_show([text for texts in every for text in texts]))
    found = []
    for border, texts in zip(borders, every, strict=True):
        shown = _across(border, [text for text in texts if next(may)])
        if shown:
            pairs = [_Pair(border.first, border.second, *strength) for strength in shown]
            found.append(max(pairs, key=lambda pair: pair.suspicion))
    return found


def _border(a: int, b: int, first: Passage, second: Passage) -> _Border | None:
    tail = first.text[-_RUN_CHARS:].rstrip()
    head = second.text[:_RUN_CHARS].lstrip()
    if not tail or not head:
        return None
    own, head = head, _without_overlap(tail, head)
    return _Border(a, b, tail, head, own) if head else None


def _across(border: _Border, texts: Sequence[str]) -> list[tuple[float, str, str]]:
    """What stands across a border, in those of its texts that may show something."""
    found = []
    tail, head, own = border.tail, border.head, border.own
    near_end = tail[-_BESIDE_CHARS:]
    for across in texts:
        shown = signs(across)
        weight = together([match.wording.weight for match in shown])
        if weight < MIN_SHOWN:
            continue
        if (
            weight
            >= max(_weight(near_end), _weight(own[: _BESIDE_CHARS + _OVERLAP_CHARS])) + _LEAST_GAIN
        ):
            strongest = max(shown, key=lambda match: match.wording.weight)
            found.append((weight, strongest.wording.says, strongest.quote))
    if _RUN.fullmatch(tail[-8:]) and _RUN.match(head):
        known = {c.says for text in (tail, own) for c in concealed(text) if c.kind in _ENCODED}
        for hidden in concealed(tail + head):
            if hidden.kind in _ENCODED and hidden.says not in known:
                weight = max(hidden.weight, together([hidden.weight, _weight(hidden.content)]))
                found.append((weight, f"holds {hidden.says}", quoted(hidden.content)))
    return found


def _weight(text: str) -> float:
    return together([match.wording.weight for match in signs(text)])


def _without_overlap(tail: str, head: str) -> str:
    """The second text without what the first ended with, where chunks overlap."""
    if len(head) < _LEAST_OVERLAP:
        return head
    beginning = head[:_LEAST_OVERLAP]
    at = tail.find(beginning, max(0, len(tail) - _OVERLAP_CHARS))
    while at >= 0:
        if head.startswith(tail[at:]):
            return head[len(tail) - at :].lstrip()
        at = tail.find(beginning, at + 1)
    return head
