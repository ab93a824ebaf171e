"""GARAG-like typing errors: a passage that an eye still reads and a machine stumbles over."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import numpy as np

from ragshield.attacks.crafted import (
    assembled,
    check_choice,
    check_count,
    check_share,
    check_target,
)
from ragshield.attacks.honest import honest_passages
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.typos import with_typos
from ragshield.protocols import Retriever
from ragshield.records import Passage, Target

Texts: TypeAlias = Literal["auto", "true", "supplied", "template"]


_CANDIDATES = 10


class GARAG:
    """Put typing errors into a true passage or into a poisoned text (GARAG, no search).

    From a true passage the attack is untargeted: the answer stays, what stands around it
    decays. From a poisoned text it is a disguise.

    Access: true passages of the knowledge base for `true`; nothing more for the others.
    Source: Cho et al., Findings of EMNLP 2024, arXiv 2404.13948: inner swap, truncation,
    keyboard and natural errors, answer words never touched.
    Differs: no genetic search and no reader's probabilities: errors are drawn at random at
    a rate, the no-model variant. Natural errors come from confusable letter pairs, not from
    the dictionary of the released code, whose licence is unclear.

    Args:
        n: passages for each target.
        prefix: whether the question comes first.
        texts: what gets the errors; `auto` is `true` with a retriever, else the target's
            own texts, else templates.
        rate: share of the words of four or more letters, [0, 1]; the paper's search
            perturbs .2.
        retriever: over the knowledge base that is attacked.

    Raises:
        ValueError: n < 0, a rate outside [0, 1], or an unknown choice of texts.
    """

    name: ClassVar[str] = "garag"

    def __init__(
        self,
        *,
        n: int = 1,
        prefix: bool = True,
        texts: Texts = "auto",
        rate: float = 0.2,
        retriever: Retriever | None = None,
    ) -> None:
        check_choice("texts", texts, Texts)
        self._n = check_count("n", n)
        self._prefix = prefix
        self._texts = texts
        self._rate = check_share("rate", rate)
        self._retriever = retriever

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; `variant` says what they were made of.

        Raises:
            UsageError: an unusable target, no retriever for `true`, or fewer texts than n.
        """
        check_target(self.name, target)
        wanted = self._texts
        if wanted == "auto":
            supplied: Texts = "supplied" if target.texts else "template"
            wanted = "true" if self._retriever is not None else supplied
        if wanted == "true":
            found = honest_passages(self.name, self._retriever, target, k=max(self._n, _CANDIDATES))
            texts = [passage.text for passage in found]
        else:
            texts = list(target.texts) if wanted == "supplied" else statements(target, rng)
        kept = [target.wrong_answer, *target.question.answers]
        return assembled(
            self.name,
            target,
            [
                with_typos(text, kept, own, rate=self._rate)
                for text, own in zip(texts, rng.spawn(len(texts)), strict=True)
            ],
            n=self._n,
            prefix=self._prefix,
            variant=wanted,
            promised=wanted != "true",
        )
