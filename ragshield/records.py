"""The shared vocabulary: frozen records that every part passes to the next.

Nothing here computes anything beyond reading its own fields, and nothing here
imports another part of ragshield but the words for a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from ragshield.explaining import explain

Vectors: TypeAlias = NDArray[np.float32]
"""Rows of an embedding, shape (n, dim), float32, as stored: not necessarily unit length."""

Vector: TypeAlias = NDArray[np.float32]
"""One embedding, shape (dim,), float32."""

MetaValue: TypeAlias = str | int | float | bool | None

Kind: TypeAlias = Literal[
    "attack", "corpus", "defender", "encoder", "reader", "recipe", "screen", "store"
]

Status: TypeAlias = Literal[
    "clean", "filtered", "not_judged", "majority_assumption_violated", "abstained"
]
"""What a verdict says about the whole retrieval.

`clean`: judged, nothing removed. `filtered`: something removed. `not_judged`: the
defender could not judge (too few hits, or it failed and the caller chose to go on).
`majority_assumption_violated`: honest passages may be the minority, so what was kept
cannot be trusted. `abstained`: the same, and the guard therefore keeps nothing, as its
caller chose; only a guard says so, never a defender.
"""


class Action(StrEnum):
    """What a judge wants done with one passage."""

    KEEP = "keep"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Passage:
    """One stored text.

    Attributes:
        id: unique in its store.
        text: as stored.
        source: who it came from (owner, URL, file), where known.
        meta: the store's other metadata.
    """

    id: str
    text: str
    source: str | None = None
    meta: Mapping[str, MetaValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """One retrieved passage.

    Attributes:
        passage: what was found.
        similarity: cosine of the question's vector and the stored vector, [-1, 1],
            higher = nearer. NaN where no vectors were given.
    """

    passage: Passage
    similarity: float

    @property
    def id(self) -> str:
        """The passage's id."""
        return self.passage.id

    @property
    def text(self) -> str:
        """The passage's text."""
        return self.passage.text


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its right answers, any one of which counts."""

    id: str
    text: str
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What an attack aims at: a question and the wrong answer it should get.

    Attributes:
        question: the target question, with its right answers where known.
        wrong_answer: what the attacker wants to be answered.
        texts: poisoned texts supplied from outside (a published set), if any.
    """

    question: Question
    wrong_answer: str
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Passages with their stored vectors, row i belonging to passage i.

    Attributes:
        passages: n passages.
        vectors: (n, dim) float32 as stored, or None where the store holds none.
    """

    passages: tuple[Passage, ...]
    vectors: Vectors | None

    def __len__(self) -> int:
        return len(self.passages)


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval(Sequence[Hit]):
    """What a retriever found for one question; a sequence of hits, best first.

    It carries the vectors that the store and the retriever already had, so that no
    defender ever embeds again what has been embedded.

    Attributes:
        question: the text asked.
        hits: k hits in the retriever's order.
        vectors: (k, dim) float32 as stored; row i belongs to hit i.
        question_vector: (dim,) float32, from the encoder that made `vectors`.
        verdict: what a guard judged of all that it looked at, to leave these hits;
            None where no guard was asked.
    """

    question: str
    hits: tuple[Hit, ...]
    vectors: Vectors
    question_vector: Vector
    verdict: Verdict | None = None

    def __len__(self) -> int:
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, index: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[index]

    @property
    def status(self) -> Status:
        """The verdict's status; `not_judged` where no guard was asked."""
        return "not_judged" if self.verdict is None else self.verdict.status

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The hits' passages, in order."""
        return tuple(hit.passage for hit in self.hits)

    @property
    def texts(self) -> tuple[str, ...]:
        """The hits' texts, in order."""
        return tuple(hit.passage.text for hit in self.hits)

    def select(self, indices: Sequence[int]) -> Retrieval:
        """The same retrieval with only the hits at `indices`, in that order, not judged."""
        return Retrieval(
            question=self.question,
            hits=tuple(self.hits[i] for i in indices),
            vectors=self.vectors[list(indices)],
            question_vector=self.question_vector,
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One judgement of one passage; the unit of every report.

    Attributes:
        passage_id: the passage judged.
        suspicion: [0, 1], higher = worse; None = could not judge, which is never 0.
        detector: registry name of the defender or screen that says so.
        action: what the detector wants done.
        reason: one sentence a person can check.
        group: id of the group this passage belongs to, where findings come in groups.
        evidence: what the reason rests on: signal values, ids of neighbours, counts.
    """

    passage_id: str
    suspicion: float | None
    detector: str
    action: Action
    reason: str
    group: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A defender's judgement of one retrieval.

    Attributes:
        kept: the hits that may be read, in the retriever's order; none where a guard
            abstained, though its defenders would have kept some.
        findings: one finding for every hit judged, kept or dropped, in the
            retriever's order.
        status: what can be said about the retrieval as a whole.
        detector: registry name of the defender.
        looked_deeper_from: hits that the guard judged at first, where honest ones
            seemed the minority of those and it retrieved more; None where it did not.
    """

    kept: tuple[Hit, ...]
    findings: tuple[Finding, ...]
    status: Status
    detector: str
    looked_deeper_from: int | None = None

    @property
    def dropped(self) -> tuple[Finding, ...]:
        """The findings of the passages that were removed."""
        return tuple(f for f in self.findings if f.action is Action.DROP)

    @property
    def kept_ids(self) -> tuple[str, ...]:
        """Ids of the kept passages, in order."""
        return tuple(hit.passage.id for hit in self.kept)

    def explain(self) -> str:
        """The verdict in plain sentences, for a person: see `ragshield.explaining`."""
        return explain(self)


@dataclass(frozen=True, slots=True)
class Spec:
    """Name and parameters of a plugin; rebuilds the object from a log line."""

    kind: Kind
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A knowledge base to experiment on.

    Attributes:
        name: registry name and variant, for example `world` or `published/nq`.
        passages: the clean passages.
        questions: questions with right answers.
        targets: questions with a wrong answer each (and supplied poisoned texts).
        subjects: names of entities that can be forgotten, with the ids of the
            questions about them; empty where the corpus does not say.
    """

    name: str
    passages: tuple[Passage, ...]
    questions: tuple[Question, ...]
    targets: tuple[Target, ...] = ()
    subjects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
