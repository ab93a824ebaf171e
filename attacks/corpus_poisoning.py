"""Corpus poisoning: one passage that many questions find, for each cluster of them."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import numpy as np

from ragshield.attacks.crafted import check_choice, check_count, check_target
from ragshield.attacks.hotflip import Search
from ragshield.attacks.objectives import Contrast, Objective, Winning
from ragshield.attacks.optimised import optimised
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.question_sets import (
    Questions,
    aimed_at,
    clusters,
    read_questions,
    word_salad,
)
from ragshield.attacks.white_box import WhiteBox
from ragshield.errors import UsageError
from ragshield.protocols import Encoder, Retriever
from ragshield.records import Passage, Target, Vectors

Aim: TypeAlias = Literal["mean", "winning"]
Payload: TypeAlias = Literal["none", "statement"]


class CorpusPoisoning:
    """Optimise passages that many questions find, seen or not (corpus poisoning by HotFlip).

    The questions are clustered by k-means, one passage for each cluster; HotFlip raises its
    mean similarity to the cluster's questions. The text is gibberish.

    Access: the weights of the retriever's encoder, and questions like those to come; for
    `winning` also the best passage of each.
    Source: Zhong, Huang, Wettig, Chen, EMNLP 2023, arXiv 2310.19156. Compared with:
    princeton-nlp/corpus-poisoning@f3726e4.
    Differs: the mean over all questions of a cluster is one product with their mean vector, so
    there are no batches of 64, no noise and no second batch for the candidates; nor is a part
    of the questions held back to pick the best text. It starts from words of the
    questions instead of 50 [MASK]. The released code takes a step if the count of won questions
    rises and then installs the candidate with the best mean; here either is aimed at.

    Cost per passage: at most `budget` texts embedded; the questions once for each target.

    Args:
        n: passages for each target, and clusters; where there are fewer questions than n,
            passages share one and differ by their start.
        questions: the set; None for the target's own question alone.
        n_tokens: length of a passage before its payload, in words at the start.
        aim: `mean` similarity, or `winning` against the best stored passage of each question.
        payload: `none` is the paper's; `statement` of the wrong answer behind it.
        encoder: the retriever's, a sentence-transformers model.
        retriever: over the knowledge base, for `winning`.
        budget: texts embedded for each passage; the paper's 5,000 steps would be 500,000.
        n_candidates: replacements evaluated in one step.

    Raises:
        UsageError: no questions in the set.
        InputError: an unreadable file of questions.
        ValueError: n < 0, another number < 1, or an unknown choice.
    """

    name: ClassVar[str] = "corpus-poisoning"
    needs: ClassVar[tuple[str, ...]] = ("encoder",)

    def __init__(
        self,
        *,
        n: int = 1,
        questions: Questions = None,
        n_tokens: int = 50,
        aim: Aim = "mean",
        payload: Payload = "none",
        encoder: Encoder | None = None,
        retriever: Retriever | None = None,
        budget: int = 10000,
        n_candidates: int = 100,
    ) -> None:
        check_choice("aim", aim, Aim)
        check_choice("payload", payload, Payload)
        self._n = check_count("n", n)
        self._questions = read_questions(self.name, questions)
        self._n_tokens = check_count("n_tokens", n_tokens, 1)
        self._aim = aim
        self._payload = payload
        self._retriever = retriever
        self._search = Search(
            budget=check_count("budget", budget, 1),
            n_candidates=check_count("n_candidates", n_candidates, 1),
        )
        self._encoder = encoder
        self._box: WhiteBox | None = None

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The n passages; `n_questions` in their metadata is the size of their cluster.

        Raises:
            UsageError: an unusable target, no encoder with gradients, or no retriever for
                `winning`.
            MissingExtraError: torch or sentence-transformers is not installed.
        """
        check_target(self.name, target, answer=self._payload == "statement")
        box = self._box = self._box or WhiteBox(self.name, self._encoder)
        if not self._n:
            return []
        questions = aimed_at(self._questions, target)
        vectors = box.embed(questions)
        labels = clusters(vectors, self._n, rng)
        texts = statements(target, rng) if self._payload == "statement" else [""]
        made = []
        for index, own in enumerate(rng.spawn(self._n)):
            rows = np.flatnonzero(labels == index % (int(labels.max()) + 1))
            members = [questions[i] for i in rows]
            made.append(
                optimised(
                    self.name,
                    target,
                    index,
                    box,
                    self._objective(members, vectors[rows]),
                    start=word_salad(members, self._n_tokens, own),
                    payload=texts[index % len(texts)],
                    search=self._search,
                    rng=own,
                    variant=self._aim,
                    promised=self._payload == "statement",
                    n_encoder_calls=len(questions) if index == 0 else 0,
                    more={"n_questions": len(members)},
                )
            )
        return made

    def _objective(self, questions: list[str], vectors: Vectors) -> Objective:
        if self._aim == "mean":
            return Contrast(vectors)
        if self._retriever is None:
            raise UsageError(
                f"{self.name}: aim 'winning' needs the passages to win against: "
                "pass a retriever over them (ragshield attack --store URL)"
            )
        best = [self._retriever.retrieve(question, 1) for question in questions]
        rivals = [found[0].similarity if len(found) else -1.0 for found in best]
        return Winning(vectors, np.array(rivals, dtype=np.float32))
