"""CorruptRAG-AS: one text that calls the right answer outdated."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import assembled, check_count, check_target
from ragshield.attacks.templates import filled, table
from ragshield.records import Passage, Target


class CorruptRAG:
    """Call the right answer outdated and the wrong one the latest (CorruptRAG-AS).

    One passage is enough: it does not outvote the honest ones, it discredits them.
    P = question + p_adv (outdated texts give the right answer) + p_state (the latest data
    give the wrong one).

    Access: the question, the wrong answer and the right one; without a right answer p_adv
    speaks of an incorrect answer and names none.
    Source: arXiv 2504.03957, ACM SACMAT 2026, equation 4, sections 4.3 and 4.4. No official
    code was released.
    Differs: the paper plants one text; the first here has its wording, further ones vary it.
    CorruptRAG-AK, which has a language model rewrite the text, is not this.

    Args:
        n: passages for each target.
        prefix: whether the question comes first.

    Raises:
        ValueError: n < 0.
    """

    name: ClassVar[str] = "corruptrag"

    def __init__(self, *, n: int = 1, prefix: bool = True) -> None:
        self._n = check_count("n", n)
        self._prefix = prefix

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; they state the right answer too, where it is known.

        Raises:
            UsageError: an unusable target, or n is above the number of wordings.
        """
        del rng
        check_target(self.name, target)
        known = bool(target.question.answers and target.question.answers[0].strip())
        data = table("corruptrag.toml")
        texts = [
            f"{filled(doubt, target)} {filled(claim, target)}"
            for doubt, claim in zip(
                data["p_adv" if known else "p_adv_unknown"], data["p_state"], strict=True
            )
        ]
        return assembled(
            self.name,
            target,
            texts,
            n=self._n,
            prefix=self._prefix,
            variant="as" if known else "as, right answer unknown",
        )
