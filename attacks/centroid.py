"""Centroid passage: one text in the middle of all questions, which claims to answer them all."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import check_count, check_target
from ragshield.attacks.hotflip import Search
from ragshield.attacks.objectives import Contrast
from ragshield.attacks.optimised import optimised
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.question_sets import (
    Questions,
    aimed_at,
    clusters,
    read_questions,
    word_salad,
)
from ragshield.attacks.templates import table
from ragshield.attacks.white_box import WhiteBox
from ragshield.protocols import Encoder
from ragshield.records import Passage, Target
from ragshield.vectors import unit_rows


class Centroid:
    """Put a passage in the middle of all questions that claims to answer any (centroid poison).

    HotFlip brings the whole passage, claim and wrong answer included, near the unit mean
    of a set of questions, or of each of its clusters.

    Access: the weights of the retriever's encoder, and questions like those to come.
    Source: the global attack of MM-PoisonRAG (arXiv 2502.17832) carried to text: this project's.
    Differs: tokens are searched where the original follows the gradient of an image's pixels; a
    claim of relevance stands for its caption. No reranker or reader in the loop.

    Cost per passage: at most `budget` texts embedded; the questions once for each target.

    Args:
        n: passages for each target, and clusters.
        questions: the set; None for the target's own question alone.
        claim: whether the passage claims to answer everything.
        n_tokens: length of the optimised part, in words at the start.
        encoder: the retriever's, a sentence-transformers model.
        budget: texts embedded for each passage.
        n_candidates: replacements evaluated in one step.

    Raises:
        UsageError: no questions in the set.
        InputError: an unreadable file of questions.
        ValueError: n < 0, or another number < 1.
    """

    name: ClassVar[str] = "centroid"
    needs: ClassVar[tuple[str, ...]] = ("encoder",)

    def __init__(
        self,
        *,
        n: int = 1,
        questions: Questions = None,
        claim: bool = True,
        n_tokens: int = 40,
        encoder: Encoder | None = None,
        budget: int = 5000,
        n_candidates: int = 100,
    ) -> None:
        self._n = check_count("n", n)
        self._questions = read_questions(self.name, questions)
        self._claim = claim
        self._n_tokens = check_count("n_tokens", n_tokens, 1)
        self._search = Search(
            budget=check_count("budget", budget, 1),
            n_candidates=check_count("n_candidates", n_candidates, 1),
        )
        self._encoder = encoder
        self._box: WhiteBox | None = None

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The n passages; their cosine to the centre is `objective_after`.

        Raises:
            UsageError: an unusable target, or no encoder with gradients.
            MissingExtraError: torch or sentence-transformers is not installed.
        """
        check_target(self.name, target)
        box = self._box = self._box or WhiteBox(self.name, self._encoder)
        if not self._n:
            return []
        questions = aimed_at(self._questions, target)
        vectors = box.embed(questions)
        labels = clusters(vectors, self._n, rng)
        texts = statements(target, rng)
        claims: list[str] = table("centroid.toml")["claims"]
        made = []
        for index, own in enumerate(rng.spawn(self._n)):
            rows = np.flatnonzero(labels == index % (int(labels.max()) + 1))
            centre = unit_rows(vectors[rows].mean(axis=0, keepdims=True))
            payload = texts[index % len(texts)]
            if self._claim:
                payload = f"{claims[index % len(claims)]} {payload}"
            made.append(
                optimised(
                    self.name,
                    target,
                    index,
                    box,
                    Contrast(centre),
                    start=word_salad([questions[i] for i in rows], self._n_tokens, own),
                    payload=payload,
                    search=self._search,
                    rng=own,
                    variant="claim" if self._claim else "no claim",
                    avoid=target.question.answers,
                    n_encoder_calls=len(questions) if index == 0 else 0,
                    more={"n_questions": len(rows)},
                )
            )
        return made
