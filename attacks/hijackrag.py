"""HijackRAG: retrieved by the question, it turns the reader to its own task."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import assembled, check_count, check_target
from ragshield.attacks.templates import filled, shuffled, table
from ragshield.records import Passage, Target


class HijackRAG:
    """Turn the reader away from the context, to an order of the attacker's (HijackRAG).

    Each passage is retrieval text + hijack text + instruction: the question, a segment that
    tells the reader to disregard the other passages, and the order to output the answer.

    Access: the question and the wrong answer (the black-box form).
    Source: arXiv 2410.22832, black box. Segments with one place each, drawn at random, are
    the form in which `vexrag` 0.2.1 carries the attack.
    Differs: segments and instructions are written here; the white-box retrieval text, found
    by HotFlip, is not this attack's.

    Args:
        n: passages for each target, each with a segment and an instruction of its own.
        prefix: whether the retrieval text, the question, comes first.

    Raises:
        ValueError: n < 0.
    """

    name: ClassVar[str] = "hijackrag"

    def __init__(self, *, n: int = 1, prefix: bool = True) -> None:
        self._n = check_count("n", n)
        self._prefix = prefix

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages.

        Raises:
            UsageError: an unusable target, or n is above the number of segments.
        """
        check_target(self.name, target)
        data = table("hijackrag.toml")
        segments = shuffled(data["hijack"], rng)
        orders = shuffled(data["instruction"], rng)
        texts = [
            f"{segment} {filled(order, target)}"
            for segment, order in zip(segments, orders, strict=True)
        ]
        return assembled(
            self.name, target, texts, n=self._n, prefix=self._prefix, variant="template"
        )
