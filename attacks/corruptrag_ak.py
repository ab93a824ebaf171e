"""CorruptRAG-AK: the outdated-answer note, rewritten as knowledge by a language model."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ragshield.attacks.corruptrag import CorruptRAG
from ragshield.attacks.crafted import check_count, check_target, crafted
from ragshield.attacks.writing import Model, Writer, opened, prompt
from ragshield.protocols import Reader
from ragshield.records import Passage, Target


class CorruptRAGAK:
    """Have a language model turn the outdated-answer note into knowledge (CorruptRAG-AK).

    The note of CorruptRAG-AS reads like a note; rewritten, it reads like a reference work
    and helps with related questions too. Each rewriting is tried on a reader shown nothing
    else; if none works, the note itself is planted.

    Access: the question, the wrong answer, the right one (as `corruptrag`), and a language
    model, not the victim's.
    Source: arXiv 2504.03957, ACM SACMAT 2026, section 4.4. No official code was released.
    Differs: the paper accepts a text whose reader answers with the wrong answer as a
    substring; here as whole words, and the text must state it too. The example in the
    prompt is this project's. A third-party code (jawadhussein462/Awesome-Rag-Attacks@a0673fd)
    keeps the last failed rewriting; the paper, followed here, falls back to the note.

    Cost per passage: at most 2 * max_tries calls of the language model.

    Args:
        n: passages for each target; each rewrites another wording of the note.
        prefix: whether the question comes first.
        llm: any LangChain chat model, or `openai:URL#MODEL`.
        max_words: V, the length asked for.
        max_tries: rewritings tried for each passage.
        verify: whether each is tried on a reader.
        verify_with: the reader for that; None for the same language model.

    Raises:
        ValueError: n < 0, max_words < 1 or max_tries < 1.
    """

    name: ClassVar[str] = "corruptrag-ak"
    needs: ClassVar[tuple[str, ...]] = ("llm",)

    def __init__(
        self,
        *,
        n: int = 1,
        prefix: bool = True,
        llm: Model = None,
        max_words: int = 30,
        max_tries: int = 5,
        verify: bool = True,
        verify_with: Reader | None = None,
    ) -> None:
        self._n = check_count("n", n)
        self._prefix = prefix
        self._max_words = check_count("max_words", max_words, 1)
        check_count("max_tries", max_tries, 1)
        self._writer = Writer(
            self.name, opened(llm), max_tries=max_tries, verify=verify, verify_with=verify_with
        )

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; `variant` says which fell back to the note.

        Raises:
            UsageError: an unusable target, no language model, or n above the number of notes.
            IncompleteError: the language model failed.
        """
        check_target(self.name, target)
        notes = CorruptRAG(n=self._n, prefix=False).craft(target, rng=rng)
        made: list[Passage] = []
        seen: set[str] = set()
        for index, note in enumerate(notes):
            request = prompt(
                "corruptrag_ak",
                question=target.question.text,
                answer=target.wrong_answer,
                max_words=str(self._max_words),
                note=note.text,
            )
            written = self._writer.write(target, request, unlike=seen)
            seen.add(written.text)
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant="ak" if written.accepted else "as, every rewriting failed",
                    retrieval_part=target.question.text if self._prefix else "",
                    generation_part=written.text if written.accepted else note.text,
                    # The note was not tried: what failed is the rewriting.
                    verified=written.verified if written.accepted else None,
                    n_llm_calls=written.n_llm_calls,
                    joint=" ",
                )
            )
        return made
