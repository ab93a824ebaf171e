"""Several wrong answers at once: small groups of passages that contradict each other."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import check_count, check_target, crafted
from ragshield.attacks.edits import decoys
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.errors import UsageError
from ragshield.records import Passage, Target
from ragshield.text import normal_form


class MultiAnswer:
    """Spread the passages over several wrong answers (multi-answer, "multi-cluster").

    The poison forms several small groups instead of one large, so that what looks for one
    dominant cluster finds none; any of the wrong answers serves the attacker.

    Access: the question and the wrong answer.
    Source: the multi-cluster adaptive attack of arXiv 2511.01268, section 6.5.
    Differs: further wrong answers are drawn from a list of invented names and phrases, or are
    years and numbers near the target's own, instead of being written by a language model.
    Attack success counts the target's own answer only; `stated_answer` names each passage's.

    Args:
        n: passages for each target, dealt out to the answers in turn; the first has the
            target's.
        prefix: whether the question comes first.
        answers: how many wrong answers, the target's included.

    Raises:
        ValueError: n < 0, answers < 1 or above 10.
    """

    name: ClassVar[str] = "multi-answer"

    def __init__(self, *, n: int = 5, prefix: bool = True, answers: int = 3) -> None:
        self._n = check_count("n", n)
        self._prefix = prefix
        self._answers = check_count("answers", answers, 1, 10)

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; every `answers`-th states the target's wrong answer.

        Raises:
            UsageError: an unusable target, too few other answers, or fewer texts than n.
        """
        check_target(self.name, target)
        taken = {normal_form(a) for a in (target.wrong_answer, *target.question.answers)}
        drawn = [
            answer
            for answer in decoys(target.wrong_answer, self._answers + len(taken), rng)
            if normal_form(answer) not in taken
        ]
        wrong = [target.wrong_answer, *drawn][: self._answers]
        if len(wrong) < self._answers:
            raise UsageError(
                f"{self.name}: only {len(wrong)} wrong answers like '{target.wrong_answer:.60}' "
                f"are there, answers is {self._answers}; lower answers"
            )
        texts = [
            statements(Target(target.question, answer), own)
            for answer, own in zip(wrong, rng.spawn(len(wrong)), strict=True)
        ]
        most = self._answers * min(map(len, texts))
        if self._n > most:
            raise UsageError(
                f"{self.name}: target '{target.question.id}' has {most} template texts, "
                f"n is {self._n}; lower n"
            )
        return [
            crafted(
                self.name,
                target,
                index,
                variant=f"answer {index % self._answers + 1} of {self._answers}",
                retrieval_part=target.question.text if self._prefix else "",
                generation_part=texts[index % self._answers][index // self._answers],
                verified=None,
                joint=" ",
                promised=index % self._answers == 0,
                more={"stated_answer": wrong[index % self._answers]},
            )
            for index in range(self._n)
        ]
