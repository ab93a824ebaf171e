"""Flooding: many agreeing passages over a family of questions take all the places."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import check_count, check_target, crafted, keywords
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.templates import filled, shuffled, table
from ragshield.errors import UsageError
from ragshield.records import Passage, Target


class Flooding:
    """Flood a topic with persuasive evidence from many sources (flooding spread).

    Each passage is of another genre and answers another wording of the question, so that the
    passages spread over a cone around it and each is plausible alone; together they fill
    the context and corroborate each other.

    Access: the question and the wrong answer.
    Source: the persuasive evidence of "Flooding Spread" (arXiv 2407.07791) and the
    coordinated documents of "Coverage is not containment" (2608.16044: 10 take 10 of 10).
    Differs: no language model is trained to persuade; genres, wordings and false sources are
    templates written here. The retrieval part is a wording of the question, not the
    question, except for the first passage.

    Args:
        n: passages for each target, each of its own genre and source.
        prefix: whether a wording of the question comes first.

    Raises:
        ValueError: n < 0.
    """

    name: ClassVar[str] = "flooding"

    def __init__(self, *, n: int = 10, prefix: bool = True) -> None:
        self._n = check_count("n", n)
        self._prefix = prefix

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages, each with a source of its own.

        Raises:
            UsageError: an unusable target, or n is above the number of genres.
        """
        check_target(self.name, target)
        data = table("flooding.toml")
        genres, claims = shuffled(data["genres"], rng), statements(target, rng)
        wordings = shuffled(data["wordings"], rng)
        if self._n > len(genres):
            raise UsageError(
                f"{self.name}: n is {self._n}; there are {len(genres)} genres, lower n"
            )
        topic = keywords(target.question.text)
        more = {"topic": topic}
        made = []
        for index, genre in enumerate(genres[: self._n]):
            wording = wordings[(index - 1) % len(wordings)] if index else "{question}"
            claim = claims[index % len(claims)]
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant=genre["name"],
                    retrieval_part=filled(wording, target, more=more) if self._prefix else "",
                    generation_part=filled(genre["text"], target, more={**more, "claim": claim}),
                    verified=None,
                    joint=" ",
                    source=genre["source"],
                )
            )
        return made
