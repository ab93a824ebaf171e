"""How probable the right answer still is: by a model's probabilities or by its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ragshield.attacks.causal import CausalReader, default_prompt
from ragshield.chat import ask, fill
from ragshield.errors import UsageError
from ragshield.protocols import Reader
from ragshield.records import Passage
from ragshield.text import states

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


class Answering(Protocol):
    """Tells of passages how probable a right answer is from each alone."""

    @property
    def n_forward(self) -> int:
        """Rows passed through a model so far."""
        ...

    @property
    def n_llm_calls(self) -> int:
        """Calls of a language model so far."""
        ...

    def measured(self, passages: Sequence[str]) -> list[tuple[float, bool]]:
        """For each passage the logarithm, and whether the answer given is not right."""
        ...


class ByModel:
    """The log-probability of the likeliest right answer, from inside."""

    n_llm_calls = 0

    def __init__(self, reader: CausalReader, question: str, rights: Sequence[str]) -> None:
        self._reader = reader
        self._question = question
        self._rights = list(rights)

    @property
    def n_forward(self) -> int:
        """Rows passed through the model so far."""
        return self._reader.n_forward

    def measured(self, passages: Sequence[str]) -> list[tuple[float, bool]]:
        """See `Answering`."""
        contexts = [[passage] for passage in passages]
        rows = [self._reader.log_probs(self._question, contexts, right) for right in self._rights]
        likely = np.max(rows, axis=0)
        replies = self._reader.answers(self._question, contexts)
        return [
            (float(log_p), not any(states(reply, right) for right in self._rights))
            for log_p, reply in zip(likely, replies, strict=True)
        ]


class ByReader:
    """The share of a reader's answers that state a right one, smoothed."""

    n_forward = 0

    def __init__(
        self,
        reader: Reader | None,
        llm: BaseChatModel | None,
        question: str,
        rights: Sequence[str],
        n_answers: int,
    ) -> None:
        self.n_llm_calls = 0
        self._reader = reader
        self._llm = llm
        self._question = question
        self._rights = list(rights)
        self._n_answers = n_answers

    def measured(self, passages: Sequence[str]) -> list[tuple[float, bool]]:
        """See `Answering`."""
        return [self._one(passage) for passage in passages]

    def _one(self, passage: str) -> tuple[float, bool]:
        replies = [self._reply(passage) for _ in range(self._n_answers)]
        right = sum(any(states(reply, one) for one in self._rights) for reply in replies)
        share = (right + 1) / (len(replies) + 2)
        return float(np.log(share)), 2 * right < len(replies)

    def _reply(self, passage: str) -> str:
        if self._llm is not None:
            self.n_llm_calls += 1
            shown = {"contexts": passage, "question": self._question}
            return ask(self._llm, fill(default_prompt(), shown))
        if self._reader is None:
            raise UsageError("garag-search: needs something that reads: give reader")
        return self._reader.answer(self._question, [Passage("candidate", passage)])
