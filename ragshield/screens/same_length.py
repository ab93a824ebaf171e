"""Sets of passages about one thing, equally long, each in its own words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Snapshot
from ragshield.records import Action, Batch, Finding
from ragshield.screens.apart import READ_CHARS, gaps, words_around
from ragshield.screens.groups import group_id
from ragshield.screens.lengths import LARGEST, SMALLEST, UsualLengths, even_sets
from ragshield.screens.likeness import common_ground
from ragshield.screens.neighbours import Background, usual_similarity
from ragshield.screens.shape import DEPTH, between
from ragshield.screens.whole import judge_batch
from ragshield.text import content_words

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0070", "LLM04:2025", "LLM08:2025", "LLM05:2026", "LLM09:2026")
"""MITRE ATLAS RAG Poisoning; OWASP data poisoning and embedding weaknesses, with the year."""

_MIN_STORE = 200
_LEAST_WORDS = 8
_MOST_OWN = 8
_WIDEST = 2.6
_STEP = 1024

_EVEN, _GAP, _OWN, _SIZE, _OFFSET = 1.5, 2.0, 1.2, 2.8, 19.0
"""Weights of a logistic regression over sets of honest passages and of poison: much the same
whichever family or data set of poison is left out (`benchmarks/results/same_length.md`)."""


class _Set(NamedTuple):
    """Rows that are equally long and near one another.

    Attributes:
        rows: in ascending order.
        even: robust z of the likeness in length.
        gap: how much nearer the members are to their farthest than to the next passage.
    """

    rows: tuple[int, ...]
    even: float
    gap: float


class SameLength:
    """Sets of passages about one thing that are equally long, each in its own words.

    Poison that is to win a retrieval comes in several wordings of one claim, made by one
    prompt with a limit, so the texts are of one length, lie closer together than anything
    around them, have words that no passage around has, and share no run of words. Honest
    passages about one thing were written by different people at different lengths. Where
    they were not (chunks of one size, entries of a dictionary), the store itself shows that
    neighbours are as alike in length by habit, and forms and editions share runs of words.
    Four must show more of it than five; three are not judged.

    Source: Zou et al., PoisonedRAG, USENIX Security 2025, arXiv 2402.07867 (several texts
    for a question, from one prompt with a limit of words).
    Differs: that paper attacks; to tell the texts by their common length is this project's.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.

    Raises:
        ValueError: an argument out of its range.
    """

    name: ClassVar[str] = "same-length"

    def __init__(self, *, drop_from: float = 0.5) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        self.drop_from = drop_from

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order; none below 200 passages with vectors."""
        return judge_batch(self, batch)

    def read(self, snapshot: Snapshot, part: range) -> NDArray[np.int32]:
        """Number of words of each row of the part."""
        found = [
            len(passage.text.split())
            for start in range(part.start, part.stop, _STEP)
            for passage in snapshot.passages(range(start, min(start + _STEP, part.stop)))
        ]
        return np.array(found, dtype=np.int32)

    def judge(self, snapshot: Snapshot, readings: Sequence[NDArray[np.int32]]) -> list[Finding]:
        """Findings in the order of the rows, at most one per passage."""
        if snapshot.dim is None or len(snapshot) < _MIN_STORE:
            return []
        n_words = np.concatenate(readings)
        near = usual_similarity(snapshot, depth=DEPTH)
        unit = float(near.spread[0])
        found = {
            row: finding
            for one in _standing_out(snapshot, n_words, near)
            for row, finding in self._judge(snapshot, one, n_words, unit)
        }
        return [found[row] for row in sorted(found)]

    def _judge(
        self, snapshot: Snapshot, one: _Set, n_words: NDArray[np.int32], unit: float
    ) -> Iterator[tuple[int, Finding]]:
        rows = one.rows
        lengths = [int(n_words[row]) for row in rows]
        passages = snapshot.passages(rows)
        texts = [p.text[:READ_CHARS] for p in passages]
        shared = _own_words(texts, words_around(snapshot, rows))
        verbatim = common_ground(texts).verbatim
        # Editions and filled-in forms share runs of words; who rewords a claim avoids them.
        suspicion = float(_suspicion(one.even, len(rows), one.gap / unit, len(shared)))
        suspicion *= float(np.interp(verbatim, (0.08, 0.3), (1, 0)))
        if suspicion < MIN_SHOWN:
            return
        similarity = between(snapshot, rows)
        ids = [p.id for p in passages]
        for i, row in enumerate(rows):
            order = [j for j in np.argsort(-similarity[i], kind="stable").tolist() if j != i]
            yield (
                row,
                Finding(
                    passage_id=ids[i],
                    suspicion=round(suspicion, 4),
                    detector=self.name,
                    action=Action.DROP if suspicion >= self.drop_from else Action.KEEP,
                    reason=_reason(lengths, shared),
                    group=group_id(ids),
                    evidence={
                        "n_passages": len(ids),
                        "n_words": lengths,
                        "evenness": round(one.even, 2),
                        "gap": round(one.gap, 4),
                        "verbatim": round(verbatim, 3),
                        "shared_words": shared[:10],
                        "n_shared_words": len(shared),
                        "neighbours": [ids[j] for j in order][:10],
                        "similarities": [round(float(similarity[i, j]), 4) for j in order][:10],
                        "taxonomy": list(TAXONOMY),
                    },
                ),
            )


def _suspicion(
    even: NDArray[np.float64] | float, size: int, gap: NDArray[np.float64] | float, n_own: int
) -> NDArray[np.float64]:
    """[0, 0.98], each sign cut off where more of it says no more; `gap` in spreads."""
    weight = (
        _EVEN * np.clip(even, -1, 5)
        + _SIZE * min(size, 5)
        + _GAP * np.clip(gap, -1.3, _WIDEST)
        + _OWN * math.log1p(min(n_own, _MOST_OWN))
    )
    found: NDArray[np.float64] = np.minimum(1 / (1 + np.exp(_OFFSET - weight)), 0.98)
    return found


def _standing_out(snapshot: Snapshot, n_words: NDArray[np.int32], near: Background) -> list[_Set]:
    """The even sets that may be shown, whatever their texts say."""
    usual = UsualLengths(snapshot, n_words)
    cut = float(near.median[-1] - 0.5 * near.spread[-1])
    sets = even_sets(snapshot, n_words, usual, cut=cut, least_words=_LEAST_WORDS)
    found = []
    for size in range(SMALLEST, LARGEST + 1):
        own = np.array([rows for rows in sets if len(rows) == size], dtype=np.intp)
        step = _STEP // size
        for start in range(0, len(own), step):
            rows = own[start : start + step]
            even = usual.evenness(n_words[rows])
            left = _suspicion(even, size, _WIDEST, _MOST_OWN) >= MIN_SHOWN
            if not left.any():
                continue
            rows, even = rows[left], even[left]
            gap = gaps(snapshot, rows)
            shown = _suspicion(even, size, gap / near.spread[0], _MOST_OWN) >= MIN_SHOWN
            found += [
                _Set(tuple(rows[i].tolist()), float(even[i]), float(gap[i]))
                for i in np.flatnonzero(shown)
            ]
    return sorted(found)


def _own_words(texts: Sequence[str], around: Sequence[set[str]]) -> list[str]:
    """Words, not numbers, that most of the texts have and at most a tenth around them."""
    counts = Counter(word for text in texts for word in set(content_words(text)))
    return sorted(
        word
        for word, n in counts.items()
        if n >= max(2, 0.6 * len(texts))
        and not word.isdigit()
        and sum(word in other for other in around) <= 0.1 * len(around)
    )


def _reason(n_words: Sequence[int], shared: Sequence[str]) -> str:
    own = f', share "{", ".join(shared[:4])}", which passages around them lack,' if shared else ""
    return (
        f"one of {len(n_words)} passages about one thing that are equally long ({min(n_words)} "
        f"to {max(n_words)} words){own} and hardly a run of words"
    )
