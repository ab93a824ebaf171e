"""Authority: the wrong answer with a body, a date and a document number behind it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import assembled, check_count, check_target, keywords
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.templates import filled, shuffled, table
from ragshield.records import Passage, Target
from ragshield.text import sentences

_LAST_DAY = date(2025, 12, 31)
_DAYS = 365


class AuthChain:
    """Attribute the wrong answer to an authority, with date and citation (AuthChain).

    Each passage ties what the question is about to the claim and adds an organisation, a
    date and a document number: one document that answers the whole question by itself.

    Access: the question and the wrong answer.
    Source: "One Shot Dominance", arXiv 2505.11548, Findings of EMNLP 2025.
    Differs: the paper has a language model extract the chain of evidence and write a
    paragraph over every hop; here the chain is the question's content words and the
    paragraph a template: "According to {organisation} ({date}), {statement} {citation}".
    Organisations are invented.

    Args:
        n: passages for each target, each with another organisation.
        prefix: whether the question comes first.

    Raises:
        ValueError: n < 0.
    """

    name: ClassVar[str] = "authchain"

    def __init__(self, *, n: int = 1, prefix: bool = True) -> None:
        self._n = check_count("n", n)
        self._prefix = prefix

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages.

        Raises:
            UsageError: an unusable target, or n is above the number of organisations.
        """
        check_target(self.name, target)
        data = table("authchain.toml")
        claims = statements(target, rng)
        # The long list first: its length bounds n, claims and frames repeat.
        bodies = shuffled(data["organisations"], rng)
        frames = shuffled(data["frames"], rng)
        citations = shuffled(data["citations"], rng)
        chain = keywords(target.question.text)
        texts = []
        for i, body in enumerate(bodies):
            day = _LAST_DAY - timedelta(days=int(rng.integers(_DAYS)))
            more = {
                "organisation": body,
                "date": f"{day.day} {day:%B %Y}",
                "year": str(day.year),
                "number": str(int(rng.integers(100, 9999))),
                "claim": _first_statement(claims[i % len(claims)]),
                "chain": chain,
            }
            citation = filled(citations[i % len(citations)], target, more=more)
            texts.append(
                filled(frames[i % len(frames)], target, more={**more, "citation": citation})
            )
        return assembled(
            self.name, target, texts, n=self._n, prefix=self._prefix, variant="template"
        )


def _first_statement(text: str) -> str:
    """The whole claim, ended by a full stop."""
    text = " ".join(sentences(text))
    return text if text.endswith((".", "!", "?")) else f"{text}."
