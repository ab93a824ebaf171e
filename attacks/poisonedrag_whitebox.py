"""PoisonedRAG, white box: the retrieval part is optimised with the retriever's gradients."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import check_count, check_target, generation_text
from ragshield.attacks.hotflip import Search
from ragshield.attacks.objectives import Contrast
from ragshield.attacks.optimised import optimised
from ragshield.attacks.poisonedrag import PoisonedRAG, Texts
from ragshield.attacks.white_box import WhiteBox
from ragshield.attacks.writing import Model
from ragshield.protocols import Encoder
from ragshield.records import Passage, Target


class PoisonedRAGWhiteBox:
    """Raise a poisoned text's similarity to the question by gradients (PoisonedRAG, white box).

    P = S + I as in the black box; S begins as the question, and HotFlip replaces its tokens to
    bring E(S + I) near E(question). I stays.

    Access: the question, the wrong answer, the weights of the retriever's encoder.
    Source: Zou, Geng, Wang, Jia, USENIX Security 2025, arXiv 2402.07867, section 4.3.
    Compared with: sleeepeer/PoisonedRAG@168d189.
    Differs: the released code evaluates S and I as two texts with special tokens each, may flip
    those, and truncates each at 128 tokens; here one text is tokenised as the victim will.
    It has 30 steps of 100 candidates and no early stop; the budget is the same by default.
    Special, unused and broken-word tokens are never put in, nor words of a right answer.

    Cost per passage: at most `budget` texts embedded, and one gradient for each accepted
    replacement.

    Args:
        n: passages for each target.
        texts: where I comes from, as for `poisonedrag`.
        llm: for that.
        encoder: the retriever's, a sentence-transformers model.
        budget: texts embedded for each passage.
        n_candidates: replacements evaluated in one step.
        stop_at: similarity that is enough; None to use the budget up.
        subwords: whether continuations of words may be put in, as in the paper.

    Raises:
        UsageError: `texts` is `llm` without a model.
        ValueError: n < 0, budget < 1 or n_candidates < 1.
    """

    name: ClassVar[str] = "poisonedrag-whitebox"
    needs: ClassVar[tuple[str, ...]] = ("encoder",)

    def __init__(
        self,
        *,
        n: int = 5,
        texts: Texts = "auto",
        llm: Model = None,
        encoder: Encoder | None = None,
        budget: int = 3000,
        n_candidates: int = 100,
        stop_at: float | None = None,
        subwords: bool = False,
    ) -> None:
        self._texts = PoisonedRAG(n=check_count("n", n), prefix=False, texts=texts, llm=llm)
        self._search = Search(
            budget=check_count("budget", budget, 1),
            n_candidates=check_count("n_candidates", n_candidates, 1),
            stop_at=stop_at,
            subwords=subwords,
        )
        self._encoder = encoder
        self._box: WhiteBox | None = None

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; the similarity is `objective_before` and `objective_after`.

        Raises:
            UsageError: an unusable target, no encoder with gradients, or fewer texts than n.
            MissingExtraError: torch or sentence-transformers is not installed.
            IncompleteError: the language model failed.
        """
        check_target(self.name, target)
        box = self._box = self._box or WhiteBox(self.name, self._encoder)
        inner = self._texts.craft(target, rng=rng)
        objective = Contrast(box.embed([target.question.text]))
        return [
            optimised(
                self.name,
                target,
                index,
                box,
                objective,
                start=target.question.text,
                payload=generation_text(text),
                search=self._search,
                rng=own,
                variant=str(text.meta["variant"]),
                avoid=target.question.answers,
                verified=text.meta["verified"],  # type: ignore[arg-type]
                n_llm_calls=int(text.meta["n_llm_calls"] or 0),
            )
            for index, (text, own) in enumerate(zip(inner, rng.spawn(len(inner)), strict=True))
        ]
