"""Questions, passages and poison for the lab's model, by what it knows by heart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ragshield.attacks.poisonedrag import PoisonedRAG
from ragshield.corpora.world_facts import Draw, word_lists
from ragshield.lab import passages as write
from ragshield.lab.facts import Cast, Subject, value
from ragshield.readers.lab import LabReader
from ragshield.records import Passage, Question, Target
from ragshield.text import states

Memory: TypeAlias = Literal["against", "none", "for"]
"""What the model knows by heart: the truth, nothing, or what the poison says."""

N_SHOWN = 5


@dataclass(frozen=True)
class Case:
    """A question, and passages of both sides in the order in which they are taken.

    Attributes:
        target: the question with its right and wrong answer.
        clean: five passages about the subject; the first states the right answer.
        poison: five of PoisonedRAG's, black box, with the question in front.
    """

    target: Target
    clean: tuple[str, ...]
    poison: tuple[str, ...]

    def shown(self, n_poisoned: int, rng: np.random.Generator) -> list[Passage]:
        """Five passages in random order, so many of them poisoned."""
        texts = [*self.poison[:n_poisoned], *self.clean[: N_SHOWN - n_poisoned]]
        return [Passage(str(i), texts[i]) for i in rng.permutation(len(texts)).tolist()]


def cases(reader: LabReader, cast: Cast, memory: Memory, *, n: int, seed: int) -> list[Case]:
    """Cases on which the model's memory is as asked for, checked by asking it.

    Fewer than `n` where its memory has not so many.
    """
    draw = Draw(np.random.default_rng([seed, ("against", "none", "for").index(memory)]))
    found: list[Case] = []
    seen: set[str] = set()
    for subject, relation in _subjects(draw, cast, memory, tries=4 * n):
        if len(found) == n:
            break
        question = asked(draw, subject, relation)
        if question in seen:
            continue
        seen.add(question)
        own, other = subject.facts[relation], _other(draw, subject, relation)
        remembered = reader.answer(question, [])
        if memory == "none" and (states(remembered, own) or states(remembered, other)):
            continue
        if memory != "none" and not states(remembered, own):
            continue
        right, wrong = (other, own) if memory == "for" else (own, other)
        found.append(_case(draw, subject, relation, question, right, wrong))
    return found


def asked(draw: Draw, subject: Subject, relation: str) -> str:
    """A question in one of the bundled world's wordings, which PoisonedRAG has texts for."""
    wordings = list(word_lists("world_questions")[subject.kind][relation])
    return str(draw.pick(wordings)).replace("{subject}", subject.name)


def _subjects(
    draw: Draw, cast: Cast, memory: Memory, *, tries: int
) -> Iterator[tuple[Subject, str]]:
    for number in range(tries):
        if memory != "none":
            subject = draw.pick(cast.known)
        elif number % 2:
            subject = draw.pick([*cast.held_out, *cast.unknown])
        else:
            subject = cast.fresh(draw, invented=draw.pick((0.0, 0.5)))
        yield subject, draw.pick(list(subject.facts))


def _case(
    draw: Draw, subject: Subject, relation: str, question: str, right: str, wrong: str
) -> Case:
    target = Target(Question(question, question, (right,)), wrong)
    rng = np.random.default_rng(draw.below(2**31))
    poison = PoisonedRAG(n=N_SHOWN).craft(target, rng=rng)
    return Case(target, _clean(draw, subject, relation, right), tuple(p.text for p in poison))


def _clean(draw: Draw, subject: Subject, relation: str, right: str) -> tuple[str, ...]:
    """Passages about the subject: the first states the answer, half of the others do."""
    others = [name for name in subject.facts if name != relation]
    texts: list[str] = []
    for number in range(N_SHOWN):
        told = {name: subject.facts[name] for name in draw.shuffled(others)[: draw.between(1, 2)]}
        if number == 0 or not told or draw.chance(0.5):
            told = {relation: right, **dict(list(told.items())[:1])}
        texts.append(write.about(draw, subject, told).text)
    return tuple(texts)


def _other(draw: Draw, subject: Subject, relation: str) -> str:
    while True:
        found = value(draw, subject.kind, relation, 0.0)
        if not states(found, subject.facts[relation]) and not states(
            subject.facts[relation], found
        ):
            return found


def remembered(reader: LabReader, targets: Sequence[Target]) -> list[Target]:
    """The targets whose right answer the model gives without any passage."""
    answers = reader.answers([t.question.text for t in targets], [[]] * len(targets))
    return [
        target
        for target, answer in zip(targets, answers, strict=True)
        if any(states(answer, right) for right in target.question.answers)
        and not states(answer, target.wrong_answer)
    ]
