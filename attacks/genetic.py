"""A genetic search over texts: sentences cross over, words and phrases mutate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.attacks.synonyms import with_synonyms
from ragshield.attacks.templates import table
from ragshield.records import Target
from ragshield.text import content_words, sentences, states

Judge: TypeAlias = Callable[[Sequence[str]], NDArray[np.float64]]
"""Fitness of texts, (n,), higher = better."""

Success: TypeAlias = Callable[[Sequence[str]], list[bool]]
"""Whether each text makes the reader give the wrong answer."""

_TRIES = 8
_TOURNAMENT = 3


@dataclass(frozen=True, slots=True)
class Rates:
    """How often what happens.

    Attributes:
        cross: share of children with two parents, [0, 1].
        synonym: share of the listed words that a mutation replaces, [0, 1].
        phrase: how often a credibility phrase is put before a sentence, [0, 1].
        elite: share of a generation that lives on unchanged, [0, 1].
        promising: a text that fails is bred from only where its fitness is at least this
            quantile of those that fail, [0, 1]; 0 = all are, 1 = only the best.
    """

    cross: float = 0.9
    synonym: float = 0.1
    phrase: float = 0.2
    elite: float = 0.1
    promising: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """One population.

    Attributes:
        texts: all different.
        fitness: (n,), higher = better.
        succeeded: whether each flips the answer; None where nobody can tell.
        n_reused: failing texts kept to breed from.
    """

    texts: tuple[str, ...]
    fitness: NDArray[np.float64]
    succeeded: tuple[bool, ...] | None
    n_reused: int

    @property
    def posr(self) -> float | None:
        """Population overwrite success rate: the share that flips the answer, [0, 1]."""
        return None if self.succeeded is None else sum(self.succeeded) / len(self.succeeded)

    def best(self) -> list[int]:
        """Indices, those that succeed first, then by fitness."""
        won = self.succeeded or (False,) * len(self.texts)
        return sorted(range(len(self.texts)), key=lambda i: (not won[i], -self.fitness[i], i))


class Operators:
    """Crossover and mutation of texts that must go on stating the wrong answer.

    Args:
        target: its answer and the words of its question stay as they are.
        rates: how often what happens.
        max_words: a child that is longer is cut after a sentence.
    """

    def __init__(self, target: Target, rates: Rates, *, max_words: int) -> None:
        self._answer = target.wrong_answer
        self._kept = [self._answer, *content_words(target.question.text)]
        self._rates = rates
        self._max_words = max_words

    def crossed(self, mother: str, father: str, rng: np.random.Generator) -> str:
        """The beginning of one text and the end of another, cut between sentences."""
        first, second = sentences(mother), sentences(father)
        head = first[: int(rng.integers(len(first) + 1))]
        tail = second[int(rng.integers(len(second) + 1)) :]
        joined = list(dict.fromkeys([*head, *tail]))
        return self._whole(joined) or mother

    def mutated(self, text: str, rng: np.random.Generator) -> str:
        """Synonyms for some words, and now and then a phrase that lends a sentence credit."""
        changed = with_synonyms(text, self._kept, rng, rate=self._rates.synonym)
        if rng.random() < self._rates.phrase:
            parts = sentences(changed)
            unused = [p for p in table("genetic.toml")["phrases"] if p not in changed]
            if parts and unused:
                at = int(rng.integers(len(parts)))
                phrase = unused[int(rng.integers(len(unused)))]
                parts[at] = f"{phrase} {_small(parts[at])}"
                changed = self._whole(parts) or changed
        return changed if states(changed, self._answer) else text

    def _whole(self, parts: Sequence[str]) -> str:
        """Sentences as a text within the limit; empty if it does not state the answer."""
        kept: list[str] = []
        n_words = 0
        for part in parts:
            n_words += len(part.split())
            if kept and n_words > self._max_words:
                break
            kept.append(part)
        text = " ".join(kept)
        return text if states(text, self._answer) else ""

    def child(self, texts: Sequence[str], order: Sequence[int], rng: np.random.Generator) -> str:
        """A child of texts drawn by tournament; `order` holds the indices, best first."""
        mother = texts[_drawn(order, rng)]
        if rng.random() < self._rates.cross:
            mother = self.crossed(mother, texts[_drawn(order, rng)], rng)
        return self.mutated(mother, rng)


def filled_up(
    texts: Sequence[str], size: int, operators: Operators, rng: np.random.Generator
) -> list[str]:
    """Different texts, grown to `size` by crossing and mutating them; maybe fewer."""
    found = list(dict.fromkeys(texts))[:size]
    order = range(len(found))
    for _ in range(_TRIES * size):
        if len(found) >= size or not found:
            break
        child = operators.child(found[: len(order)], order, rng)
        if child not in found:
            found.append(child)
    return found


class Evolution:
    """Generations one after another; no text is ever judged twice.

    Args:
        start: the first population, all different, at least one text.
        fitness: higher = better.
        operators: crossover and mutation.
        rates: see `Rates`.
        success: tells which texts flip the answer; None where nobody can tell, and then
            fitness alone decides.
        rng: draws everything.
    """

    def __init__(
        self,
        start: Sequence[str],
        fitness: Judge,
        operators: Operators,
        rates: Rates,
        *,
        success: Success | None,
        rng: np.random.Generator,
    ) -> None:
        self._fitness = fitness
        self._operators = operators
        self._rates = rates
        self._success = success
        self._rng = rng
        self._known: dict[str, float] = {}
        self._won: dict[str, bool] = {}
        self._size = len(start)
        self.generations = [self._judged(start)]

    @property
    def n_evaluations(self) -> int:
        """Different texts judged so far."""
        return len(self._known)

    def step(self) -> Generation:
        """Breed and judge the next generation."""
        last = self.generations[-1]
        order = [int(i) for i in np.argsort(-last.fitness, kind="stable")]
        n_elite = max(round(self._rates.elite * self._size), 1)
        pool = self._pool(last, order)
        children = [last.texts[i] for i in order[:n_elite]]
        for _ in range(_TRIES * self._size):
            if len(children) >= self._size:
                break
            child = self._operators.child(last.texts, pool, self._rng)
            if child not in children:
                children.append(child)
        children += [t for t in last.texts if t not in children][: self._size - len(children)]
        self.generations.append(self._judged(children))
        return self.generations[-1]

    def _pool(self, last: Generation, order: Sequence[int]) -> list[int]:
        """Whom to breed from: what succeeds, and what fails but is promising."""
        bar = self._bar(last)
        won = last.succeeded or (False,) * len(last.texts)
        return [i for i in order if won[i] or last.fitness[i] >= bar]

    def _bar(self, last: Generation) -> float:
        won = last.succeeded or (False,) * len(last.texts)
        failing = [f for f, w in zip(last.fitness, won, strict=True) if not w]
        return float(np.quantile(failing, self._rates.promising)) if failing else -np.inf

    def _judged(self, texts: Sequence[str]) -> Generation:
        new = [text for text in texts if text not in self._known]
        if new:
            self._known.update(zip(new, map(float, self._fitness(new)), strict=True))
            if self._success is not None:
                self._won.update(zip(new, self._success(new), strict=True))
        fitness = np.array([self._known[text] for text in texts], dtype=np.float64)
        won = tuple(self._won[text] for text in texts) if self._success is not None else None
        made = Generation(tuple(texts), fitness, won, 0)
        bar = self._bar(made)
        n_reused = sum(
            not w and float(f) >= bar
            for f, w in zip(fitness, won or (False,) * len(texts), strict=True)
        )
        return Generation(made.texts, fitness, won, n_reused)


def _drawn(order: Sequence[int], rng: np.random.Generator) -> int:
    """The best of a few drawn at random."""
    return order[int(rng.integers(len(order), size=_TOURNAMENT).min())]


def _small(sentence: str) -> str:
    first, _, rest = sentence.partition(" ")
    return f"{first.lower()} {rest}" if first in table("genetic.toml")["openers"] else sentence
