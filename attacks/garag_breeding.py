"""Breeding typing errors in one passage, for GARAG's search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.attacks.garag_objectives import Answering
from ragshield.attacks.pareto import ranked
from ragshield.attacks.typos import WORD, changeable, misspelt, replaced
from ragshield.protocols import Encoder
from ragshield.records import Target
from ragshield.vectors import cosines

_Errors: TypeAlias = Mapping[int, str]
"""Which word, by its number among those that can change, is misspelt how."""

_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Settings:
    """How the search goes; `GARAGSearch` describes each."""

    population: int
    n_parents: int
    n_generations: int
    rate: float
    cross: float
    mutate: float


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of the passage.

    Attributes:
        errors: the misspelt words, by number, and how they are spelt.
        text: the passage with them.
        costs: RSR and GPR, > 0, below 1 = objective met.
        wrong: whether the answer that the reader gives is not right.
    """

    errors: tuple[tuple[int, str], ...]
    text: str
    costs: tuple[float, float]
    wrong: bool


class Breeding:
    """The search over one passage: NSGA-II over RSR and GPR.

    Attributes:
        n_embedded: texts embedded.
        n_evaluations: different variants judged.
    """

    def __init__(
        self,
        settings: Settings,
        target: Target,
        text: str,
        answering: Answering,
        encoder: Encoder,
        rng: np.random.Generator,
        *,
        prefix: bool,
    ) -> None:
        self._settings = settings
        self._rng = rng
        self._text = text
        self._answering = answering
        self._encoder = encoder
        self._front = f"{target.question.text} " if prefix else ""
        self._matches = changeable(text, WORD, [target.wrong_answer, *target.question.answers])
        self._question = encoder.encode([target.question.text])[0]
        self.n_embedded = 1
        self.n_evaluations = 0
        self._similarity = float(self._similarities([text])[0])
        [(self._log_p, _)] = answering.measured([self._front + text])
        self._known: dict[tuple[tuple[int, str], ...], Variant] = {}

    def run(self) -> tuple[Variant, int]:
        """The best variant and the generations bred."""
        size = self._settings.population
        people = self._judged([self._perturbed({}, self._settings.rate) for _ in range(size)])
        for generation in range(self._settings.n_generations):
            if any(one.wrong and one.costs[0] < 1 for one in people):
                return self._best(people), generation
            order = ranked(np.array([one.costs for one in people]))
            parents = [people[i] for i in order[: self._settings.n_parents]]
            children = [self._child(parents) for _ in range(size)]
            both = list({one.errors: one for one in [*people, *self._judged(children)]}.values())
            order = ranked(np.array([one.costs for one in both]))
            people = [both[i] for i in order[:size]]
        return self._best(people), self._settings.n_generations

    def _best(self, people: Sequence[Variant]) -> Variant:
        """The one that meets most objectives, then the lowest product of both."""

        def key(one: Variant) -> tuple[int, bool, float]:
            met = sum(cost < 1 for cost in one.costs)
            return (-met, not one.wrong, one.costs[0] * one.costs[1])

        return min(people, key=key)

    def _perturbed(self, errors: _Errors, rate: float) -> dict[int, str]:
        """Errors in further words: a share of those that can change, at least one."""
        free = [i for i in range(len(self._matches)) if i not in errors]
        n = min(len(free), max(round(rate * len(self._matches)), 1)) if rate else 0
        chosen = self._rng.choice(len(free), size=n, replace=False).tolist() if n else []
        new = {free[i]: misspelt(self._matches[free[i]].group(), self._rng) for i in chosen}
        return {**errors, **new}

    def _child(self, parents: Sequence[Variant]) -> dict[int, str]:
        first, second = (
            dict(parents[int(self._rng.integers(len(parents)))].errors) for _ in range(2)
        )
        # Errors that only one of the two has change sides.
        for word in sorted(set(first) ^ set(second)):
            if self._rng.random() < self._settings.cross:
                if word in first:
                    del first[word]
                else:
                    first[word] = second[word]
        n = round(self._settings.mutate * len(first))
        if n:
            for at in self._rng.choice(sorted(first), size=n, replace=False).tolist():
                del first[at]
        free = max(len(self._matches), 1)
        return self._perturbed(first, n / free) if n or not first else first

    def _judged(self, variants: Sequence[_Errors]) -> list[Variant]:
        keys = [tuple(sorted(errors.items())) for errors in variants]
        new = [key for key in dict.fromkeys(keys) if key not in self._known]
        if new:
            texts = [replaced(self._text, [(self._matches[i], to) for i, to in key]) for key in new]
            near = self._similarities(texts)
            answers = self._answering.measured([self._front + text for text in texts])
            self.n_evaluations += len(new)
            for key, text, similarity, (log_p, wrong) in zip(
                new, texts, near, answers, strict=True
            ):
                rsr = max(self._similarity, _LEAST) / max(float(similarity), _LEAST)
                gpr = float(np.exp(min(log_p - self._log_p, 50.0)))
                self._known[key] = Variant(key, text, (rsr, gpr), wrong)
        return [self._known[key] for key in dict.fromkeys(keys)]

    def _similarities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.n_embedded += len(texts)
        return cosines(self._encoder.encode([self._front + t for t in texts]), self._question)
