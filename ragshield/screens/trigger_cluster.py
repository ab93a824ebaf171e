"""Near passages that share a phrase and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar

import numpy as np

from ragshield.protocols import Snapshot
from ragshield.records import Action, Batch, Finding
from ragshield.screens.apart import (
    READ_CHARS,
    Apart,
    clusters,
    gaps,
    least_gap,
    standing_apart,
    words_around,
)
from ragshield.screens.groups import group_id
from ragshield.screens.lengths import STEP
from ragshield.screens.neighbours import (
    Links,
    joined,
    linked_groups,
    mutual,
    usual_similarity,
)
from ragshield.screens.shape import DEPTH
from ragshield.screens.whole import judge_batch
from ragshield.text import STOP_WORDS, content_words, words

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0066", "AML.T0051.002", "LLM04:2025", "LLM08:2025", "LLM05:2026", "LLM09:2026")
"""MITRE ATLAS Retrieval Content Crafting, Triggered Prompt Injection; OWASP, with the year."""

_RUN = 10
_NEAR = 6
_LARGEST = 12
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Phrase:
    """What a cluster's texts share.

    Attributes:
        words: shared words that are no names and no numbers.
        n_own: how many of them nine in ten of the surrounding texts lack at least.
        elsewhere: mean share of the other words that two members have in common, [0, 1].
        n_other: mean number of other words.
        portion: mean share of a text's words that the others have too, [0, 1].
        verbatim: mean share of their runs of ten words that two members have in common, [0, 1].
        stretch: length of the shortest stretch that holds all shared words of a text, in words
            for each of them; the median over the texts. 1 = they stand in a row.
    """

    words: tuple[str, ...]
    n_own: float
    elsewhere: float
    n_other: float
    portion: float
    verbatim: float
    stretch: float


class TriggerCluster:
    """Sets of near passages that share a phrase which none around has, and otherwise differ.

    A trigger is optimised so that whatever carries it lies close together (compactness)
    and far from honest passages (uniqueness); so do passages optimised for one group of
    trigger words or for one question. In the store they are rows that are one another's
    nearest, with a gap to the next passage where few are planted, and whose words differ
    but for the trigger. Where many triggers are planted, their clusters touch and share
    single words; so it counts how much of the phrase a passage around lacks, not whether
    it has any word of it. Without a gap the words must stand together in each text: what
    forms and templates share is all over them. Names do not count as a phrase: passages
    about one person are honest; so are texts that share long runs of words or most of what
    they say (editions of one page, chunks that overlap). The suspicion is 0.6 for four such
    words in five passages that share hardly another word, or two in nine.

    Source: Chen et al., AgentPoison, NeurIPS 2024, arXiv 2407.12784 (uniqueness and
    compactness); Xue et al., BadRAG, arXiv 2406.00083.
    Differs: those papers attack; the test is the reverse of their objective.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.

    Raises:
        ValueError: an argument out of its range.
    """

    name: ClassVar[str] = "trigger-cluster"

    def __init__(self, *, drop_from: float = 0.6) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        self.drop_from = drop_from

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; none without vectors."""
        return judge_batch(self, batch)

    def read(self, snapshot: Snapshot, part: range) -> Apart | None:
        """The part's rows that stand apart with their neighbours; None in a small store."""
        gap = least_gap(snapshot)
        return None if gap is None else standing_apart(snapshot, part, gap=gap)

    def judge(self, snapshot: Snapshot, readings: Sequence[Apart | None]) -> list[Finding]:
        """Findings in the order of the rows, at most one per passage."""
        apart = [reading for reading in readings if reading is not None]
        if not apart:
            return []
        best: dict[int, Finding] = {}
        sets = {*(cluster.rows for cluster in clusters(apart)), *_nearest_sets(snapshot)}
        for rows in sorted(sets):
            for row, finding in self._judge(snapshot, rows):
                known = best.get(row)
                if known is None or (finding.suspicion or 0) > (known.suspicion or 0):
                    best[row] = finding
        return [best[row] for row in sorted(best)]

    def _judge(self, snapshot: Snapshot, rows: tuple[int, ...]) -> Iterator[tuple[int, Finding]]:
        passages = snapshot.passages(rows)
        texts = [p.text[:READ_CHARS] for p in passages]
        if not _may_share(texts):
            return
        phrase = _phrase(texts)
        if _suspicion(phrase, len(rows)) < MIN_SHOWN:  # whatever the passages around say
            return
        phrase = replace(phrase, n_own=_lacked(phrase.words, words_around(snapshot, rows)))
        if _suspicion(phrase, len(rows)) < MIN_SHOWN:
            return
        gap = float(gaps(snapshot, np.array([rows], dtype=np.intp))[0])
        suspicion = _suspicion(phrase, len(rows), apart=gap > 0)
        if suspicion < MIN_SHOWN:
            return
        ids = [p.id for p in passages]
        shared = ", ".join(phrase.words[:5])
        apart = f"; the next passage is {gap:.2f} less similar" if gap > 0 else ""
        for row, passage in zip(rows, passages, strict=True):
            yield (
                row,
                Finding(
                    passage_id=passage.id,
                    suspicion=round(suspicion, 4),
                    detector=self.name,
                    action=Action.DROP if suspicion >= self.drop_from else Action.KEEP,
                    reason=(
                        f'one of {len(ids)} passages that share "{shared}", of which '
                        f"passages around them lack {phrase.n_own:.0f} or more, and only "
                        f"{phrase.elsewhere:.0%} of their other words{apart}"
                    ),
                    group=group_id(ids),
                    evidence={
                        "n_passages": len(ids),
                        "shared_words": list(phrase.words[:10]),
                        "n_shared_words": len(phrase.words),
                        "n_lacked_around": round(phrase.n_own, 1),
                        "word_overlap_elsewhere": round(phrase.elsewhere, 3),
                        "gap": round(gap, 4),
                        "neighbours": [other for other in ids if other != passage.id][:10],
                        "taxonomy": list(TAXONOMY),
                    },
                ),
            )


def _suspicion(phrase: _Phrase, n: int, *, apart: bool = True) -> float:
    # Two words of nine texts are no more chance than four of five; one word is a topic. Without
    # a gap two are a topic as well, however many texts have them.
    more = (n - 1) / 4
    n_own = phrase.n_own * (more if apart or phrase.n_own >= 3 else min(1.0, more))
    shared = float(np.interp(n_own, (1, 2, 4, 6, 9), (0, 0.25, 0.6, 0.85, 0.95)))
    shared *= float(np.clip(phrase.n_own - 1, 0, 1))
    differ = float(np.interp(phrase.elsewhere, (0.1, 0.2), (1, 0.2)))
    # Titles of a series are all phrase: the texts must say something besides.
    besides = float(np.interp(phrase.n_other, (1, 4), (0, 1)))
    # Editions and chunks of one page share most of what they say, word for word.
    besides *= float(np.interp(phrase.portion, (0.5, 0.7), (1, 0.1)))
    if not apart:
        # A trigger is put in whole; what a form or a template shares is all over the text.
        besides *= float(np.interp(phrase.stretch, (2.5, 4), (1, 0.2)))
    return shared * differ * besides * float(np.interp(phrase.verbatim, (0.2, 0.45), (1, 0.1)))


def _nearest_sets(snapshot: Snapshot) -> list[tuple[int, ...]]:
    """Sets of three to twelve rows that are one another's nearest, with or without a gap."""
    usual = usual_similarity(snapshot, depth=DEPTH)
    cut = float(usual.median[-1] - 0.5 * usual.spread[-1])
    found = []
    for part in snapshot.parts():
        near = snapshot.nearest(part)
        rows, similarity = near.rows[:, :_NEAR], near.similarity[:, :_NEAR]
        row, column = np.nonzero((rows >= 0) & (similarity >= cut))
        first = (row + part.start).astype(np.int32)
        found.append(Links(first, rows[row, column], similarity[row, column]))
    links = mutual(joined(found), len(snapshot))
    groups = linked_groups(links, cut=cut, largest=_LARGEST, step=STEP)
    return [tuple(group) for group in groups if 3 <= len(group) <= _LARGEST]


def _may_share(texts: Sequence[str]) -> bool:
    """Whether enough words are in most of the texts: a first look, before all is read."""
    most = 0.8 * len(texts)
    least = max(2.0, 8 / (len(texts) - 1))
    counts = Counter(word for text in texts for word in set(_WORD.findall(text.lower())))
    n_shared = sum(n >= most and word not in STOP_WORDS for word, n in counts.items())
    return n_shared >= least


def _phrase(texts: Sequence[str]) -> _Phrase:
    """What the texts share, as if no passage around had any of it."""
    held = [set(content_words(text)) for text in texts]
    counts = Counter(word for found in held for word in found)
    shared = {word for word, n in counts.items() if n >= 0.8 * len(texts)}
    named: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for text in texts:
        for word in _WORD.findall(text):
            if word.lower() in shared:
                seen[word.lower()] += 1
                named[word.lower()] += word[0].isupper() or word[0].isdigit()
    own = {word for word in shared if 2 * named[word] < seen[word]}
    rest = [found - shared for found in held]
    portion = [len(found & shared) / max(1, len(found)) for found in held]
    return _Phrase(
        tuple(sorted(own)),
        n_own=float(len(own)),
        elsewhere=_overlap(rest),
        n_other=float(np.mean([len(r) for r in rest])),
        portion=float(np.mean(portion)),
        verbatim=_overlap([_runs(text) for text in texts]),
        stretch=float(np.median([_stretch(text, own) for text in texts])),
    )


def _lacked(words: Sequence[str], around: Sequence[set[str]]) -> float:
    """How many of the words nine in ten of the passages around lack at least."""
    known = [sum(word in other for word in words) for other in around]
    return len(words) - (float(np.quantile(known, 0.9)) if known else 0.0)


def _stretch(text: str, shared: set[str]) -> float:
    """Words of the shortest stretch that holds all those shared that the text has, for each."""
    places = [(i, word) for i, word in enumerate(_WORD.findall(text.lower())) if word in shared]
    wanted = len({word for _, word in places})
    held: Counter[str] = Counter()
    shortest = float("inf")
    first = 0
    for last, word in places:
        held[word] += 1
        while held[places[first][1]] > 1:
            held[places[first][1]] -= 1
            first += 1
        if len(held) == wanted:
            shortest = min(shortest, (last - places[first][0] + 1) / wanted)
    return shortest


def _runs(text: str) -> set[str]:
    """Its runs of ten words; a text that is shorter has none."""
    own = words(text)
    return {" ".join(own[i : i + _RUN]) for i in range(len(own) - _RUN + 1)}


def _overlap(sets: Sequence[set[str]]) -> float:
    """Mean share of the smaller of two sets that the other has too."""
    return float(
        np.mean([len(a & b) / max(1, min(len(a), len(b))) for a, b in combinations(sets, 2)])
    )
