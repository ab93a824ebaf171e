"""The naive attack: say the wrong answer, plainly."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import assembled, check_count, check_target
from ragshield.attacks.templates import filled, table
from ragshield.records import Passage, Target


class Naive:
    """State the wrong answer after the question and nothing else (control).

    What every other attack has to beat: "{question} The answer is {answer}."

    Access: the question and the wrong answer.
    Source: the control that PoisonedRAG's baselines bracket (arXiv 2402.07867, section 6):
    its naive attack is the question alone, its disinformation the text alone.
    Differs: neither of these; the shortest text that meets both conditions. The first
    passage has the wording above, further ones vary it.

    Args:
        n: passages for each target.
        prefix: whether the question comes first.

    Raises:
        ValueError: n < 0.
    """

    name: ClassVar[str] = "naive"

    def __init__(self, *, n: int = 1, prefix: bool = True) -> None:
        self._n = check_count("n", n)
        self._prefix = prefix

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; the generator is not needed.

        Raises:
            UsageError: an unusable target, or n is above the number of wordings.
        """
        del rng
        check_target(self.name, target)
        texts = [filled(text, target) for text in table("naive.toml")["statements"]]
        return assembled(
            self.name, target, texts, n=self._n, prefix=self._prefix, variant="template"
        )
