"""AuthChain in full: a language model finds the chain of evidence and writes it out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from functools import partial
from typing import ClassVar

import numpy as np

from ragshield.attacks.crafted import check_count, check_target, crafted, keywords
from ragshield.attacks.templates import filled, shuffled, table
from ragshield.attacks.writing import Model, Writer, bullets, opened, plain, prompt
from ragshield.protocols import Reader
from ragshield.records import Passage, Target

_LAST_DAY = date(2025, 12, 31)
_DAYS = 365
_MOST_HOPS = 6
_FRAME = "According to {organisation} ({date}): {paragraph} {citation}"


class AuthChainLLM:
    """Write out the whole chain of evidence under an authority's name (AuthChain, with an LLM).

    A language model lists the facts that lead from the question to the answer, the last one
    ending in the wrong answer, and writes a paragraph that states them all; an organisation,
    a date and a document number are put around it.

    Access: the question, the wrong answer and a language model, not the victim's.
    Source: "One Shot Dominance", arXiv 2505.11548, Findings of EMNLP 2025.
    Differs: the paper's prompts are not published in what was read; the three steps are
    followed with this project's prompts. The attribution is a template over invented
    organisations. A model that gives no chain is asked for the question's content words
    instead. `authchain` is the form that needs no model.

    Cost per passage: at most 3 * max_tries calls of the language model.

    Args:
        n: passages for each target, each under another organisation.
        prefix: whether the question comes first.
        llm: any LangChain chat model, or `openai:URL#MODEL`.
        max_words: longest paragraph asked for.
        max_tries: tries for each chain and each paragraph.
        verify: whether each passage is tried on a reader shown nothing else.
        verify_with: the reader for that; None for the same language model.

    Raises:
        ValueError: n is below 0 or above the number of organisations, max_words < 60 or
            max_tries < 1.
    """

    name: ClassVar[str] = "authchain-llm"
    needs: ClassVar[tuple[str, ...]] = ("llm",)

    def __init__(
        self,
        *,
        n: int = 1,
        prefix: bool = True,
        llm: Model = None,
        max_words: int = 120,
        max_tries: int = 5,
        verify: bool = True,
        verify_with: Reader | None = None,
    ) -> None:
        self._n = check_count("n", n, 0, len(table("authchain.toml")["organisations"]))
        self._prefix = prefix
        self._max_words = check_count("max_words", max_words, 60)
        check_count("max_tries", max_tries, 1)
        self._writer = Writer(
            self.name, opened(llm), max_tries=max_tries, verify=verify, verify_with=verify_with
        )

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; `n_hops` in their metadata is the length of the chain.

        Raises:
            UsageError: an unusable target, or no language model.
            IncompleteError: the language model failed.
        """
        check_target(self.name, target)
        bodies = shuffled(table("authchain.toml")["organisations"], rng)
        made = []
        for index in range(self._n):
            hops, n_calls = self._hops(target)
            request = prompt(
                "authchain_paragraph",
                question=target.question.text,
                answer=target.wrong_answer,
                max_words=str(self._max_words),
                hops=bullets(hops),
            )
            values = _attribution(bodies[index], target, rng)
            framed = partial(_framed, target=target, values=values)
            written = self._writer.write(target, request, finish=framed)
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant="llm",
                    retrieval_part=target.question.text if self._prefix else "",
                    generation_part=written.text,
                    verified=written.verified,
                    n_llm_calls=n_calls + written.n_llm_calls,
                    joint=" ",
                    more={"n_hops": len(hops), "organisation": bodies[index]},
                )
            )
        return made

    def _hops(self, target: Target) -> tuple[list[str], int]:
        """The chain as lines, its last ending in the wrong answer, and the calls it took."""
        question, answer = target.question.text, target.wrong_answer
        request = prompt("authchain_hops", question=question, answer=answer, most=str(_MOST_HOPS))
        found, n_calls = self._writer.lists(request, most=_MOST_HOPS)
        triples = [
            [" ".join(str(part).split()) for part in one]
            for one in found
            if isinstance(one, list) and len(one) == 3
        ]
        if not triples:
            return [f"{keywords(question)}: {answer}"], n_calls
        triples[-1][2] = answer  # whatever the model knows better
        return [" ".join(triple) for triple in triples], n_calls


def _framed(reply: str, *, target: Target, values: Mapping[str, str]) -> str:
    """A paragraph with an attribution around it."""
    return filled(_FRAME, target, more={**values, "paragraph": plain(reply)})


def _attribution(body: str, target: Target, rng: np.random.Generator) -> dict[str, str]:
    """What the places of the frame and of the citation are filled with."""
    citations: list[str] = table("authchain.toml")["citations"]
    day = _LAST_DAY - timedelta(days=int(rng.integers(_DAYS)))
    values = {
        "organisation": body,
        "date": f"{day.day} {day:%B %Y}",
        "year": str(day.year),
        "number": str(int(rng.integers(100, 9999))),
    }
    citation = citations[int(rng.integers(len(citations)))]
    return {**values, "citation": filled(citation, target, more=values)}
