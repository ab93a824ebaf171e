"""Slow drip: from rumour to certainty, a little at a time, from many sources."""

from __future__ import annotations

from datetime import date, timedelta
from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import check_count, check_target, crafted, keywords
from ragshield.attacks.templates import filled, table
from ragshield.errors import UsageError
from ragshield.records import Passage, Target


class SlowDrip:
    """Plant the wrong answer slowly, first as a rumour, over time and sources (slow drip).

    Passages are dated apart, come from different sources and grow surer: mention, rumour,
    report, confirmation, settled fact. No batch that arrives holds two of them, so what
    compares the passages of one delivery or one source sees one harmless text.

    Access: the question and the wrong answer, and patience.
    Source: none published as such; the stealth that demand and source checks (this project's
    `demand` defender, arXiv 2608.16044's ingest classifiers) have to face.
    Differs: this project's own recipe.

    Args:
        n: passages for each target.
        prefix: whether the question comes first.
        start: day of the first passage, ISO 8601.
        every_days: days between passages; each is moved by up to a third of them.

    Raises:
        ValueError: n < 0, every_days < 1 or above 3,650, or `start` is no date.
    """

    name: ClassVar[str] = "slow-drip"

    def __init__(
        self,
        *,
        n: int = 5,
        prefix: bool = True,
        start: str = "2025-01-06",
        every_days: int = 21,
    ) -> None:
        self._n = check_count("n", n)
        self._prefix = prefix
        self._start = date.fromisoformat(start)
        self._every_days = check_count("every_days", every_days, 1, 3650)

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages, oldest first; `date` and the source are in each.

        Raises:
            UsageError: an unusable target, or n is above the number of steps.
        """
        check_target(self.name, target)
        data = table("slow_drip.toml")
        steps, sources = data["steps"], data["sources"]
        if self._n > len(steps):
            raise UsageError(f"{self.name}: n is {self._n}; there are {len(steps)} steps, lower n")
        order = rng.permutation(len(sources)).tolist()
        topic = keywords(target.question.text)
        more = {"topic": topic}
        # The n passages go from the first step to the last, whatever n is.
        chosen = [round(i * (len(steps) - 1) / max(self._n - 1, 1)) for i in range(self._n)]
        if self._n == 1:
            chosen = [len(steps) - 1]
        made = []
        for index, step in enumerate(chosen):
            jitter = int(rng.integers(0, self._every_days // 3 + 1))
            day = self._start + timedelta(days=index * self._every_days + jitter)
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant=f"step {step + 1} of {len(steps)}",
                    retrieval_part=target.question.text if self._prefix else "",
                    generation_part=filled(steps[step], target, more=more),
                    verified=None,
                    joint=" ",
                    source=sources[order[index]],
                    more={"date": day.isoformat(), "step": step + 1},
                )
            )
        return made
