"""Groups of passages that say one thing in several wordings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Action, Batch, Finding, Passage, Vectors
from ragshield.screens.groups import group_id
from ragshield.screens.neighbours import Background, background, lexical_vectors, linked_groups
from ragshield.text import STOP_WORDS, content_words, normal_form
from ragshield.vectors import unit_rows

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0070", "LLM04:2025", "LLM08:2025", "LLM05:2026", "LLM09:2026")
"""MITRE ATLAS RAG Poisoning; OWASP data poisoning and embedding weaknesses, with the year."""

_DEPTH = 8
_MIN_STORE = 40
_READ_CHARS = 4000
_MARKS = re.compile(r"\b(?:[^\W\d_a-zß-öø-ÿ]\w+|\d+)\b")
"""Names and numbers: what a claim is about, where a text has capitals."""


@dataclass(frozen=True, slots=True)
class _Texts:
    """What a group's texts have in common; rows and columns in the group's order."""

    agreement: NDArray[np.float64]
    overlap: float
    series: float
    n_distinct: int
    shared: tuple[str, ...]


class NearDuplicates:
    """Groups of passages that say the same, more alike than this store's passages are.

    Poison planted to win a retrieval comes in several wordings of one claim (PoisonedRAG
    plants five). Honest stores hold look-alikes too, so everything is measured against the
    store itself: for each group, how much nearer its members are to their k-th neighbour
    in it than passages of this store usually are to their k-th neighbour (robust z).
    Suspicion rises with that, with the number of different texts, and with how far they
    agree on names and numbers. It falls for a series of records, the same words about
    different things (a table cut into rows), and identical copies count once.

    Differs: corpus-level duplicate filters (exact, MinHash) ask for the same words, which
    paraphrased poison avoids; here the vectors group and the words only judge the group.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.
        min_similarity: cosine in (0, 1) below which stored passages are never linked.

    Raises:
        ValueError: an argument out of its range.
    """

    name: ClassVar[str] = "near-duplicates"

    def __init__(self, *, drop_from: float = 0.5, min_similarity: float = 0.65) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        if not 0 < min_similarity < 1:
            raise ValueError(f"min_similarity is {min_similarity}; it must be in (0, 1)")
        self.drop_from = drop_from
        self.min_similarity = min_similarity

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage.

        Passages whose vector is NaN, infinite or zero are left out. A batch without
        vectors is compared by its words. Below 40 passages there is no background to
        measure, and that of an ordinary store is assumed.
        """
        floor = self.min_similarity
        if batch.vectors is None:
            rows, unit = _usable(lexical_vectors([p.text for p in batch.passages]))
            floor *= 0.5  # paraphrases share half their words at best
        else:
            rows, unit = _usable(batch.vectors)
        if len(rows) < 2:
            return []
        usual = _usual(unit)
        cut = float(np.clip(usual.median[0] + usual.spread[0], floor, 0.95))
        findings: dict[int, Finding] = {}
        for members in linked_groups(unit, cut=cut):
            passages = [batch.passages[rows[i]] for i in members]
            judged = self._judge(passages, unit[members], usual, floor)
            findings.update(zip((int(rows[i]) for i in members), judged, strict=True))
        return [
            findings[row] for row in sorted(findings) if (findings[row].suspicion or 0) >= MIN_SHOWN
        ]

    def _judge(
        self, passages: Sequence[Passage], unit: Vectors, usual: Background, floor: float
    ) -> list[Finding]:
        n = len(passages)
        similarity = np.clip(unit @ unit.T, -1, 1).astype(np.float64)
        np.fill_diagonal(similarity, -2)
        k = min(n - 1, _DEPTH)
        kth = -np.sort(-similarity, axis=1)[:, k - 1]
        texts = _compare([p.text[:_READ_CHARS] for p in passages])
        size = 1 - 0.72 ** (texts.n_distinct - 1) if texts.n_distinct > 1 else 0.3
        if texts.n_distinct > 2:
            size += 0.12
        sources = {p.source for p in passages}
        if None not in sources and len(sources) == n > 2:
            size *= 0.85  # as many sources as passages: harder to plant
        ids = [p.id for p in passages]
        group = group_id(ids)
        findings = []
        for i, passage in enumerate(passages):
            excess = usual.excess(float(kth[i]), k)
            stands_out = float(np.clip((excess - 1.5) / 1.5, 0, 1))
            near = float(np.clip((kth[i] - floor + 0.15) / 0.2, 0, 1))
            # A passage that fits a loose group is no better a sign than the group.
            agreement = min(float(texts.agreement[i]), float(texts.agreement.mean()))
            agrees = float(np.clip((agreement - 0.1) / 0.5, 0.2, 1))
            suspicion = min(size, 0.98) * stands_out * near * agrees * (1 - 0.7 * texts.series)
            if texts.n_distinct == 1:
                suspicion = size
            order = [int(j) for j in np.argsort(-similarity[i], kind="stable")[: min(n - 1, 10)]]
            evidence = {
                "n_passages": n,
                "n_distinct": texts.n_distinct,
                "similarity_to_kth": round(float(kth[i]), 4),
                "k": k,
                "usual_similarity": round(float(usual.median[k - 1]), 4),
                "excess": round(excess, 2),
                "agreement": round(float(texts.agreement[i]), 3),
                "word_overlap": round(texts.overlap, 3),
                "series": round(texts.series, 3),
                "shared_words": list(texts.shared),
                "taxonomy": list(TAXONOMY),
                "n_sources": len(sources - {None}) or None,
                "neighbours": [ids[j] for j in order],
                "similarities": [round(float(similarity[i, j]), 4) for j in order],
            }
            findings.append(
                Finding(
                    passage_id=passage.id,
                    suspicion=round(suspicion, 4),
                    detector=self.name,
                    action=Action.DROP if suspicion >= self.drop_from else Action.KEEP,
                    reason=_reason(texts, n, k, float(kth[i]), usual),
                    group=group,
                    evidence=evidence,
                )
            )
        return findings


def _usable(vectors: Vectors) -> tuple[NDArray[np.intp], Vectors]:
    """Rows with a direction, and those rows at length 1."""
    good = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    rows = np.flatnonzero(good)
    return rows, unit_rows(np.asarray(vectors[rows], dtype=np.float32))


def _usual(unit: Vectors) -> Background:
    if unit.shape[0] >= _MIN_STORE:
        return background(unit, depth=_DEPTH)
    # What general English stores show under MiniLM, on the side of fewer findings.
    k = np.arange(_DEPTH)
    median = np.asarray(0.6 - 0.02 * k, dtype=np.float64)
    return Background(median, np.full(_DEPTH, 0.08, dtype=np.float64), 0)


def _compare(texts: Sequence[str]) -> _Texts:
    words = [set(content_words(text)) for text in texts]
    marks = [
        {m.lower() for m in _MARKS.findall(text) if m.lower() not in STOP_WORDS} for text in texts
    ]
    n_marks = float(np.median([len(found) for found in marks]))
    # Texts without capitals or numbers are judged by all their words, which vary more.
    carrying, scale = (marks, 1.0) if n_marks >= 2 else (words, 0.45)
    counts = Counter(word for found in carrying for word in found)
    common = {word for word, n in counts.items() if n >= 0.6 * len(texts) and n > 1}
    agreement = np.array(
        [min(1.0, len(found & common) / (scale * max(len(found), 1))) for found in carrying]
    )
    # A large group is judged by its first 20: every pair of 1,000 would take minutes.
    pairs = list(combinations(range(min(len(texts), 20)), 2))
    overlaps = [
        len(words[a] & words[b]) / max(1, min(len(words[a]), len(words[b]))) for a, b in pairs
    ]
    overlap = float(np.mean(overlaps))
    differing = float(
        np.mean([bool(marks[a] - marks[b] and marks[b] - marks[a]) for a, b in pairs])
    )
    series = float(np.clip((overlap - 0.45) / 0.15, 0, 1)) * differing
    shared = sorted(common, key=lambda word: (-counts[word], word))[:8]
    return _Texts(agreement, overlap, series, len({normal_form(t) for t in texts}), tuple(shared))


def _reason(texts: _Texts, n: int, k: int, kth: float, usual: Background) -> str:
    if texts.n_distinct == 1:
        return f"{n} passages are copies of one text"
    about = f' about "{", ".join(texts.shared[:3])}"' if texts.shared else ""
    return (
        f"one of {n} passages that say nearly the same{about}: similarity {kth:.2f} to "
        f"neighbour {k} of the group, usually {usual.median[k - 1]:.2f} in this store"
    )
