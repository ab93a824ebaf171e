"""A critic: a model that rates whether an answer gives something away, and mends it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from ragshield.chat import ask, fill
from ragshield.errors import UsageError
from ragshield.forget_set import ForgetTarget

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_MOST = 50


class Critic:
    """Rates answers from 1 (tells it) to 5 (says nothing of it), and rewrites them.

    Source: the critic of ALU, arXiv 2502.00406.
    Differs: what it rewrites is judged again, by it and by the other gates; a rating that
    cannot be read counts as 1, so that it can only withhold, never let through.

    It needs the names in the clear, in memory only; the keys hold none.

    Args:
        model: any LangChain chat model.
        targets: what is to be forgotten.
        lowest: rating from which an answer passes.

    Raises:
        UsageError: `lowest` is not in 1 to 5.
    """

    def __init__(
        self, model: BaseChatModel, targets: Sequence[ForgetTarget], *, lowest: int = 4
    ) -> None:
        if not 1 <= lowest <= 5:
            raise UsageError(f"lowest is {lowest}, allowed are 1 to 5")
        self._model = model
        self._names = [target.name for target in targets]
        self.lowest = lowest

    def passes(self, question: str, text: str, targets: Sequence[int] = ()) -> bool:
        """Whether an answer gives nothing away.

        Args:
            question: what was asked.
            text: what would be answered.
            targets: rows of the targets to look for; none: the first fifty.

        Raises:
            IncompleteError: the critic's model failed.
        """
        reply = ask(self._model, self._prompt("critic.txt", question, text, targets))
        found = re.fullmatch(r"\W*(?:rating\W*)?([1-5])\W*", reply.strip(), re.IGNORECASE)
        return found is not None and int(found[1]) >= self.lowest

    def mended(self, question: str, text: str, targets: Sequence[int] = ()) -> str:
        """The answer, rewritten by the model; it has to be judged again."""
        return ask(self._model, self._prompt("critic_mend.txt", question, text, targets))

    def _prompt(self, name: str, question: str, text: str, targets: Sequence[int]) -> str:
        form = files("ragshield.unlearning").joinpath(name).read_text("utf-8").strip()
        rows = list(targets)[:_MOST] or range(min(_MOST, len(self._names)))
        values = {
            # As JSON strings: none of them can pass for a part of the prompt.
            "topics": json.dumps([self._names[i] for i in rows], ensure_ascii=False),
            "question": json.dumps(question, ensure_ascii=False),
            "answer": json.dumps(text, ensure_ascii=False),
        }
        return fill(form, values)
