"""What a genetic search over texts climbs: five measures behind one call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.attacks.causal import CausalReader
from ragshield.attacks.genetic import Judge
from ragshield.attacks.neurons import Neurons
from ragshield.attacks.writing import prompt
from ragshield.chat import ask
from ragshield.protocols import Encoder, Reader
from ragshield.records import Passage, Target
from ragshield.text import states
from ragshield.vectors import cosines

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

Fitness: TypeAlias = Literal["neurons", "log-probability", "similarity", "judge", "answers"]

_NUMBER = re.compile(r"\d+")


class NeuronFitness:
    """Poison responsiveness P(e): what a text changes in the responsive neurons, mean size.

    Args:
        neurons: of the reader.
        chosen: the responsive ones.
        question: the target's.
        towards: the answer whose probability is attributed to the neurons, and its rival;
            None for the neurons' outputs themselves.
        steps: of the integration, where `towards` is given.
    """

    def __init__(
        self,
        neurons: Neurons,
        chosen: Sequence[int],
        question: str,
        *,
        towards: tuple[str, str | None] | None = None,
        steps: int = 8,
    ) -> None:
        self._neurons = neurons
        self._chosen = list(chosen)
        self._question = question
        self._towards = towards
        self._steps = steps

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """P of each text, (n,)."""
        if self._towards is None:
            # Absolute values, as in the paper's appendix B.
            changes = np.abs(self._neurons.changes(self._question, texts))
            return np.asarray(changes[:, self._chosen].mean(axis=1), dtype=np.float64)
        answer, rival = self._towards
        rows = self._neurons.towards(self._question, texts, answer, rival=rival, steps=self._steps)
        return np.asarray(rows[:, self._chosen].mean(axis=1), dtype=np.float64)


class AnswerProbability:
    """Log-probability of the wrong answer from the text alone."""

    def __init__(self, reader: CausalReader, target: Target) -> None:
        self._reader = reader
        self._target = target

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Natural logarithm, (n,), <= 0."""
        contexts = [[text] for text in texts]
        return self._reader.log_probs(
            self._target.question.text, contexts, self._target.wrong_answer
        )


class Similarity:
    """Cosine of the text, with what stands before it, and the question."""

    def __init__(self, encoder: Encoder, question: str, front: str) -> None:
        self.n_embedded = 1
        self._encoder = encoder
        self._front = front
        self._question = encoder.encode([question])[0]

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Cosines, (n,)."""
        self.n_embedded += len(texts)
        joint = f"{self._front} " if self._front else ""
        rows = self._encoder.encode([f"{joint}{text}" for text in texts])
        return cosines(rows, self._question).astype(np.float64)


class LLMJudge:
    """What a language model thinks of the text's chances, 0 to 1; 0 where it gives no number."""

    def __init__(self, llm: BaseChatModel, target: Target) -> None:
        self.n_calls = 0
        self._llm = llm
        self._target = target

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """One call for each text, (n,)."""
        return np.array([self._judged(text) for text in texts], dtype=np.float64)

    def _judged(self, text: str) -> float:
        self.n_calls += 1
        question, answer = self._target.question.text, self._target.wrong_answer
        reply = ask(self._llm, prompt("judge", question=question, answer=answer, text=text))
        found = _NUMBER.search(reply)
        return min(int(found.group()), 10) / 10 if found else 0.0


class AnswerShare:
    """Share of a reader's answers that are the wrong one, read from the text alone.

    Args:
        reader: any; one that samples is asked several times.
        target: what is asked.
        n_answers: how often it is asked.
    """

    def __init__(self, reader: Reader, target: Target, *, n_answers: int = 1) -> None:
        self.n_asked = 0
        self._reader = reader
        self._target = target
        self._n_answers = n_answers

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Shares, (n,), [0, 1]."""
        question = self._target.question.text
        found = []
        for text in texts:
            self.n_asked += self._n_answers
            shown = [Passage("candidate", text)]
            won = [
                states(self._reader.answer(question, shown), self._target.wrong_answer)
                for _ in range(self._n_answers)
            ]
            found.append(sum(won) / len(won))
        return np.array(found, dtype=np.float64)


def blended(first: Judge, second: Judge, weight: float, start: Sequence[str]) -> Judge:
    """The sum of two measures, each in standard deviations of the first population.

    Args:
        first: the measure itself.
        second: another.
        weight: of the second.
        start: the first population, which sets both scales once and for all.
    """
    measures = [(first, 1.0), (second, weight)]
    scales = []
    for measure, share in measures:
        values = measure(start)
        spread = float(values.std()) or 1.0
        scales.append((measure, share / spread, float(values.mean())))

    def blend(texts: Sequence[str]) -> NDArray[np.float64]:
        total = np.zeros(len(texts), dtype=np.float64)
        for measure, factor, mean in scales:
            total += factor * (measure(texts) - mean)
        return total

    return blend
