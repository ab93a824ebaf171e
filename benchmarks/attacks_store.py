"""The store that attacks are planted in for the benchmark, and the questions they aim at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from guard_data import DevData
from guard_store import honest_passages

from ragshield.corpora.world import load
from ragshield.encoders import open_encoder
from ragshield.protocols import Encoder
from ragshield.records import Hit, Passage, Question, Retrieval, Target, Vector, Vectors

SETS = ("real", "world")
_DEPTH = 120
"""Honest hits kept for each question: the guard looks at 80 at most."""

FORGED = frozenset("author publisher date title section tags source owner".split())
"""What a document says of itself; all else that an attack notes is shown to no defence."""


class Aim(NamedTuple):
    """A target, and which set of questions it is of."""

    set: str
    target: Target


@dataclass(frozen=True)
class Best:
    """The nearest honest passages of one question: rows and cosines, best first."""

    vector: Vector
    rows: np.ndarray
    similarity: np.ndarray


class CountingEncoder:
    """Counts the texts it embeds; no cache, so that what an attack embeds costs its time."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.model = getattr(encoder, "model", None)
        self.n_texts = 0

    @property
    def name(self) -> str:
        """The wrapped encoder's."""
        return self.encoder.name

    @property
    def dim(self) -> int:
        """The wrapped encoder's."""
        return self.encoder.dim

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Embed and count."""
        self.n_texts += len(texts)
        return self.encoder.encode(texts)


class PlantedStore:
    """Honest passages and, in a copy made by `planted`, poison: exact search by cosine."""

    def __init__(self, passages: Sequence[Passage], vectors: Vectors, encoder: Encoder) -> None:
        self.passages, self.vectors, self.encoder = tuple(passages), vectors, encoder
        self.poison: tuple[Passage, ...] = ()
        self.poison_vectors = vectors[:0]
        self._best: dict[str, Best] = {}

    def planted(self, poison: Sequence[Passage], vectors: Vectors) -> PlantedStore:
        """The same store with poison in it; what is known of the questions is shared."""
        other = PlantedStore(self.passages, self.vectors, self.encoder)
        other._best = self._best
        other.poison, other.poison_vectors = tuple(poison), vectors
        return other

    def know(self, questions: Sequence[str], vectors: Vectors) -> None:
        """Search the honest passages for all questions at once."""
        for start in range(0, len(questions), 64):
            part = vectors[start : start + 64]
            for offset, row in enumerate(part @ self.vectors.T):
                question = questions[start + offset]
                self._best[question] = self._ranked(part[offset], row)

    def retrieve(self, question: str, k: int = 10) -> Retrieval:
        """The k nearest passages, honest or not."""
        if question not in self._best:
            vector = self.encoder.encode([question])[0]
            self._best[question] = self._ranked(vector, self.vectors @ vector)
        best = self._best[question]
        rows, similarity = best.rows[:k], best.similarity[:k]
        planted = self.poison_vectors @ best.vector
        first = np.argsort(-planted, kind="stable")[:k]
        passages = [*(self.passages[i] for i in rows), *(self.poison[i] for i in first)]
        vectors = np.vstack([self.vectors[rows], self.poison_vectors[first]])
        both = np.concatenate([similarity, planted[first]])
        order = np.argsort(-both, kind="stable")[:k]
        hits = tuple(Hit(passages[i], float(both[i])) for i in order)
        return Retrieval(question, hits, vectors[order].astype(np.float32), best.vector)

    def _ranked(self, vector: Vector, similarity: np.ndarray) -> Best:
        depth = min(_DEPTH, len(similarity))
        near = np.argpartition(-similarity, depth - 1)[:depth]
        rows = near[np.argsort(-similarity[near], kind="stable")]
        return Best(vector, rows, similarity[rows])


def built(data: DevData, cache: Path, *, quick: bool) -> tuple[PlantedStore, list[Aim], int]:
    """The store, the aims in random order, and how many of its passages are real ones."""
    embedder = open_encoder("minilm", cache=cache)
    real = [
        Passage(f"{name}-{i}", text, name)
        for name, texts in honest_passages(data).items()
        for i, text in enumerate(texts)
        if not quick or name == "dev"
    ]
    world = load()
    passages = [*real, *world.passages]
    vectors = embedder.encode([p.text for p in passages])
    store = PlantedStore(passages, vectors, CountingEncoder(open_encoder("minilm")))
    aims = _aims(data, world.targets, quick=quick)
    questions = [aim.target.question.text for aim in aims]
    store.know(questions, embedder.encode(questions))
    return store, aims, len(real)


def unlabelled(passages: Sequence[Passage]) -> list[Passage]:
    """The passages as a store would hold them: what they forge stays, labels go."""
    return [replace(p, meta={k: v for k, v in p.meta.items() if k in FORGED}) for p in passages]


def _aims(data: DevData, world: Sequence[Target], *, quick: bool) -> list[Aim]:
    rng = np.random.default_rng(11)
    real = [
        Aim(
            "real",
            Target(
                Question(
                    f"{row['dataset']}-{row['idx']}", row["question"], tuple(row["correct_answers"])
                ),
                row["target_answer"],
                tuple(row["poison"].get("poisonedrag", ())),
            ),
        )
        for row in data.rows("poisoned_qa.jsonl.gz")
    ]
    n = 5 if quick else len(real)
    drawn = [Aim("world", world[i]) for i in rng.choice(len(world), size=n, replace=False)]
    kept = [real[i] for i in rng.permutation(len(real))[:n]]
    # In turn, so that an attack that is stopped by the clock has tried both alike.
    return [aim for pair in zip(kept, drawn, strict=True) for aim in pair]
