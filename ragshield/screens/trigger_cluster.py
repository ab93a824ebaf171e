"""Tight clusters of passages that share a phrase and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np

from ragshield.protocols import Snapshot
from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.apart import Apart, Cluster, clusters, least_gap, standing_apart
from ragshield.screens.groups import group_id
from ragshield.screens.whole import judge_batch
from ragshield.text import content_words, words

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0066", "AML.T0051.002", "LLM04:2025", "LLM08:2025", "LLM05:2026", "LLM09:2026")
"""MITRE ATLAS Retrieval Content Crafting, Triggered Prompt Injection; OWASP, with the year."""

_READ_CHARS = 4000
_RUN = 10
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Phrase:
    """What a cluster's texts share.

    Attributes:
        words: shared words that are no names and that the surrounding texts lack.
        elsewhere: mean share of the other words that two members have in common, [0, 1].
        n_other: mean number of other words.
        portion: mean share of a text's words that the others have too, [0, 1].
        verbatim: mean share of their runs of ten words that two members have in common, [0, 1].
    """

    words: tuple[str, ...]
    elsewhere: float
    n_other: float
    portion: float
    verbatim: float


class TriggerCluster:
    """Tight clusters apart from all else whose texts share a phrase and otherwise differ.

    A trigger is optimised so that whatever carries it lies close together (compactness)
    and far from honest passages (uniqueness); so do passages optimised for one group of
    trigger words or for one question. In the store they are a small set of rows whose
    neighbours are one another, with a gap to the next passage, and whose words differ but
    for the trigger. Names do not count as a phrase: passages about one person are honest;
    so are texts that share long runs of words or most of what they say (editions of one
    page, chunks that overlap). The suspicion is 0.5 for about four shared words that the
    passages around lack; one in two hundred honest tight clusters has as many.

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
        best: dict[int, Finding] = {}
        for cluster in clusters([reading for reading in readings if reading is not None]):
            for row, finding in self._judge(snapshot, cluster):
                known = best.get(row)
                if known is None or (finding.suspicion or 0) > (known.suspicion or 0):
                    best[row] = finding
        return [best[row] for row in sorted(best)]

    def _judge(self, snapshot: Snapshot, cluster: Cluster) -> Iterator[tuple[int, Finding]]:
        passages = snapshot.passages(cluster.rows)
        phrase = _phrase(passages, _around(snapshot, cluster))
        suspicion = _suspicion(phrase)
        if suspicion < MIN_SHOWN:
            return
        ids = [p.id for p in passages]
        words = ", ".join(phrase.words[:5])
        for row, passage in zip(cluster.rows, passages, strict=True):
            yield (
                row,
                Finding(
                    passage_id=passage.id,
                    suspicion=round(suspicion, 4),
                    detector=self.name,
                    action=Action.DROP if suspicion >= self.drop_from else Action.KEEP,
                    reason=(
                        f'one of {len(ids)} passages that share "{words}", which passages '
                        f"around them lack, and only {phrase.elsewhere:.0%} of their other "
                        f"words; the next passage is {cluster.gap:.2f} less similar"
                    ),
                    group=group_id(ids),
                    evidence={
                        "n_passages": len(ids),
                        "shared_words": list(phrase.words[:10]),
                        "n_shared_words": len(phrase.words),
                        "word_overlap_elsewhere": round(phrase.elsewhere, 3),
                        "gap": round(cluster.gap, 4),
                        "neighbours": [other for other in ids if other != passage.id][:10],
                        "taxonomy": list(TAXONOMY),
                    },
                ),
            )


def _suspicion(phrase: _Phrase) -> float:
    shared = float(np.interp(len(phrase.words), (1, 2, 4, 6, 9), (0, 0.25, 0.6, 0.85, 0.95)))
    differ = float(np.interp(phrase.elsewhere, (0.12, 0.3), (1, 0.2)))
    # Titles of a series are all phrase: the texts must say something besides.
    besides = float(np.interp(phrase.n_other, (1, 4), (0, 1)))
    # Editions and chunks of one page share most of what they say, word for word.
    besides *= float(np.interp(phrase.portion, (0.5, 0.7), (1, 0.1)))
    return shared * differ * besides * float(np.interp(phrase.verbatim, (0.2, 0.45), (1, 0.1)))


def _around(snapshot: Snapshot, cluster: Cluster) -> list[set[str]]:
    near = snapshot.nearest(cluster.rows).rows
    others = sorted({int(row) for row in near.ravel() if row >= 0} - set(cluster.rows))
    return [set(content_words(p.text[:_READ_CHARS])) for p in snapshot.passages(others)]


def _phrase(passages: Sequence[Passage], around: Sequence[set[str]]) -> _Phrase:
    texts = [p.text[:_READ_CHARS] for p in passages]
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
    own = sorted(
        word
        for word in shared
        if 2 * named[word] < seen[word]
        and sum(1 for other in around if word in other) <= 0.1 * len(around)
    )
    rest = [found - shared for found in held]
    portion = [len(found & shared) / max(1, len(found)) for found in held]
    return _Phrase(
        tuple(own),
        elsewhere=_overlap(rest),
        n_other=float(np.mean([len(r) for r in rest])),
        portion=float(np.mean(portion)),
        verbatim=_overlap([_runs(text) for text in texts]),
    )


def _runs(text: str) -> set[str]:
    """Its runs of ten words; a text that is shorter has none."""
    own = words(text)
    return {" ".join(own[i : i + _RUN]) for i in range(len(own) - _RUN + 1)}


def _overlap(sets: Sequence[set[str]]) -> float:
    """Mean share of the smaller of two sets that the other has too."""
    return float(
        np.mean([len(a & b) / max(1, min(len(a), len(b))) for a, b in combinations(sets, 2)])
    )
