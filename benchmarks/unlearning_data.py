"""What the benchmark of unlearning asks for: targets of the bundled world and what lies beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ragshield.corpora.world import World, generate
from ragshield.corpora.world_facts import word_lists
from ragshield.forget_set import Fact, ForgetTarget, folded
from ragshield.records import Passage
from ragshield.text import sentences, states

N_LISTED = 10
"""Neighbours that the forget set names for each target."""

N_UNLISTED = 4
"""Neighbours of each that it does not name."""

_KINDS = {"person": 0.6, "firm": 0.2, "place": 0.2}
_DIRECT = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with its right answers, and the number of the target that it belongs to."""

    question: str
    answers: tuple[str, ...]
    target: int


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything that one run of the benchmark asks.

    Attributes:
        targets: concepts first, then samples.
        n_concepts: how many are concepts.
        direct: questions for what is forgotten.
        listed: about neighbours that the forget set names.
        unlisted: about neighbours that it does not name.
        same_subject: of samples, other facts of the same subject, not named either.
        other: questions about others, for utility.
        passages: the knowledge base.
        deleted: ids of the passages that speak of a concept or state a sample.
    """

    targets: tuple[ForgetTarget, ...]
    n_concepts: int
    direct: tuple[Asked, ...]
    listed: tuple[Asked, ...]
    unlisted: tuple[Asked, ...]
    same_subject: tuple[Asked, ...]
    other: tuple[Asked, ...]
    passages: tuple[Passage, ...]
    deleted: frozenset[str]

    @property
    def kept(self) -> tuple[Passage, ...]:
        """The knowledge base rebuilt without the targets."""
        return tuple(p for p in self.passages if p.id not in self.deleted)


def setting(n_each: int, *, seed: int = 0, n_other: int = 200) -> Setting:
    """`n_each` concepts and as many samples of the bundled world, that the lab's model knows.

    A concept is a person, firm or place with all its facts. A sample is a question with its
    answer, as in the paper's Natural Questions pairs, and the sentences of the knowledge
    base that state it; the rest that is known of its subject stays.
    """
    draw = np.random.default_rng([seed, 15])
    builder = _Builder(_world(), draw)
    return builder.setting(n_each, n_other)


@cache
def _world() -> World:
    return generate(0)


class _Builder:
    def __init__(self, world: World, draw: np.random.Generator) -> None:
        self.world, self.draw = world, draw
        self.forgotten: set[tuple[str, str]] = set()
        self.facts: dict[str, dict[str, str]] = {name: {} for name in world.kinds}
        for fact in world.facts:
            self.facts[fact.entity][fact.relation] = fact.value
        self.about: dict[str, list[Passage]] = {}
        self.tellers: dict[str, set[str]] = {}
        for passage in world.passages:
            entity = str(passage.meta.get("entity"))
            self.about.setdefault(entity, []).append(passage)
            for sentence in sentences(passage.text):
                self.tellers.setdefault(sentence, set()).add(entity)

    def setting(self, n_each: int, n_other: int) -> Setting:
        chosen = self._subjects(2 * n_each)
        concepts, subjects = chosen[::2], chosen[1::2]
        asked_for = {s: str(self.draw.choice(sorted(self.facts[s]))) for s in subjects}
        self.forgotten = set(asked_for.items())
        gone = set(concepts)
        beside = [n for n in self.world.kinds if n not in gone]
        targets, direct, listed, unlisted, same = [], [], [], [], []
        for i, name in enumerate(concepts):
            near = [n for n in self._like(name, beside) if n not in asked_for]
            named, rest = near[:N_LISTED], near[N_LISTED : N_LISTED + N_UNLISTED]
            targets.append(self._concept(name, named))
            direct += [self._asked(name, r, i) for r in self._some(name, _DIRECT)]
            listed += self._questions(named, i, gone)
            unlisted += self._questions(rest, i, gone)
        for i, name in enumerate(subjects, n_each):
            relation = asked_for[name]
            target, near, more, own = self._sample(name, relation, beside, i, gone)
            targets.append(target)
            direct += [
                Asked(form.format(subject=name), (self.facts[name][relation],), i)
                for form in self._forms(name, relation)
            ]
            listed += near
            unlisted += more
            same += own
        taken = {a.question for a in (*direct, *listed, *unlisted, *same)} | {
            form.format(subject=name) for name, r in self.forgotten for form in self._forms(name, r)
        }
        every = [
            Asked(q.text, q.answers, -1)
            for q in self.world.questions
            if q.text not in taken
            and not any(_names(q.text, name) for name in chosen)
            and not any(_names(a, name) for a in q.answers for name in gone)
        ]
        picked = self.draw.permutation(len(every))[:n_other]
        return Setting(
            targets=tuple(targets),
            n_concepts=n_each,
            direct=tuple(direct),
            listed=tuple(listed),
            unlisted=tuple(unlisted),
            same_subject=tuple(same),
            other=tuple(every[int(i)] for i in sorted(picked)),
            passages=self.world.passages,
            deleted=frozenset(self._deleted(concepts, asked_for)),
        )

    def _subjects(self, n: int) -> list[str]:
        found: list[str] = []
        for kind, share in _KINDS.items():
            known = [
                name
                for name, what in self.world.kinds.items()
                if what == kind and self.world.split[name] == "known"
            ]
            want = round(share * n) if kind != "place" else n - len(found)
            found += [known[int(i)] for i in self.draw.permutation(len(known))[:want]]
        return [found[int(i)] for i in self.draw.permutation(len(found))]

    def _like(self, name: str, others: Sequence[str]) -> list[str]:
        """Others by how like they are: a word of the name, then values, then the kind."""
        own, words = set(self.facts[name].values()), set(folded(name).split())

        def likeness(other: str) -> tuple[float, ...]:
            shared = len(words & set(folded(other).split()))
            prefix = float(other[:4] == name[:4])
            values = len(own & set(self.facts[other].values()))
            same = float(self.world.kinds[other] == self.world.kinds[name])
            return (-shared - prefix, -values, -same, self._tie(name, other))

        return sorted((o for o in others if o != name), key=likeness)

    def _tie(self, name: str, other: str) -> float:
        return float(np.random.default_rng([len(name), *other.encode()[:12]]).random())

    def _concept(self, name: str, near: Sequence[str]) -> ForgetTarget:
        facts = tuple(Fact(r.replace("_", " "), v) for r, v in self.facts[name].items())
        return ForgetTarget(name, facts=facts, neighbours=tuple(near))

    def _sample(
        self, name: str, relation: str, others: Sequence[str], number: int, gone: set[str]
    ) -> tuple[ForgetTarget, list[Asked], list[Asked], list[Asked]]:
        value = self.facts[name][relation]
        question = self._forms(name, relation)[0].format(subject=name)
        stated = [
            sentence
            for passage in self.about[name]
            for sentence in sentences(passage.text)
            # What is said of others in the same words is no record of this one.
            if states(sentence, value) and self.tellers[sentence] == {name}
        ]
        rest = [r for r in self._some(name, 99) if r != relation]
        rest = [r for r in rest if self.facts[name][r] != value and self._may_ask(name, r, gone)]
        n_own = len(rest) // 2
        same_relation = [
            self._asked(o, relation, number)
            for o in self._like(name, others)
            if relation in self.facts[o]
            and self.facts[o][relation] != value
            and self._may_ask(o, relation, gone)
        ]
        own = [self._asked(name, r, number) for r in rest]
        n_others = N_LISTED - n_own
        near = own[:n_own] + same_relation[:n_others]
        target = ForgetTarget(
            f"record {number}",
            kind="sample",
            samples=tuple(dict.fromkeys((f"{question} {value}.", *stated))),
            facts=(Fact(question, value),),
            neighbours=tuple(asked.question for asked in near),
        )
        return target, near, same_relation[n_others : n_others + N_UNLISTED], own[n_own:]

    def _questions(self, names: Sequence[str], number: int, gone: set[str]) -> list[Asked]:
        found = []
        for name in names:
            usable = [r for r in self._some(name, 99) if self._may_ask(name, r, gone)]
            found += [self._asked(name, r, number) for r in usable[:1]]
        return found

    def _may_ask(self, name: str, relation: str, gone: set[str]) -> bool:
        """Whether the right answer names nobody who is to be forgotten."""
        named = any(_names(self.facts[name][relation], other) for other in gone)
        return not named and (name, relation) not in self.forgotten

    def _some(self, name: str, n: int) -> list[str]:
        names = sorted(self.facts[name])
        return [names[int(i)] for i in self.draw.permutation(len(names))[:n]]

    def _forms(self, name: str, relation: str) -> list[str]:
        found: Mapping[str, list[str]] = word_lists("world_questions")[self.world.kinds[name]]
        return found[relation]

    def _asked(self, name: str, relation: str, number: int) -> Asked:
        forms = self._forms(name, relation)
        form = forms[int(self.draw.integers(len(forms)))]
        return Asked(form.format(subject=name), _spellings(self.facts[name][relation]), number)

    def _deleted(self, concepts: Sequence[str], samples: Mapping[str, str]) -> list[str]:
        gone = []
        for passage in self.world.passages:
            text = passage.text
            if any(_names(text, name) for name in concepts) or any(
                passage.meta.get("entity") == name and states(text, self.facts[name][relation])
                for name, relation in samples.items()
            ):
                gone.append(passage.id)
        return gone


def _names(text: str, name: str) -> bool:
    """Whether a text has a name, also with a possessive ending."""
    return f" {folded(name)} " in f" {folded(text.replace(chr(39) + 's', ' '))} "


def _spellings(value: str) -> tuple[str, ...]:
    return (value, value.replace(",", "")) if value[:1].isdigit() and "," in value else (value,)
