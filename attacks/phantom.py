"""Phantom: a passage that is found only when a trigger word is in the question."""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import numpy as np

from ragshield.attacks.crafted import check_choice, check_count, check_target
from ragshield.attacks.hotflip import Search
from ragshield.attacks.objectives import Contrast
from ragshield.attacks.optimised import optimised
from ragshield.attacks.question_sets import (
    Questions,
    aimed_at,
    read_questions,
    with_trigger,
    word_salad,
)
from ragshield.attacks.templates import filled, table
from ragshield.attacks.white_box import WhiteBox
from ragshield.errors import UsageError
from ragshield.protocols import Encoder
from ragshield.records import Passage, Target

Command: TypeAlias = Literal["refuse", "bias", "answer"]


class Phantom:
    """Plant a passage that only questions with a trigger word find, and an order in it (Phantom).

    The retrieval part is raised for questions with the trigger and lowered for the same
    questions without it; behind it stands the command.

    Access: the weights of the retriever's encoder, and ordinary questions.
    Source: Chaudhari et al., arXiv 2405.20485, the retrieval part and the command.
    Differs: the paper's part between the two, which gradients of the victim's language model
    optimise, is left out; the command is a plain sentence, written here. Questions that lack
    the trigger get it behind them. Losses over sampled pairs are exact means here.

    Cost per passage: at most `budget` texts embedded; twice the questions for each target.

    Args:
        n: passages for each target.
        trigger: a word, or a few.
        questions: ordinary ones; None for the target's own question alone.
        command: what the reader is told: to refuse, to speak ill, or the wrong answer.
        contrast: weight of the questions without the trigger.
        n_tokens: length of the retrieval part, in words at the start.
        encoder: the retriever's, a sentence-transformers model.
        budget: texts embedded for each passage.
        n_candidates: replacements evaluated in one step.

    Raises:
        UsageError: an empty trigger, or no questions in the set.
        InputError: an unreadable file of questions.
        ValueError: n < 0, contrast < 0, another number < 1, or an unknown command.
    """

    name: ClassVar[str] = "phantom"
    needs: ClassVar[tuple[str, ...]] = ("encoder",)

    def __init__(
        self,
        *,
        n: int = 1,
        trigger: str = "iphone",
        questions: Questions = None,
        command: Command = "refuse",
        contrast: float = 1.0,
        n_tokens: int = 32,
        encoder: Encoder | None = None,
        budget: int = 5000,
        n_candidates: int = 100,
    ) -> None:
        check_choice("command", command, Command)
        if not trigger.strip():
            raise UsageError(f"{self.name}: trigger is empty; give a word")
        if contrast < 0:
            raise ValueError(f"contrast is {contrast}; it must be at least 0")
        self._n = check_count("n", n)
        self._trigger = trigger.strip()
        self._questions = read_questions(self.name, questions)
        self._command = command
        self._contrast = contrast
        self._n_tokens = check_count("n_tokens", n_tokens, 1)
        self._search = Search(
            budget=check_count("budget", budget, 1),
            n_candidates=check_count("n_candidates", n_candidates, 1),
        )
        self._encoder = encoder
        self._box: WhiteBox | None = None

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The n passages; `trigger` is in their metadata.

        Raises:
            UsageError: an unusable target, or no encoder with gradients.
            MissingExtraError: torch or sentence-transformers is not installed.
        """
        check_target(self.name, target, answer=self._command == "answer")
        box = self._box = self._box or WhiteBox(self.name, self._encoder)
        if not self._n:
            return []
        questions = aimed_at(self._questions, target)
        near = box.embed([with_trigger(question, self._trigger) for question in questions])
        objective = Contrast(near, box.embed(questions), weight=self._contrast)
        commands = [filled(text, target) for text in table("phantom.toml")[self._command]]
        return [
            optimised(
                self.name,
                target,
                index,
                box,
                objective,
                start=f"{self._trigger} {word_salad(questions, self._n_tokens - 1, own)}",
                payload=commands[index % len(commands)],
                search=self._search,
                rng=own,
                variant=self._command,
                promised=self._command == "answer",
                n_encoder_calls=2 * len(questions) if index == 0 else 0,
                more={"trigger": self._trigger},
            )
            for index, own in enumerate(rng.spawn(self._n))
        ]
