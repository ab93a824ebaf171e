"""PoisonedRAG, black box: the question, and a text that makes the wrong answer follow."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, get_args

import numpy as np

from ragshield.attacks.crafted import check_target, crafted
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.writing import Writer, opened
from ragshield.chat import fill
from ragshield.errors import UsageError
from ragshield.protocols import Reader
from ragshield.records import Passage, Target

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

Texts: TypeAlias = Literal["auto", "supplied", "template", "llm"]
Variant: TypeAlias = Literal["supplied", "template", "llm"]

_REPLY_TOKENS = 150
_NO_MODEL = "poisonedrag: texts 'llm' needs a language model: give llm as openai:URL#MODEL"


class PoisonedRAG:
    """Plant texts that echo the question and state a wrong answer (PoisonedRAG, black box).

    Each passage is S + I: S the question, which makes it retrieved, I a text from which the
    wrong answer follows. I comes from the target (a published set), from a language model,
    or from templates that need none. The published text has no blank after S's full stop.

    Source: Zou, Geng, Wang, Jia, USENIX Security 2025, arXiv 2402.07867, section 4.
    Compared with: sleeepeer/PoisonedRAG@168d189, whose released texts are I alone.
    Differs: the paper accepts a text when a language model shown only I answers with the
    wrong answer as a substring; here as whole words, and I must state it too. What fails
    all tries is kept as in the paper and marked `weak`. Line ends and quotation marks
    around a language model's text are removed, since they would give it away.

    Args:
        n: passages for each target.
        prefix: whether S, the question, comes first. Off, the passage is I alone, which is
            the paper's disinformation baseline.
        texts: where I comes from; `auto` is the target's own texts if it has any, else
            the language model if there is one, else templates.
        llm: any LangChain chat model, or `openai:URL#MODEL`; for `llm`.
        max_words: V, the length asked of the language model.
        max_tries: L, how often a text is written anew.
        verify: for `llm`, whether each text is tried on a reader shown nothing else.
        verify_with: the reader for that; None for the same language model. Where given,
            texts of the other kinds are tried too, once, and marked if they fail.

    Raises:
        UsageError: `texts` is `llm` without a model, or the model cannot be reached.
        ValueError: n < 0, max_words < 1 or max_tries < 1.
    """

    name: ClassVar[str] = "poisonedrag"

    def __init__(
        self,
        *,
        n: int = 5,
        prefix: bool = True,
        texts: Texts = "auto",
        llm: BaseChatModel | str | None = None,
        max_words: int = 30,
        max_tries: int = 50,
        verify: bool = True,
        verify_with: Reader | None = None,
    ) -> None:
        for name, value, least in (
            ("n", n, 0),
            ("max_words", max_words, 1),
            ("max_tries", max_tries, 1),
        ):
            if value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}")
        if texts not in get_args(Texts):
            raise ValueError(f"texts is '{texts}'; allowed: {', '.join(get_args(Texts))}")
        if texts == "llm" and llm is None:
            raise UsageError(_NO_MODEL)
        self._n = n
        self._prefix = prefix
        self._texts = texts
        self._llm = opened(llm, max_tokens=_REPLY_TOKENS)
        self._max_words = max_words
        self._verify_with = verify_with
        self._writer = Writer(
            self.name, self._llm, max_tries=max_tries, verify=verify, verify_with=verify_with
        )

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n poisoned passages; `crafted` describes their metadata.

        Raises:
            UsageError: an empty question or wrong answer, a wrong answer that is right, or
                fewer texts than n.
            IncompleteError: the language model failed.
        """
        check_target(self.name, target)
        variant = self._variant(target)
        question = target.question.text
        return [
            crafted(
                self.name,
                target,
                index,
                variant=variant,
                retrieval_part=question if self._prefix else "",
                generation_part=text,
                verified=verified,
                n_llm_calls=n_llm_calls,
            )
            for index, (text, verified, n_llm_calls) in enumerate(
                self._written(target, rng)
                if variant == "llm"
                else self._given(target, variant, rng)
            )
        ]

    def _variant(self, target: Target) -> Variant:
        if self._texts != "auto":
            return self._texts
        if target.texts:
            return "supplied"
        return "template" if self._llm is None else "llm"

    def _given(
        self, target: Target, variant: Variant, rng: np.random.Generator
    ) -> Iterator[tuple[str, bool | None, int]]:
        supplied = variant == "supplied"
        texts = list(target.texts) if supplied else statements(target, rng)
        if len(texts) < self._n:
            raise UsageError(
                f"{self.name}: target '{target.question.id}' has {len(texts)} "
                f"{'supplied' if supplied else 'template'} texts, n is {self._n}; lower n"
            )
        for text in texts[: self._n]:
            verified = None
            if self._verify_with is not None:
                verified = self._writer.answers_wrong(target, text)
            yield text, verified, 0

    def _written(
        self, target: Target, rng: np.random.Generator
    ) -> Iterator[tuple[str, bool | None, int]]:
        del rng  # the language model's own sampling decides
        if self._llm is None:
            raise UsageError(_NO_MODEL)
        request = fill(
            _prompt("poisonedrag_write.txt"),
            {
                "question": target.question.text,
                "answer": target.wrong_answer,
                "max_words": str(self._max_words),
            },
        )
        for _ in range(self._n):
            written = self._writer.write(target, request)
            yield written.text, written.verified, written.n_llm_calls


def _prompt(name: str) -> str:
    return files("ragshield.attacks").joinpath(name).read_text("utf-8").strip()
