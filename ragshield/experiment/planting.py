"""Retrieving from a corpus with poison planted, without building a store per question."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError
from ragshield.protocols import Attack
from ragshield.records import Corpus, Hit, Passage, Retrieval, Target, Vector, Vectors
from ragshield.vectors import cosines, unit_rows

_TIE = 1e-5  # far above what float32 rounding moves a cosine, far below what matters
_STEP = 64


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One drawn question with its vector and the clean passages that may be retrieved."""

    target: Target
    vector: Vector
    nearest_clean: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Plot:
    """The poison that one attack made for the drawn questions, with its vectors.

    Attributes:
        passages: of all questions, in their order.
        vectors: (n, dim) float32.
        rows: for each question id, which of them are its own.
    """

    passages: tuple[Passage, ...]
    vectors: Vectors
    rows: Mapping[str, range]


class CleanIndex:
    """The clean passages of a corpus with their vectors, ready to be poisoned.

    Args:
        corpus: the corpus.
        vectors: (n, dim) float32, row i of passage i.
    """

    def __init__(self, corpus: Corpus, vectors: Vectors) -> None:
        self.corpus = corpus
        self.vectors = vectors
        self._unit = unit_rows(vectors)

    def nearest(self, question_vectors: Vectors, k: int) -> list[NDArray[np.intp]]:
        """For each question, the rows that can be among the k nearest, in corpus order.

        Rows that tie with the k-th are all there, so that ranking these rows ranks the
        corpus.
        """
        found: list[NDArray[np.intp]] = []
        unit = unit_rows(question_vectors)
        for start in range(0, len(unit), _STEP):
            for row in unit[start : start + _STEP] @ self._unit.T:
                limit = -np.inf
                if k < len(row):
                    limit = np.partition(row, len(row) - k)[len(row) - k] - _TIE
                found.append(np.flatnonzero(row >= limit))
        return found

    def retrieve(self, asked: Asked, plot: Plot, rows: Sequence[int], k: int) -> Retrieval:
        """The k nearest of the corpus and the plot's `rows`, as from a store of both.

        The result is that of a memory store filled with the corpus and then with these
        poisoned passages: exact cosine, ties in that order.
        """
        clean = asked.nearest_clean
        planted = list(rows)
        vectors = np.vstack([self.vectors[clean], plot.vectors[planted]])
        similarity = cosines(vectors, asked.vector)
        order = np.argsort(-similarity, kind="stable")[:k]
        hits = []
        for i in order:
            if i < len(clean):
                passage = self.corpus.passages[clean[i]]
            else:
                passage = plot.passages[planted[i - len(clean)]]
            hits.append(Hit(passage, float(similarity[i])))
        text = asked.target.question.text
        return Retrieval(text, tuple(hits), vectors[order], asked.vector)


def craft_all(
    attack: Attack, targets: Sequence[Target], *, corpus: Corpus, seed: int
) -> tuple[tuple[Passage, ...], dict[str, range]]:
    """Poison for every target, and which of it is whose.

    The randomness of each target depends on the seed, the attack's name, the corpus and
    the question alone: variants of an attack share it, and so does a run that resumes.

    Raises:
        InputError: an id that occurs twice or is one of the corpus.
    """
    taken = {passage.id for passage in corpus.passages}
    passages: list[Passage] = []
    rows = {}
    for target in targets:
        key = "\0".join((str(seed), attack.name, corpus.name, target.question.id))
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        crafted = attack.craft(target, rng=np.random.default_rng(list(digest)))
        for passage in crafted:
            if passage.id in taken:
                raise InputError(
                    f"attack '{attack.name}' made the id '{passage.id}' for question "
                    f"'{target.question.id}', which is taken; ids must be unique"
                )
            taken.add(passage.id)
        rows[target.question.id] = range(len(passages), len(passages) + len(crafted))
        passages.extend(crafted)
    return tuple(passages), rows
