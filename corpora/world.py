"""The bundled corpus: a generated world of invented people, places and firms.

Nothing in it exists, so no reader can know an answer from elsewhere. Each fact is
stated in several passages in different words, and each entity has neighbours with
similar names, the same town or the same trade.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from ragshield.corpora import world_facts as facts_
from ragshield.corpora.world_facts import Draw, Entity, EntityKind, word_lists
from ragshield.corpora.world_text import Draft, Writer, as_passages
from ragshield.corpora.world_wrong import WrongAnswers
from ragshield.errors import UsageError
from ragshield.records import Corpus, Passage, Question, Target

Split: TypeAlias = Literal["known", "unknown", "held_out"]

_SPLITS: tuple[tuple[Split, float], ...] = (("known", 0.6), ("unknown", 0.85), ("held_out", 1.0))
_PASSAGES_EACH = {"person": 7, "firm": 7, "place": 8}
_MAX_PLACES = 120
_MAX_FIRMS = 140
_MAX_PEOPLE = 1500


class Fact(NamedTuple):
    """One thing that is true in the world."""

    entity: str
    relation: str
    value: str


@dataclass(frozen=True, slots=True)
class World:
    """Everything that one seed generates.

    Attributes:
        seed: what it was generated from.
        kinds: name of each entity to what it is; places, then firms, then people.
        facts: all facts, grouped by entity in the order of `kinds`.
        passages: the knowledge base.
        questions: questions with right answers; ids end in ENTITY/RELATION.
        targets: each question with a wrong answer that no passage states together
            with the entity.
        subjects: name of each entity to the ids of its questions.
        split: name of each entity to known (a model may be trained on it), unknown
            (only ever in passages) or held_out (kept for testing).
    """

    seed: int
    kinds: Mapping[str, EntityKind]
    facts: tuple[Fact, ...]
    passages: tuple[Passage, ...]
    questions: tuple[Question, ...]
    targets: tuple[Target, ...]
    subjects: Mapping[str, tuple[str, ...]]
    split: Mapping[str, Split]


def load(
    *,
    seed: int = 0,
    people: int = 190,
    firms: int = 70,
    places: int = 60,
    questions_each: int = 3,
) -> Corpus:
    """A generated world of invented people, places and firms, bundled with ragshield.

    About 2,500 passages and 960 questions at the default size; every question is also
    a target with a plausible wrong answer.

    Args:
        seed: another seed gives another world.
        people: how many people; at least 4/3 of firms and places together, because
            each of those is run by a different person.
        firms: how many firms, 4 to 140.
        places: how many towns, 8 to 120.
        questions_each: questions about each entity, at least 1.

    Raises:
        UsageError: a size outside these ranges, a negative seed, or a world so small
            that it holds no wrong answer for some question.
    """
    world = generate(seed, people=people, firms=firms, places=places, questions_each=questions_each)
    return Corpus(f"world/{seed}", world.passages, world.questions, world.targets, world.subjects)


def generate(
    seed: int = 0,
    *,
    people: int = 190,
    firms: int = 70,
    places: int = 60,
    questions_each: int = 3,
) -> World:
    """The world itself: as `load`, with its facts and splits.

    Raises:
        UsageError: as `load`.
    """
    _check_sizes(seed, people, firms, places, questions_each)
    draw = Draw(np.random.default_rng(seed))
    entities = facts_.build(draw, people=people, firms=firms, places=places)
    passages = as_passages(list(_drafts(Writer(draw), draw, entities)))
    questions, targets, subjects = _ask(draw, entities, passages, questions_each)
    return World(
        seed=seed,
        kinds={entity.name: entity.kind for entity in entities},
        facts=tuple(Fact(e.name, relation, v) for e in entities for relation, v in e.facts.items()),
        passages=passages,
        questions=questions,
        targets=targets,
        subjects=subjects,
        split=_split(draw, entities),
    )


def _check_sizes(seed: int, people: int, firms: int, places: int, questions_each: int) -> None:
    if seed < 0:
        raise UsageError(f"seed is {seed}; it must not be negative")
    for name, value, low, high in (
        ("places", places, 8, _MAX_PLACES),
        ("firms", firms, 4, _MAX_FIRMS),
        ("people", people, -(-4 * (firms + places) // 3), _MAX_PEOPLE),
        ("questions_each", questions_each, 1, 8),
    ):
        if not low <= value <= high:
            raise UsageError(f"{name} is {value}; with these sizes it must be {low} to {high}")


def _drafts(writer: Writer, draw: Draw, entities: Sequence[Entity]) -> Iterator[Draft]:
    for entity in entities:
        yield from writer.about(entity, _PASSAGES_EACH[entity.kind])
    for first, second in _namesakes(entities):
        if first.facts.get("spouse") != second.name:
            yield writer.pair(first, second)
    for town in entities:
        if town.kind == "place":
            people = [e for e in entities if e.facts.get("residence") == town.name]
            if len(people) >= 3:
                yield writer.residents(town, draw.shuffled(people)[:3])


def _namesakes(entities: Sequence[Entity]) -> Iterator[tuple[Entity, Entity]]:
    """Neighbouring pairs of a kind that share a surname, a first word or a stem."""
    groups: dict[tuple[str, str], list[Entity]] = {}
    stems = word_lists("world_names")["places"]["stems"]
    for entity in entities:
        if entity.kind == "place":
            key = max((s for s in stems if entity.name.startswith(s)), key=len)
        else:
            key = entity.name.split()[-1 if entity.kind == "person" else 0]
        groups.setdefault((entity.kind, key), []).append(entity)
    for group in groups.values():
        yield from pairwise(group)


def _ask(
    draw: Draw, entities: Sequence[Entity], passages: Sequence[Passage], each: int
) -> tuple[tuple[Question, ...], tuple[Target, ...], dict[str, tuple[str, ...]]]:
    phrasings = word_lists("world_questions")
    wrong = WrongAnswers(entities, passages)
    questions: list[Question] = []
    targets: list[Target] = []
    subjects: dict[str, tuple[str, ...]] = {}
    for entity in entities:
        relations = draw.shuffled(list(entity.facts))[:each]
        for relation in relations:
            text = draw.pick(phrasings[entity.kind][relation]).format(subject=entity.name)
            slug = entity.name.lower().replace(" & ", "-and-").replace(" ", "-")
            value = entity.facts[relation]
            question = Question(f"world/{slug}/{relation}", text, _answers(relation, value))
            questions.append(question)
            targets.append(Target(question, wrong.pick(draw, entity, relation)))
        subjects[entity.name] = tuple(q.id for q in questions[-len(relations) :])
    return tuple(questions), tuple(targets), subjects


def _answers(relation: str, value: str) -> tuple[str, ...]:
    """The value and other spellings of it that should count."""
    if relation == "population":
        return (value, value.replace(",", ""))
    if relation == "river":
        return (value, f"River {value}")
    return (value,)


def _split(draw: Draw, entities: Sequence[Entity]) -> dict[str, Split]:
    """Splits in fixed proportions within each kind."""
    split: dict[str, Split] = {}
    for kind in ("place", "firm", "person"):
        names = draw.shuffled([entity.name for entity in entities if entity.kind == kind])
        for i, name in enumerate(names):
            split[name] = next(s for s, upto in _SPLITS if i < upto * len(names))
    return {entity.name: split[entity.name] for entity in entities}
