"""GARAG in full: typing errors bred until the passage ranks higher and answers worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from ragshield.attacks.causal import CausalModel, CausalReader
from ragshield.attacks.crafted import (
    check_choice,
    check_count,
    check_share,
    check_target,
    crafted,
)
from ragshield.attacks.garag_breeding import Breeding, Settings
from ragshield.attacks.garag_objectives import Answering, ByModel, ByReader
from ragshield.attacks.honest import honest_passages
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.writing import Model, opened
from ragshield.errors import UsageError
from ragshield.protocols import Encoder, Reader, Retriever
from ragshield.records import Passage, Target

Texts: TypeAlias = Literal["auto", "true", "supplied", "template"]

_CANDIDATES = 10


class GARAGSearch:
    """Breed typing errors that rank a true passage higher and lose its answer (GARAG).

    A genetic search over which words are misspelt, with two objectives at once (NSGA-II):
    the retriever finds the passage more similar to the question than it was, and the reader
    finds the right answer less probable. The answer's own words are never touched. From a
    poisoned text it is a disguise that keeps the text retrievable.

    Access: the right answer, similarity scores of the retriever's encoder, and a reader:
    its probabilities (`model`), or only its answers.
    Source: Cho et al., Findings of EMNLP 2024, arXiv 2404.13948. Its code was not examined.
    Differs: the ratios are RSR = r(d) / r(d') and GPR = p(a | d') / p(a | d), below 1 = met;
    the paper's prose states them the other way round. With a reader that only answers, p is
    the share of its answers that state the right one, plus one in plus two. Natural errors
    come from confusable letter pairs. Similarities of 0 and below count as 0.000001.

    Cost per passage: at most population * (n_generations + 1) texts embedded and as many
    rows through the model, or n_answers times as many questions to the reader.

    Args:
        n: passages for each target.
        prefix: whether the question comes first; the search judges the whole passage.
        texts: what gets the errors; `auto` is `true` with a retriever, else the target's
            own texts, else templates.
        model: the reader from inside: a `transformers` causal model, or the folder of one.
        tokenizer: its tokenizer; None for the one in the folder.
        llm: a chat model as the reader, where there is no model.
        reader: any reader, where there is neither.
        n_answers: how often a reader that only answers is asked about each variant.
        population: S.
        n_parents: variants that are bred from.
        n_generations: N_iter; it stops earlier when a variant that ranks higher answers
            wrongly.
        rate: pr_pert, share of the words misspelt at first, [0, 1].
        cross: pr_cross, share of differing words swapped between parents, [0, 1].
        mutate: pr_mut, share of the misspelt words exchanged for others, [0, 1].
        prompt: with places {contexts} and {question}; None for PoisonedRAG's.
        max_answer_tokens: longest answer generated.
        batch_size: rows for each pass.
        encoder: of the store.
        retriever: over the knowledge base that is attacked.

    Raises:
        ValueError: a number out of range, or an unknown choice of texts.
    """

    name: ClassVar[str] = "garag-search"
    needs: ClassVar[tuple[str, ...]] = ("reader",)

    def __init__(
        self,
        *,
        n: int = 1,
        prefix: bool = True,
        texts: Texts = "auto",
        model: CausalModel = None,
        tokenizer: Any = None,
        llm: Model = None,
        reader: Reader | None = None,
        n_answers: int = 1,
        population: int = 25,
        n_parents: int = 10,
        n_generations: int = 25,
        rate: float = 0.2,
        cross: float = 0.2,
        mutate: float = 0.4,
        prompt: str | None = None,
        max_answer_tokens: int = 16,
        batch_size: int = 32,
        encoder: Encoder | None = None,
        retriever: Retriever | None = None,
    ) -> None:
        check_choice("texts", texts, Texts)
        for label, value, least in (
            ("n_answers", n_answers, 1), ("population", population, 2), ("n_parents", n_parents, 1),
            ("n_generations", n_generations, 0), ("max_answer_tokens", max_answer_tokens, 1),
            ("batch_size", batch_size, 1),
        ):  # fmt: skip
            check_count(label, value, least)
        self._n = check_count("n", n)
        self._prefix = prefix
        self._texts = texts
        self._settings = Settings(
            population=population,
            n_parents=min(n_parents, population),
            n_generations=n_generations,
            rate=check_share("rate", rate),
            cross=check_share("cross", cross),
            mutate=check_share("mutate", mutate),
        )
        self._given = {
            "model": model, "tokenizer": tokenizer, "prompt": prompt,
            "max_answer_tokens": max_answer_tokens, "batch_size": batch_size,
        }  # fmt: skip
        self._llm = opened(llm)
        self._asked = reader
        self._n_answers = n_answers
        self._encoder = encoder or getattr(retriever, "encoder", None)
        self._retriever = retriever
        self._reader: CausalReader | None = None

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; `rsr` and `gpr` in their metadata are below 1 where met.

        Also there: `answers_wrong`, whether the reader no longer gives a right answer; `n_words`
        misspelt, `n_generations`, `n_evaluations`, `n_forward`.

        Raises:
            UsageError: an unusable target, no right answer, nothing that reads, no encoder,
                no text, or fewer texts than n.
            IncompleteError: the language model failed.
        """
        check_target(self.name, target)
        rights = [answer for answer in target.question.answers if answer.strip()]
        answering = self._answering(target, rights)
        if self._encoder is None:
            raise UsageError(
                f"{self.name}: needs the encoder of the store it attacks: give encoder "
                "(ragshield attack --store URL --encoder NAME)"
            )
        if not rights:
            raise UsageError(
                f"{self.name}: target '{target.question.id}' has no right answer to hide; "
                "give answers"
            )
        variant, texts = self._base(target, rng)
        if len(texts) < self._n:
            raise UsageError(
                f"{self.name}: target '{target.question.id}' has {len(texts)} texts, "
                f"n is {self._n}; lower n"
            )
        made = []
        for index, (text, own) in enumerate(zip(texts[: self._n], rng.spawn(self._n), strict=True)):
            breed = Breeding(
                self._settings, target, text, answering, self._encoder, own, prefix=self._prefix
            )
            before = answering.n_forward, answering.n_llm_calls
            best, n_generations = breed.run()
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant=variant,
                    retrieval_part=target.question.text if self._prefix else "",
                    generation_part=best.text,
                    verified=None,
                    n_llm_calls=answering.n_llm_calls - before[1],
                    n_encoder_calls=breed.n_embedded,
                    joint=" ",
                    promised=variant != "true",
                    more={
                        "rsr": round(best.costs[0], 6),
                        "gpr": round(best.costs[1], 6),
                        "answers_wrong": best.wrong,
                        "n_words": len(best.errors),
                        "n_generations": n_generations,
                        "n_evaluations": breed.n_evaluations,
                        "n_forward": answering.n_forward - before[0],
                    },
                )
            )
        return made

    def _base(self, target: Target, rng: np.random.Generator) -> tuple[str, list[str]]:
        """What is misspelt, and where it comes from."""
        wanted = self._texts
        if wanted == "auto":
            supplied: Texts = "supplied" if target.texts else "template"
            wanted = "true" if self._retriever is not None else supplied
        if wanted == "true":
            found = honest_passages(self.name, self._retriever, target, k=max(self._n, _CANDIDATES))
            return wanted, list(dict.fromkeys(passage.text for passage in found))
        texts = list(target.texts) if wanted == "supplied" else statements(target, rng)
        return wanted, texts

    def _answering(self, target: Target, rights: Sequence[str]) -> Answering:
        if self._given["model"] is not None:
            if self._reader is None:
                self._reader = CausalReader(self.name, **self._given)
            return ByModel(self._reader, target.question.text, rights)
        if self._llm is None and self._asked is None:
            raise UsageError(
                f"{self.name}: needs something that reads: give reader, llm as "
                "openai:URL#MODEL, or model as the folder of a causal model"
            )
        return ByReader(self._asked, self._llm, target.question.text, rights, self._n_answers)
