"""What a language model may add to an audit: more wordings, and a second opinion."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ragshield.audit.asking import Dialogue
from ragshield.audit.endpoint import Endpoint
from ragshield.audit.judging import Opinion
from ragshield.audit.seeing import told
from ragshield.audit.templates import filled, templates

Writer: TypeAlias = Callable[[str], Sequence[str]]
"""From a question to other ways to ask it."""

N_WRITTEN = 3


def opinion_of(model: Endpoint) -> Opinion:
    """A language model that says whether an answer gives a value away in other words.

    It sees the values, so it must be trusted with them. Whatever it says but YES is a no.
    """
    form = templates("second")["opinion"]

    def opinion(question: str, answer: str, values: tuple[str, ...]) -> bool:
        # An answer may hold orders for whoever reads it; the verdict is asked for last.
        asked = filled(form, question=question, answer=answer[:4000], values="\n".join(values))
        said = model.answer(Dialogue(asked)).text
        return bool(re.match(r"\W*yes\b", said, re.IGNORECASE))

    return opinion


def writer_of(model: Endpoint, n: int = N_WRITTEN) -> Writer:
    """A language model that asks a question in other words; it never sees the answers."""
    form = templates("second")["writer"]

    def writer(question: str) -> list[str]:
        said = model.answer(Dialogue(filled(form, question=question, n=str(n)))).text
        lines = (re.sub(r"^[\s\d.)*\-]+", "", line).strip() for line in said.splitlines())
        return [line for line in dict.fromkeys(lines) if len(line.split()) >= 3][:n]

    return writer


def usable(question: str, value: str) -> bool:
    """Whether a written question may be asked: it must not tell what it asks for."""
    return bool(question.strip()) and (not value or told(question, value) is None)
