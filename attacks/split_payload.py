"""Split payload: no chunk states the lie, only all of them together."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import check_count, check_target, crafted, keywords
from ragshield.attacks.templates import filled, shuffled, table
from ragshield.records import Passage, Target


class SplitPayload:
    """Split the lie over chunks, none of which states it alone (split payload).

    The first chunk gives the subject of the question another name, chunks between hand that name
    on, the last says the wrong answer of the last name: a reader that joins them answers
    wrongly, a filter that reads each by itself finds nothing false.

    Access: the question and the wrong answer.
    Source: micro-collaborative attacks, arXiv 2609.21573.
    Differs: premise and inference are templates over a chain of invented file names, where
    the paper has a language model write them. A larger k helps: all chunks have to be
    retrieved.

    Args:
        parts: chunks for each target.
        prefix: whether the question comes before the first chunk; every chunk names the
            question's content words in any case, or it would not be retrieved.

    Raises:
        ValueError: parts < 2 or above 6.
    """

    name: ClassVar[str] = "split-payload"

    def __init__(self, *, parts: int = 2, prefix: bool = True) -> None:
        self._parts = check_count("parts", parts, 2, 6)
        self._prefix = prefix

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's chunks in order; only the last states the wrong answer.

        Raises:
            UsageError: an unusable target.
        """
        check_target(self.name, target)
        data = table("split_payload.toml")
        aliases = shuffled(data["aliases"], rng)
        number = int(rng.integers(10, 99))
        topic = keywords(target.question.text)
        made = []
        for index in range(self._parts):
            last = index == self._parts - 1
            role = "premise" if index == 0 else "conclusion" if last else "link"
            choices = data[role]
            more = {
                "topic": topic,
                "alias": f"{aliases[index]}-{number}",
                "before": f"{aliases[index - 1]}-{number}",
            }
            text = filled(choices[int(rng.integers(len(choices)))], target, more=more)
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant=role,
                    retrieval_part=target.question.text if self._prefix and index == 0 else "",
                    generation_part=text,
                    verified=None,
                    joint=" ",
                    promised=last,
                    more={"part": index + 1, "n_parts": self._parts},
                )
            )
        return made
