"""Prompt injection: a passage that gives the reader an order."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import numpy as np

from ragshield.attacks.crafted import assembled, check_choice, check_count, check_target
from ragshield.attacks.templates import filled, table
from ragshield.records import Passage, Target

Style: TypeAlias = Literal["plain", "markers", "override", "conditional"]


class Injection:
    """Order the reader to output the wrong answer (prompt injection in a document).

    The first plain passage is the sentence that the papers use; `markers` dresses the order
    as turns of a conversation, `override` tells the reader to ignore the other passages, and
    `conditional` obeys only when there are other passages, against defences that
    read each passage by itself.

    Access: the question and the wrong answer.
    Source: the baseline of PoisonedRAG (arXiv 2402.07867, section 6), RobustRAG (2405.15556)
    and TrustRAG; RobustRAG's code repeats it 5 times, blank lines between; 2506.04390 twice.
    The conditional form is after RADAR's code.
    Differs: the paper's sentence closes a quotation that its own quotation marks open; kept.
    Further wordings and the markers are written here.

    Args:
        n: passages for each target.
        prefix: whether the question comes first; the papers' text has it inside only.
        style: what the order looks like.
        repeat: how often the order stands in each passage, blank lines between.

    Raises:
        ValueError: n < 0, repeat < 1 or above 100, or an unknown style.
    """

    name: ClassVar[str] = "injection"

    def __init__(
        self, *, n: int = 1, prefix: bool = True, style: Style = "plain", repeat: int = 1
    ) -> None:
        check_choice("style", style, Style)
        self._n = check_count("n", n)
        self._prefix = prefix
        self._style = style
        self._repeat = check_count("repeat", repeat, 1, 100)

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; the generator is not needed.

        Raises:
            UsageError: an unusable target, or n is above the number of wordings.
        """
        del rng
        check_target(self.name, target)
        orders = [filled(text, target) for text in table("injection.toml")[self._style]]
        return assembled(
            self.name,
            target,
            ["\n\n".join([order] * self._repeat) for order in orders],
            n=self._n,
            prefix=self._prefix,
            variant=self._style if self._repeat == 1 else f"{self._style}, {self._repeat} times",
        )
