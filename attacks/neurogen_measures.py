"""What NeuroGenPoisoning climbs for one target, and how it sees that a text works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import numpy as np

from ragshield.attacks.causal import CausalReader
from ragshield.attacks.fitness import (
    AnswerProbability,
    AnswerShare,
    Fitness,
    LLMJudge,
    NeuronFitness,
    Similarity,
    blended,
)
from ragshield.attacks.genetic import Judge, Success
from ragshield.attacks.neurons import Neurons, responsive
from ragshield.attacks.templates import table
from ragshield.chat import fill
from ragshield.errors import UsageError
from ragshield.protocols import Encoder, Reader
from ragshield.records import Passage, Target
from ragshield.text import states

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

Attribution: TypeAlias = Literal["output", "answer"]

_Given = TypeVar("_Given")

_MOST_SEEDS = 16


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything a search needs to know about one target.

    Attributes:
        name: what is climbed, for the log.
        fitness: higher = better.
        success: which texts flip the answer; None where nobody can tell.
        resists: whether the first population moves the neurons less than the seeds did;
            None where that is not known.
        memory: what the model answers without a passage; None without a model.
        neurons: the responsive ones, as block:place; None where none were looked for.
        n_llm_calls: calls of the language model so far.
        n_embedded: texts embedded so far.
    """

    name: str
    fitness: Judge
    success: Success | None
    resists: bool | None
    memory: str | None
    neurons: str | None
    n_llm_calls: Callable[[], int]
    n_embedded: Callable[[], int]


@dataclass(slots=True)
class Measures:
    """Makes the measures of a target; `NeuroGenPoisoning` describes the settings."""

    attack: str
    fitness: Fitness
    attribution: Attribution
    seeds: Sequence[tuple[str, str]] | None
    top_k: int
    n_neurons: int
    steps: int
    similarity_weight: float
    llm: BaseChatModel | None
    reader: Reader | None
    n_answers: int
    encoder: Encoder | None
    closed_prompt: str | None

    def of(
        self, target: Target, model: CausalReader | None, start: Sequence[str], front: str
    ) -> Measured:
        """The measures for one target.

        Args:
            target: what is attacked.
            model: the reader from inside, if there is one.
            start: the first population.
            front: what stands before each text in the store.

        Raises:
            UsageError: the fitness needs something that was not given.
        """
        memory = (
            None if model is None else memory_of(model, target.question.text, self.closed_prompt)
        )
        judge = similar = None
        resists, places = None, None
        measure: Judge
        if self.fitness == "neurons":
            measure, places, resists = self._neurons(
                target, self._need("model", model), start, memory
            )
        elif self.fitness == "log-probability":
            measure = AnswerProbability(self._need("model", model), target)
        elif self.fitness == "answers":
            measure = AnswerShare(
                self._need("reader", self.reader), target, n_answers=self.n_answers
            )
        elif self.fitness == "judge":
            measure = judge = LLMJudge(self._need("llm", self.llm), target)
        else:
            measure = similar = self._similarity(target, front)
        if self.similarity_weight and self.fitness != "similarity":
            similar = self._similarity(target, front)
            measure = blended(measure, similar, self.similarity_weight, start)
        return Measured(
            name=f"{self.fitness} + similarity" if self._blends() else self.fitness,
            fitness=measure,
            success=self._success(target, model),
            resists=resists,
            memory=memory,
            neurons=places,
            n_llm_calls=lambda: 0 if judge is None else judge.n_calls,
            n_embedded=lambda: 0 if similar is None else similar.n_embedded,
        )

    def _blends(self) -> bool:
        return bool(self.similarity_weight) and self.fitness != "similarity"

    def _similarity(self, target: Target, front: str) -> Similarity:
        return Similarity(self._need("encoder", self.encoder), target.question.text, front)

    def _need(self, name: str, value: _Given | None) -> _Given:
        if value is None:
            raise UsageError(f"{self.attack}: fitness '{self.fitness}' needs {name}: give {name}")
        return value

    def _neurons(
        self, target: Target, model: CausalReader, start: Sequence[str], memory: str | None
    ) -> tuple[Judge, str, bool | None]:
        """The fitness, the places of its neurons, and whether the target resists."""
        neurons = Neurons(model)
        question = target.question.text
        rival = _rival(target, memory)
        towards = (target.wrong_answer, rival) if self.attribution == "answer" else None
        pairs = self.seeds or [(question, text) for text in start[:_MOST_SEEDS]]
        if towards is None or self.seeds:
            found = np.stack([neurons.changes(asked, [text])[0] for asked, text in pairs])
        else:
            first = list(start[:_MOST_SEEDS])
            found = neurons.towards(question, first, towards[0], rival=rival, steps=self.steps)
        chosen = responsive(found, top_k=self.top_k, most=self.n_neurons)
        measure = NeuronFitness(neurons, chosen, question, towards=towards, steps=self.steps)
        resists = None
        if self.seeds:
            usual = float(np.abs(found[:, chosen]).mean())
            moved = np.abs(neurons.changes(question, list(start[:_MOST_SEEDS])))[:, chosen]
            resists = bool(moved.mean() < usual)
        places = ", ".join("{}:{}".format(*neurons.place_of(neuron)) for neuron in chosen)
        return measure, places, resists

    def _success(self, target: Target, model: CausalReader | None) -> Success | None:
        question, wrong = target.question.text, target.wrong_answer
        if model is not None:
            return lambda texts: [
                states(answer, wrong) for answer in model.answers(question, [[t] for t in texts])
            ]
        if self.reader is None:
            return None
        ask = self.reader.answer
        return lambda texts: [
            states(ask(question, [Passage("candidate", t)]), wrong) for t in texts
        ]


def memory_of(model: CausalReader, question: str, closed_prompt: str | None) -> str:
    """What the model answers by heart."""
    asked = fill(closed_prompt or table("genetic.toml")["closed"].strip(), {"question": question})
    return model.completed(asked)


def _rival(target: Target, memory: str | None) -> str | None:
    """The answer that the wrong one has to beat: the model's own, else a right one."""
    known = [memory or "", *target.question.answers]
    return next((a for a in known if a.strip() and not states(a, target.wrong_answer)), None)
