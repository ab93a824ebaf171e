"""NeuroGenPoisoning: breed texts that move the neurons which poison moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from ragshield.attacks.causal import CausalModel, CausalReader
from ragshield.attacks.crafted import check_choice, check_count, check_share, check_target, crafted
from ragshield.attacks.fitness import Fitness
from ragshield.attacks.genetic import Evolution, Generation, Operators, Rates, filled_up
from ragshield.attacks.neurogen_measures import Attribution, Measures
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.templates import table
from ragshield.attacks.writing import Model, Writer, bullets, opened, prompt
from ragshield.errors import UsageError
from ragshield.protocols import Encoder, Reader
from ragshield.records import MetaValue, Passage, Target

Texts: TypeAlias = Literal["auto", "supplied", "template", "llm"]

_WRITTEN = 10
_GOAL = 0.9


class NeuroGenPoisoning:
    """Breed texts by the neurons that poison moves in the reader (NeuroGenPoisoning).

    Feed-forward neurons that answer to poison are found on seed pairs by integrated
    gradients; a genetic search then raises what a text changes in them, its poison
    responsiveness. Texts that fail but are promising are bred from, other failures are
    not; a question whose memory resists is bred longer. What is climbed can be exchanged.

    Access: activations and gradients of the reader (`neurons`), its probabilities
    (`log-probability`), its answers (`answers`), a language model (`judge`) or similarity
    scores of the retriever (`similarity`).
    Source: Zhu, Fiondella, Yuan, Zeng, Jiao, NeurIPS 2025, arXiv 2510.21144, sections 3 and
    4, appendices B and D. No code was released.
    Differs: the paper does not state the neurons counted for each seed, the steps, the
    operators or the threshold for promising failures: here top_k = 20; sums over the
    passage exactly, by completeness, at the last position of the prompt, from the mean
    embedding in the passage's place (texts of different lengths have no path); synonyms,
    credibility phrases and sentence crossover as its examples show; the better half of the
    failures. Perplexity is that of the attacked model, not of GPT-2. A population is kept
    free of copies, so that POSR counts different texts. `answer` attribution, after
    Knowledge Neurons (arXiv 2104.08696) and IRCAN (arXiv 2406.18406), is this project's.

    Measured on a two-layer GPT-2 taught eight facts, which proves mechanics and nothing about
    large models (16 targets, population 30, T = 8, none longer): POSR rises from .19 to .41
    with `output` and .68 with seeds, to .85 and .95 with `answer`, .98 by log-probability,
    .54 by similarity, and .87 by a fitness of random numbers, since what succeeds is always
    bred from. There, sheer size of `output` guides worse than chance.

    Cost per target, in rows through the model: at most population * (generations + 1)
    texts, each 2 rows and one for each token of an answer; `answer` attribution takes
    4 * steps rows a text. The true counts are in the metadata.

    Args:
        n: passages for each target, the best of the last generation.
        prefix: whether the question comes first; the search sees the text alone.
        model: the reader: a `transformers` causal model, or the folder of one.
        tokenizer: its tokenizer; None for the one in the folder.
        fitness: what is climbed.
        attribution: of neurons: `output`, what a text changes in them, or `answer`, what
            that change does for the wrong answer against memory.
        seeds: pairs of a question and a poisoned text that the neurons are found on, for all
            targets alike; None for each target's own first population.
        top_k: neurons counted for each seed.
        n_neurons: r, the neurons kept.
        steps: of the integration, for `answer`.
        population: texts in each generation.
        n_generations: T.
        longer: further generations where memory resists: with seeds, where the first
            population moves the neurons less than they do; else where it flips less than
            half.
        rates: settings of `Rates` that differ from its defaults.
        texts: the first population: `auto` is the target's own texts if it has any, else
            the language model if there is one, else templates.
        llm: any LangChain chat model, or `openai:URL#MODEL`; writes up to 10 first texts in
            several formats, and judges.
        similarity_weight: of the similarity to the question as a second objective, 0 = none.
        reader: answers in the model's place, where fitness needs no model.
        n_answers: how often the reader is asked about a text, for `answers`.
        encoder: of the store, for similarity.
        prompt: with places {contexts} and {question}; None for PoisonedRAG's.
        closed_prompt: with a place {question}, what the model knows by heart is asked with.
        max_answer_tokens: longest answer generated.
        max_words: longest text bred.
        batch_size: rows for each pass.

    Raises:
        ValueError: a number out of range, or an unknown choice.
    """

    name: ClassVar[str] = "neurogen"
    needs: ClassVar[tuple[str, ...]] = ("model",)

    def __init__(
        self,
        *,
        n: int = 1,
        prefix: bool = True,
        model: CausalModel = None,
        tokenizer: Any = None,
        fitness: Fitness = "neurons",
        attribution: Attribution = "output",
        seeds: Sequence[tuple[str, str]] | None = None,
        top_k: int = 20,
        n_neurons: int = 10,
        steps: int = 8,
        population: int = 100,
        n_generations: int = 10,
        longer: int = 5,
        rates: Mapping[str, float] | None = None,
        texts: Texts = "auto",
        llm: Model = None,
        similarity_weight: float = 0.0,
        reader: Reader | None = None,
        n_answers: int = 1,
        encoder: Encoder | None = None,
        prompt: str | None = None,
        closed_prompt: str | None = None,
        max_answer_tokens: int = 16,
        max_words: int = 120,
        batch_size: int = 32,
    ) -> None:
        check_choice("fitness", fitness, Fitness)
        check_choice("attribution", attribution, Attribution)
        check_choice("texts", texts, Texts)
        for label, value in (
            ("top_k", top_k), ("n_neurons", n_neurons), ("steps", steps), ("n_answers", n_answers),
            ("max_answer_tokens", max_answer_tokens), ("max_words", max_words),
            ("batch_size", batch_size),
        ):  # fmt: skip
            check_count(label, value, 1)
        for label, share in (rates or {}).items():
            check_share(label, share)
        self._n = check_count("n", n)
        self._prefix = prefix
        self._population = check_count("population", population, max(n, 2))
        self._n_generations = check_count("n_generations", n_generations)
        self._longer = check_count("longer", longer)
        self._rates = Rates(**(rates or {}))
        self._texts = texts
        self._max_words = max_words
        self._llm = opened(llm)
        self._writer = Writer(self.name, self._llm, max_tries=5)
        self._given = {
            "model": model, "tokenizer": tokenizer, "prompt": prompt,
            "max_answer_tokens": max_answer_tokens, "batch_size": batch_size,
        }  # fmt: skip
        self._model_needed = model is not None or fitness in ("neurons", "log-probability")
        self._reader: CausalReader | None = None
        self._measures = Measures(
            attack=self.name, fitness=fitness, attribution=attribution, seeds=seeds, top_k=top_k,
            n_neurons=n_neurons, steps=steps, similarity_weight=similarity_weight,
            llm=self._llm, reader=reader, n_answers=n_answers, encoder=encoder,
            closed_prompt=closed_prompt,
        )  # fmt: skip

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; `verified` tells whether each flips the answer.

        In their metadata, for the whole population: `posr_first` and `posr` (population
        overwrite success rate), `fitness_first` and `fitness_last` (means; their difference
        is the gain in responsiveness), `ppl_drop` (relative, up to the first generation with
        a POSR of .9, or the last), `n_generations`, `n_reused` (promising failures bred
        from), `n_evaluations`, `n_forward`, `n_backward`; for each passage: `fitness`; and
        `memory`, what the model answers without any passage, `neurons`, as block:place.

        Raises:
            UsageError: an unusable target, nothing given of what the fitness needs, or
                fewer different texts than n.
            IncompleteError: the language model failed.
        """
        check_target(self.name, target)
        reader = self._opened()
        before = (reader.n_forward, reader.n_backward) if reader else (0, 0)
        operators = Operators(target, self._rates, max_words=self._max_words)
        texts, variant, n_written = self._first(target, rng)
        start = filled_up(texts, self._population, operators, rng)
        if len(start) < self._n:
            raise UsageError(
                f"{self.name}: target '{target.question.id}' has {len(start)} texts, "
                f"n is {self._n}; lower n"
            )
        if not self._n:
            return []
        front = target.question.text if self._prefix else ""
        made = self._measures.of(target, reader, start, front)
        line = Evolution(start, made.fitness, operators, self._rates, success=made.success, rng=rng)
        self._run(line, resists=made.resists)
        last = line.generations[-1]
        facts = self._facts(line, reader, before)
        facts |= {"memory": made.memory, "neurons": made.neurons, "fitness_by": made.name}
        return [
            crafted(
                self.name,
                target,
                index,
                variant=variant,
                retrieval_part=front,
                generation_part=last.texts[i],
                verified=None if last.succeeded is None else last.succeeded[i],
                n_llm_calls=(n_written + made.n_llm_calls()) if index == 0 else 0,
                n_encoder_calls=made.n_embedded() if index == 0 else 0,
                joint=" ",
                more={**facts, "fitness": round(float(last.fitness[i]), 6)},
            )
            for index, i in enumerate(last.best()[: self._n])
        ]

    def _opened(self) -> CausalReader | None:
        if self._reader is None and self._model_needed:
            self._reader = CausalReader(self.name, **self._given)
        return self._reader

    def _first(self, target: Target, rng: np.random.Generator) -> tuple[list[str], str, int]:
        """Texts to begin with, where they come from, and the calls they took."""
        wanted = self._texts
        if wanted == "auto":
            wanted = "supplied" if target.texts else "template" if self._llm is None else "llm"
        if wanted != "llm":
            texts = list(target.texts) if wanted == "supplied" else statements(target, rng)
            return texts, wanted, 0
        forms = table("genetic.toml")["forms"]
        found: list[str] = []
        n_calls = 0
        for i in range(min(_WRITTEN, self._population)):
            request = prompt(
                "population",
                form=forms[i % len(forms)],
                question=target.question.text,
                answer=target.wrong_answer,
                max_words=str(self._max_words),
                earlier=bullets(found),
            )
            written = self._writer.write(target, request, unlike=found)
            n_calls += written.n_llm_calls
            if written.accepted:
                found.append(written.text)
        return found or statements(target, rng), "llm" if found else "template", n_calls

    def _run(self, line: Evolution, *, resists: bool | None) -> None:
        for _ in range(self._n_generations):
            line.step()
        posr = line.generations[0].posr
        slow = resists if resists is not None else posr is not None and posr < 0.5
        for _ in range(self._longer if slow else 0):
            if (line.generations[-1].posr or 0.0) >= _GOAL:
                break
            line.step()

    def _facts(
        self, line: Evolution, reader: CausalReader | None, before: tuple[int, int]
    ) -> dict[str, MetaValue]:
        first, last = line.generations[0], line.generations[-1]
        found: dict[str, MetaValue] = {
            "posr_first": first.posr,
            "posr": last.posr,
            "fitness_first": round(float(first.fitness.mean()), 6),
            "fitness_last": round(float(last.fitness.mean()), 6),
            "population": len(last.texts),
            "n_generations": len(line.generations) - 1,
            "n_reused": sum(one.n_reused for one in line.generations[:-1]),
            "n_evaluations": line.n_evaluations,
        }
        if reader is not None:
            found["ppl_drop"] = _ppl_drop(line.generations, reader)
            found["n_forward"] = reader.n_forward - before[0]
            found["n_backward"] = reader.n_backward - before[1]
        return found


def _ppl_drop(line: Sequence[Generation], reader: CausalReader) -> float | None:
    """(first - final) / first, of mean perplexities; None where there is none."""
    final = next((one for one in line if (one.posr or 0.0) >= _GOAL), line[-1])
    first, last = (float(np.nanmean(reader.perplexities(one.texts))) for one in (line[0], final))
    return round((first - last) / first, 4) if np.isfinite(first) and first > 0 else None
