"""Passages that are near to too many others, as a passage made for every question is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import UsageError
from ragshield.protocols import Encoder, Snapshot
from ragshield.records import Action, Batch, Finding, Vectors
from ragshield.screens.encoding import encoder_of
from ragshield.screens.tails import expected_beyond, robust_z, suspicion_from
from ragshield.screens.whole import judge_batch
from ragshield.vectors import unit_rows

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0066", "LLM08:2025", "LLM09:2026")
"""MITRE ATLAS Retrieval Content Crafting; OWASP embedding weaknesses, with the year."""

_MIN_STORE = 100
_QUESTION_DEPTH = 10


class _Reading(NamedTuple):
    """Of one part: how often each row is named as a neighbour, and the rows near questions.

    Attributes:
        rows: rows named by the part, ascending, (m,) int32.
        counts: how often, (m,) int32.
        near_rows: the part's rows nearest to each question, (questions, at most 10) int32.
        near_similarity: their cosines, the same shape, float32.
    """

    rows: NDArray[np.int32]
    counts: NDArray[np.int32]
    near_rows: NDArray[np.int32]
    near_similarity: NDArray[np.float32]


class Hubness:
    """Passages that are a nearest neighbour of far more passages than this store's hubs are.

    Poison that should be found for any question (corpus poisoning, centroids, blockers)
    has to lie near everything. In the graph of nearest neighbours it is named by many
    rows. Honest stores have hubs too, and their counts fall off exponentially: from the
    store's own 90 % and 99 % quantiles the screen tells how many hubs as large an honest
    store of this size would have. The suspicion is 0.5 where that is 0.05, so one honest
    store in twenty has such a passage, and it rises by 0.15 for every ten times fewer.

    Source: Habler et al., HubScan, arXiv 2602.22427 (reverse neighbours, median and MAD).
    Differs: z of counts with that heavy a tail names natural hubs, so the tail itself is
    fitted; the robust z is in the evidence. Where questions are given, being among the ten
    nearest of many of them counts in the same way (sentinel queries, arXiv 2606.19692).

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.
        questions: plausible questions, such as a log's; at least 30 to be of use.
        encoder: the encoder that filled the store, or its registry name; for `questions`.

    Raises:
        ValueError: drop_from out of its range, or questions without an encoder.
    """

    name: ClassVar[str] = "hubness"

    def __init__(
        self,
        *,
        drop_from: float = 0.5,
        questions: Sequence[str] = (),
        encoder: Encoder | str | None = None,
    ) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        if questions and encoder is None:
            raise ValueError("questions need an encoder: give the one that filled the store")
        self.drop_from = drop_from
        self.questions = tuple(questions)
        self.encoder = encoder
        self._question_vectors: Vectors | None = None

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order; none below 100 passages with vectors."""
        return judge_batch(self, batch)

    def read(self, snapshot: Snapshot, part: range) -> _Reading:
        """Who is named how often by the part's rows, and who is near the questions.

        Raises:
            UsageError: the questions' encoder has another width than the store.
        """
        named = snapshot.nearest(part).rows
        rows, counts = np.unique(named[named >= 0], return_counts=True)
        near_rows, near = self._near_questions(snapshot, part)
        return _Reading(rows.astype(np.int32), counts.astype(np.int32), near_rows, near)

    def judge(self, snapshot: Snapshot, readings: Sequence[_Reading]) -> list[Finding]:
        """Findings in the order of the rows, at most one per passage."""
        n = len(snapshot)
        degree = np.zeros(n, dtype=np.int64)
        for reading in readings:
            degree[reading.rows] += reading.counts
        asked = self._asked(n, readings)
        if np.count_nonzero(degree) < _MIN_STORE:
            return []
        expected = expected_beyond(degree, least_scale=0.5)
        # Most passages are near no question: those that are make the distribution.
        by_questions = np.full(n, np.inf)
        reached = asked > 0
        if np.count_nonzero(reached) >= _MIN_STORE:
            by_questions[reached] = expected_beyond(asked[reached], least_scale=0.5)
        suspicion = np.maximum(suspicion_from(expected), suspicion_from(by_questions))
        chosen = np.flatnonzero(suspicion >= MIN_SHOWN)
        naming = _naming(snapshot, chosen)
        z = robust_z(degree)
        findings = []
        for row, passage in zip(chosen.tolist(), snapshot.passages(chosen.tolist()), strict=True):
            others = snapshot.passages(naming[row][:10])
            findings.append(
                Finding(
                    passage_id=passage.id,
                    suspicion=round(float(suspicion[row]), 4),
                    detector=self.name,
                    action=Action.DROP if suspicion[row] >= self.drop_from else Action.KEEP,
                    reason=self._reason(degree, asked, row, expected, by_questions),
                    evidence={
                        "n_naming": int(degree[row]),
                        "usual_naming": int(np.median(degree)),
                        "robust_z": round(float(z[row]), 2),
                        "expected_in_honest_store": float(f"{expected[row]:.2g}"),
                        "n_questions": int(asked[row]) if self.questions else None,
                        "neighbours": [other.id for other in others],
                        "taxonomy": list(TAXONOMY),
                    },
                )
            )
        return findings

    def _reason(
        self,
        degree: NDArray[np.int64],
        asked: NDArray[np.int64],
        row: int,
        expected: NDArray[np.float64],
        by_questions: NDArray[np.float64],
    ) -> str:
        if by_questions[row] < expected[row]:
            return (
                f"among the {_QUESTION_DEPTH} nearest of {asked[row]} of "
                f"{len(self.questions)} questions, usually of "
                f"{int(np.median(asked[asked > 0]))} where of any"
            )
        return (
            f"a nearest neighbour of {degree[row]} passages, usually of "
            f"{int(np.median(degree))}; an honest store of this size has "
            f"{expected[row]:.1g} passages named as often"
        )

    def _near_questions(
        self, snapshot: Snapshot, part: range
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        if not self.questions or self.encoder is None or snapshot.dim is None:
            nothing = np.empty((0, 0))
            return nothing.astype(np.int32), nothing.astype(np.float32)
        if self._question_vectors is None:
            encoder = encoder_of(self.encoder)
            self._question_vectors = unit_rows(encoder.encode(self.questions))
        asked = self._question_vectors
        if asked.shape[1] != snapshot.dim:
            raise UsageError(
                f"the encoder gives {asked.shape[1]} dimensions, the store has {snapshot.dim}; "
                "use the encoder that filled the store"
            )
        similarity = asked @ snapshot.unit(part).T
        k = min(_QUESTION_DEPTH, len(part))
        top = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        return (top + part.start).astype(np.int32), np.take_along_axis(similarity, top, axis=1)

    def _asked(self, n: int, readings: Sequence[_Reading]) -> NDArray[np.int64]:
        """Per row: for how many questions it is among the ten nearest."""
        if not self.questions or not readings:
            return np.zeros(n, dtype=np.int64)
        rows = np.concatenate([r.near_rows for r in readings], axis=1)
        similarity = np.concatenate([r.near_similarity for r in readings], axis=1)
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :_QUESTION_DEPTH]
        return np.bincount(np.take_along_axis(rows, best, axis=1).ravel(), minlength=n)


def _naming(snapshot: Snapshot, rows: NDArray[np.intp]) -> dict[int, list[int]]:
    """Who names each of these rows, the nearest first."""
    found: dict[int, list[tuple[float, int]]] = {row: [] for row in rows.tolist()}
    for part in snapshot.parts() if len(rows) else ():
        nearest = snapshot.nearest(part)
        own, column = np.nonzero(np.isin(nearest.rows, rows))
        for i, j in zip(own.tolist(), column.tolist(), strict=True):
            pair = (-float(nearest.similarity[i, j]), part.start + i)
            found[int(nearest.rows[i, j])].append(pair)
    return {row: [other for _, other in sorted(pairs)] for row, pairs in found.items()}
