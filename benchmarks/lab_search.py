"""NeuroGenPoisoning on the lab's model: what guides the search, and what the neurons are worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragshield.attacks.causal import CausalReader
from ragshield.attacks.fitness import AnswerProbability, Similarity
from ragshield.attacks.genetic import Evolution, Judge, Operators, Rates, filled_up
from ragshield.attacks.neurons import Neurons, responsive
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.protocols import Encoder
from ragshield.records import Target
from ragshield.text import states

TOP_K = 20
N_NEURONS = 10
N_SEEDS = 12
STEPS = 2
MAX_WORDS = 120

REUSE: Mapping[str, Rates] = {
    "the better half": Rates(),
    "the best one only": Rates(promising=1.0),
    "all": Rates(promising=0.0),
}
"""Which texts that fail are bred from."""

PAPER = "neurons, by output (the paper's)"
RANDOM = "random neurons, by output"
NEURONS = ("responsive, by output", "responsive, by answer", "random")


class Scene:
    """One target; what a text does is looked up once for all searches.

    Args:
        reader: the model from inside.
        encoder: of the store, for similarity.
        target: whose answer is to be overwritten.
        population: texts of the first population, from PoisonedRAG's templates.
        seed: of everything drawn.
    """

    def __init__(
        self, reader: CausalReader, encoder: Encoder, target: Target, population: int, seed: int
    ) -> None:
        self.target = target
        self._reader = reader
        self._encoder = encoder
        self._seed = seed
        self._rng = np.random.default_rng([seed, 1])
        self._won: dict[str, bool] = {}
        self._rows: dict[tuple[bool, str], NDArray[np.float64]] = {}
        self.operators = Operators(target, Rates(), max_words=MAX_WORDS)
        self.start = filled_up(statements(target, self._rng), population, self.operators, self._rng)
        self._neurons = Neurons(reader)
        self.chosen = self._chosen()

    @property
    def towards(self) -> tuple[str, str]:
        """The wrong answer and the one that it has to beat."""
        return self.target.wrong_answer, self.target.question.answers[0]

    def success(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text alone makes the model give the wrong answer."""
        new = [text for text in dict.fromkeys(texts) if text not in self._won]
        answers = self._reader.answers(self.target.question.text, [[t] for t in new])
        for text, answer in zip(new, answers, strict=True):
            self._won[text] = states(answer, self.target.wrong_answer)
        return [self._won[text] for text in texts]

    def _chosen(self) -> dict[str, list[int]]:
        seeds = self.start[:N_SEEDS]
        outputs, answers = (self.attributions(seeds, answer=kind) for kind in (False, True))
        found = (
            responsive(outputs, top_k=TOP_K, most=N_NEURONS),
            responsive(answers, top_k=TOP_K, most=N_NEURONS),
            self._rng.choice(outputs.shape[1], N_NEURONS, replace=False).tolist(),
        )
        return dict(zip(NEURONS, found, strict=True))

    def attributions(self, texts: Sequence[str], *, answer: bool) -> NDArray[np.float64]:
        """What each text changes in every neuron, (n, neurons); looked up once.

        Args:
            texts: read alone.
            answer: what the changes do for the wrong answer against the right one; else
                the changes themselves.
        """
        new = [text for text in dict.fromkeys(texts) if (answer, text) not in self._rows]
        question = self.target.question.text
        if answer and new:
            wrong, right = self.towards
            rows = self._neurons.towards(question, new, wrong, rival=right, steps=STEPS)
        else:
            rows = self._neurons.changes(question, new)
        self._rows.update(((answer, text), row) for text, row in zip(new, rows, strict=True))
        return np.stack([self._rows[answer, text] for text in texts])

    def responsiveness(self, chosen: str, *, answer: bool) -> Judge:
        """P(e) by some neurons: mean size of their changes, or mean effect on the answer."""

        def measure(texts: Sequence[str]) -> NDArray[np.float64]:
            rows = self.attributions(texts, answer=answer)[:, self.chosen[chosen]]
            found: NDArray[np.float64] = (rows if answer else np.abs(rows)).mean(axis=1)
            return found

        return measure

    def guides(self) -> dict[str, Judge]:
        """What may be climbed, by name."""
        question = self.target.question.text
        luck = np.random.default_rng([self._seed, 2])

        def chance(texts: Sequence[str]) -> NDArray[np.float64]:
            return luck.random(len(texts))

        return {
            PAPER: self.responsiveness(NEURONS[0], answer=False),
            RANDOM: self.responsiveness(NEURONS[2], answer=False),
            "neurons, by answer": self.responsiveness(NEURONS[1], answer=True),
            "similarity": Similarity(self._encoder, question, question),
            "the answer's probability": AnswerProbability(self._reader, self.target),
            "chance": chance,
        }

    def evolved(self, judge: Judge, rates: Rates, n_generations: int) -> dict[str, float]:
        """One search: the share of the population that overwrites, before and after."""
        operators = Operators(self.target, rates, max_words=MAX_WORDS)
        rng = np.random.default_rng([self._seed, 3])
        line = Evolution(self.start, judge, operators, rates, success=self.success, rng=rng)
        for _ in range(n_generations):
            line.step()
        generations = line.generations
        return {
            "first": generations[0].posr or 0.0,
            "last": generations[-1].posr or 0.0,
            "any": float(any(one.posr for one in generations)),
            "n_judged": float(line.n_evaluations),
        }

    def drawn(self, n: int) -> dict[str, float]:
        """PoisonedRAG with as many texts: bred without choosing, and those that work kept."""
        rng = np.random.default_rng([self._seed, 4])
        texts = filled_up(self.start, n, self.operators, rng)
        won = self.success(texts)
        size = len(self.start)
        return {
            "first": float(np.mean(won[:size])),
            "last": float(np.mean(won[-size:])),
            "kept": min(sum(won), size) / size,
            "any": float(any(won)),
            "n_judged": float(len(texts)),
        }

    def sorted_by(self, judge: Judge) -> float | None:
        """Area under the curve: does the measure put texts that work first? None = one kind."""
        won = np.array(self.success(self.start))
        if won.all() or not won.any():
            return None
        values = judge(self.start)
        high, low = values[won][:, None], values[~won][None]
        return float(((high > low) + 0.5 * (high == low)).mean())

    def undone(self) -> dict[str, float]:
        """Nats by which the wrong answer loses to the right one with neurons put back."""
        question, texts = self.target.question.text, self.start[:N_SEEDS]
        wrong, right = self.towards

        def margin(neurons: Sequence[int]) -> float:
            lead = [
                self._neurons.put_back(question, texts, answer, neurons)
                for answer in (wrong, right)
            ]
            return float((lead[0] - lead[1]).mean())

        usual = margin([])
        return {name: usual - margin(places) for name, places in self.chosen.items()}


def searches(
    scenes: Iterable[Scene], n_generations: int, advance: Callable[[Scene], bool]
) -> dict[str, list[dict[str, Any]]]:
    """Every search on every target, by name.

    Args:
        scenes: the targets.
        n_generations: bred in each search.
        advance: called after each target; False ends the searches.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for scene in scenes:
        own: dict[str, dict[str, Any]] = {}
        for name, judge in scene.guides().items():
            made = scene.evolved(judge, REUSE["the better half"], n_generations)
            own[name] = {**made, "sorted": scene.sorted_by(judge)}
        for name, rates in list(REUSE.items())[1:]:
            judge = scene.guides()[PAPER]
            own[f"{PAPER}; reused: {name}"] = scene.evolved(judge, rates, n_generations)
        n = round(np.mean([row["n_judged"] for row in own.values()]))
        own["PoisonedRAG"] = scene.drawn(n)
        own["undone"] = scene.undone()
        random = scene.responsiveness(NEURONS[2], answer=True)
        own["random by answer"] = {"sorted": scene.sorted_by(random)}
        for name, row in own.items():
            found.setdefault(name, []).append(row)
        if not advance(scene):
            break
    return found
