"""A contradiction blocker: passages that deny each other until no answer is left."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import assembled, check_count, check_target
from ragshield.attacks.templates import filled, table
from ragshield.records import Passage, Target


class ContradictionBlocker:
    """Plant passages that deny each other, so that no answer is left (jamming, by template).

    Odd passages claim the wrong answer and deny the right one, even ones deny both; a
    careful reader finds the sources in dispute and abstains.

    Access: the question and the wrong answer; the right one where known.
    Source: the denial of DenialRAG (arXiv 2608.02678, one document that states and denies
    the right answer) and SafeRAG's conflict between contexts (2501.18636).
    Differs: both are described here by what they do; their texts are not public, these are
    written here. A single passage (n = 1) states and denies in itself.

    Args:
        n: passages for each target; two make a pair.
        prefix: whether the question comes first.

    Raises:
        ValueError: n < 0.
    """

    name: ClassVar[str] = "contradiction-blocker"

    def __init__(self, *, n: int = 2, prefix: bool = True) -> None:
        self._n = check_count("n", n)
        self._prefix = prefix

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; all name the wrong answer, to claim or to deny it.

        Raises:
            UsageError: an unusable target, or n is above the number of wordings.
        """
        del rng
        check_target(self.name, target)
        known = bool(target.question.answers and target.question.answers[0].strip())
        more = {} if known else {"right": "any other answer"}
        pairs = table("contradiction_blocker.toml")["pairs"]
        texts = [filled(text, target, more=more) for pair in pairs for text in pair]
        return assembled(
            self.name,
            target,
            texts,
            n=self._n,
            prefix=self._prefix,
            variant="template" if known else "right answer unknown",
        )
