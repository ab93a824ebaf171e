"""Embedding search: a genetic search for a near text, with similarity scores alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.attacks.crafted import check_count, check_target, crafted
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.attacks.question_sets import Questions, aimed_at, read_questions
from ragshield.errors import UsageError
from ragshield.protocols import Encoder, Retriever
from ragshield.records import Passage, Target, Vector
from ragshield.text import STOP_WORDS, content_words
from ragshield.vectors import unit_rows

Words: TypeAlias = tuple[str, ...]

_P_MUTATE = 0.15
_ELITE = 0.2
_NEAR_PASSAGES = 50


class EmbeddingSearch:
    """Search words before a poisoned text that bring it near, by scores alone (DIGA-like).

    A genetic search: texts of words from the questions and from passages near them are crossed
    and mutated; words that matter little for the similarity (found by leaving each out) are
    replaced first. The poisoned text behind them, the target's own or a template's, stays.

    Access: similarity scores of the retriever; true passages, where there is a retriever.
    Source: after DIGA, NAACL 2025 (long.210): genetic search directed by token importance.
    Differs: its paper's operators are not copied, only the idea; words instead of tokens, so that
    no tokenizer is needed; one passage for a set of questions, or for the target's own.

    Cost per passage: at most `budget` texts embedded.

    Args:
        n: passages for each target.
        questions: a set to be near to; None for the target's own question alone.
        words: further words that may be used, in any texts.
        n_words: length of the searched part.
        population: texts in each generation.
        encoder: the retriever's; any.
        retriever: over the knowledge base, for words of its passages.
        budget: texts embedded for each passage.

    Raises:
        UsageError: no questions in the set.
        InputError: an unreadable file of questions.
        ValueError: n < 0, population < 2, or another number < 1.
    """

    name: ClassVar[str] = "embedding-search"
    needs: ClassVar[tuple[str, ...]] = ("encoder",)

    def __init__(
        self,
        *,
        n: int = 1,
        questions: Questions = None,
        words: Sequence[str] = (),
        n_words: int = 12,
        population: int = 40,
        encoder: Encoder | None = None,
        retriever: Retriever | None = None,
        budget: int = 3000,
    ) -> None:
        self._n = check_count("n", n)
        self._questions = read_questions(self.name, questions)
        self._words = tuple(words)
        self._n_words = check_count("n_words", n_words, 1)
        self._population = check_count("population", population, 2)
        self._encoder = encoder
        self._retriever = retriever
        self._budget = check_count("budget", budget, 1)

    def craft(self, target: Target, *, rng: np.random.Generator) -> list[Passage]:
        """The target's n passages; `objective_after` is the mean cosine reached.

        Raises:
            UsageError: an unusable target, or no encoder.
        """
        check_target(self.name, target)
        if self._encoder is None:
            raise UsageError(
                f"{self.name}: needs similarity scores of the store it attacks: give encoder "
                "(ragshield attack --encoder NAME)"
            )
        if not self._n:
            return []
        questions = aimed_at(self._questions, target)
        towards: Vector = unit_rows(self._encoder.encode(list(questions))).mean(axis=0)
        pool = self._pool(questions, target)
        texts = list(target.texts) or statements(target, rng)
        made = []
        for index, own in enumerate(rng.spawn(self._n)):
            payload = texts[index % len(texts)]
            search = _Search(self._encoder, towards, payload, self._budget, own)
            own_words = tuple(target.question.text.split()[: self._n_words])
            words, before, after = search.found(own_words, pool, self._n_words, self._population)
            made.append(
                crafted(
                    self.name,
                    target,
                    index,
                    variant="genetic",
                    retrieval_part=" ".join(words),
                    generation_part=payload,
                    verified=None,
                    n_encoder_calls=search.n_embedded + (len(questions) if index == 0 else 0),
                    joint=" ",
                    more={"objective_before": before, "objective_after": after},
                )
            )
        return made

    def _pool(self, questions: Sequence[str], target: Target) -> list[str]:
        """Words that may be put in: of the questions, of passages near them, and given ones."""
        texts = [*questions, *self._words]
        if self._retriever is not None:
            near = self._retriever.retrieve(target.question.text, _NEAR_PASSAGES)
            texts += list(near.texts)
        rights = {word for text in target.question.answers for word in content_words(text)}
        known = dict.fromkeys(word for text in texts for word in content_words(text))
        return [word for word in known if word not in rights] or sorted(STOP_WORDS)


class _Search:
    """One genetic search; counts the texts it embeds."""

    def __init__(
        self,
        encoder: Encoder,
        towards: Vector,
        payload: str,
        budget: int,
        rng: np.random.Generator,
    ) -> None:
        self.n_embedded = 0
        self._encoder = encoder
        self._towards = towards
        self._payload = payload
        self._budget = budget
        self._rng = rng
        self._known: dict[Words, float] = {}

    def found(
        self, start: Words, pool: Sequence[str], n_words: int, population: int
    ) -> tuple[Words, float, float]:
        """The best words with their similarity, and that of the start: (words, before, after)."""
        rng = self._rng
        before = float(self._similarity([start])[0])
        living = [start]
        while len(living) < population:
            drawn = [pool[i] for i in rng.integers(len(pool), size=n_words).tolist()]
            kept = rng.random(len(start)) < rng.random()
            mixed = [w for w, keep in zip(start, kept.tolist(), strict=True) if keep]
            living.append(tuple([*mixed, *drawn][:n_words]))
        while self._room():
            similarity = self._similarity(living)
            order = np.argsort(-similarity, kind="stable").tolist()
            elite = [living[i] for i in order[: max(2, int(_ELITE * population))]]
            weak = self._weakness(elite[0])
            children = [self._mutated(elite[0], weak, pool) for _ in range(population // 4)]
            while len(children) < population - len(elite):
                one, other = (living[order[self._drawn(len(order))]] for _ in range(2))
                child = self._crossed(one, other)
                children.append(self._mutated(child, np.full(len(child), _P_MUTATE), pool))
            living = list(dict.fromkeys([*elite, *children]))
            if self._room() and not any(child not in self._known for child in children):
                break  # nothing new can be reached
        best = max(self._known, key=lambda words: self._known[words])
        return best, before, self._known[best]

    def _room(self) -> int:
        return max(0, self._budget - self.n_embedded)

    def _drawn(self, n: int) -> int:
        """A place in a ranking, the first ones likelier (tournament of two)."""
        return int(self._rng.integers(n, size=2).min())

    def _similarity(self, living: Sequence[Words]) -> NDArray[np.float64]:
        """Mean cosine to the questions; -1 for what the budget does not pay for."""
        new = list(dict.fromkeys(words for words in living if words not in self._known))
        new = new[: self._room()]
        if new:
            self.n_embedded += len(new)
            texts = [f"{' '.join(words)} {self._payload}" for words in new]
            rows = unit_rows(self._encoder.encode(texts)) @ self._towards
            self._known.update(zip(new, rows.astype(float).tolist(), strict=True))
        return np.array([self._known.get(words, -1.0) for words in living])

    def _weakness(self, words: Words) -> NDArray[np.float64]:
        """Probability of replacing each word: high where leaving it out loses little."""
        if len(words) < 2:
            return np.ones(len(words))
        left = [words[:i] + words[i + 1 :] for i in range(len(words))]
        loss = self._known[words] - self._similarity(left)
        weak = np.exp(-(loss - loss.min()) / max(float(loss.std()), 1e-9))
        found: NDArray[np.float64] = np.clip(2.0 * weak / weak.sum(), 0.0, 1.0)
        return found

    def _mutated(self, words: Words, chances: NDArray[np.float64], pool: Sequence[str]) -> Words:
        changed = list(words)
        hit = np.flatnonzero(self._rng.random(len(words)) < chances).tolist()
        for i in hit or [int(self._rng.integers(len(words)))]:
            changed[i] = pool[int(self._rng.integers(len(pool)))]
        return tuple(changed)

    def _crossed(self, one: Words, other: Words) -> Words:
        """The beginning of one and the rest of the other."""
        cut = int(self._rng.integers(1, max(2, min(len(one), len(other)))))
        return one[:cut] + other[cut:]
