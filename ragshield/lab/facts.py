"""Whom and what the lab's model is asked about: the bundled world's entities and fresh ones."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from ragshield.corpora.world import World, generate
from ragshield.corpora.world_facts import Draw, EntityKind, word_lists

RELATIONS: Mapping[EntityKind, tuple[str, ...]] = {
    "person": (
        "birthplace",
        "birth_year",
        "profession",
        "employer",
        "residence",
        "spouse",
        "school",
        "award",
    ),
    "firm": (
        "founder",
        "founding_year",
        "headquarters",
        "product",
        "chief_executive",
        "workforce",
    ),
    "place": (
        "region",
        "mayor",
        "river",
        "population",
        "first_recorded",
        "landmark",
        "known_for",
    ),
}
"""Every relation that a question may be about, by what the subject is."""

_KINDS: tuple[EntityKind, ...] = ("person", "person", "firm", "place")
_YEARS = {
    "birth_year": (1930, 2004),
    "founding_year": (1874, 2015),
    "first_recorded": (1043, 1789),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody or something that a question may be about.

    Attributes:
        name: full name.
        kind: what it is.
        facts: relation to value; for a known subject these are in the weights.
        woman: for people, which pronouns.
        known: whether a model is trained to know its facts by heart.
    """

    name: str
    kind: EntityKind
    facts: Mapping[str, str] = field(default_factory=dict)
    woman: bool = False
    known: bool = False


@cache
def lab_lists(name: str) -> dict[str, Any]:
    """A TOML data file of this package."""
    text = files("ragshield.lab").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@dataclass(frozen=True, slots=True)
class Cast:
    """The subjects of the bundled world by split, and where fresh ones come from.

    Attributes:
        world: the bundled world of this seed.
        known: its subjects whose facts a model learns by heart.
        unknown: its subjects that are only ever in passages.
        held_out: its subjects that no training example names as a subject.
    """

    world: World
    known: tuple[Subject, ...]
    unknown: tuple[Subject, ...]
    held_out: tuple[Subject, ...]

    @classmethod
    def of(cls, seed: int = 0) -> Cast:
        """The cast of one world; seed 0 is the bundled corpus."""
        world = _world(seed)
        women = set(word_lists("world_names")["people"]["women"])
        facts: dict[str, dict[str, str]] = {name: {} for name in world.kinds}
        for fact in world.facts:
            facts[fact.entity][fact.relation] = fact.value
        groups: dict[str, list[Subject]] = {"known": [], "unknown": [], "held_out": []}
        for name, kind in world.kinds.items():
            split = world.split[name]
            woman = kind == "person" and name.split()[0] in women
            groups[split].append(Subject(name, kind, facts[name], woman, split == "known"))
        return cls(
            world, tuple(groups["known"]), tuple(groups["unknown"]), tuple(groups["held_out"])
        )

    def fresh(
        self,
        draw: Draw,
        *,
        kind: EntityKind | None = None,
        like: Subject | None = None,
        invented: float = 0.5,
    ) -> Subject:
        """A subject that is nobody of the world.

        Args:
            draw: where choices come from.
            kind: what it is; None for any.
            like: a subject whose name it resembles.
            invented: [0, 1], share of names and values made of syllables.
        """
        what: EntityKind = draw.pick(_KINDS) if like is None else like.kind
        what = what if kind is None else kind
        while True:
            woman = what == "person" and draw.chance(0.5)
            name = _similar(draw, like) if like else subject_name(draw, what, woman, invented)
            if name not in self.world.kinds:
                break
        facts = {r: value(draw, what, r, invented) for r in RELATIONS[what]}
        dropped = draw.shuffled(RELATIONS[what])[: draw.between(0, 2)]
        for relation in dropped:
            del facts[relation]
        return Subject(name, what, facts, woman)


@cache
def _world(seed: int) -> World:
    return generate(seed)


def subject_name(draw: Draw, kind: EntityKind, woman: bool, invented: float) -> str:
    """A full name of a person, a firm or a place."""
    if kind == "person":
        return person(draw, woman, invented)
    return firm(draw, invented) if kind == "firm" else town(draw, invented)


def person(draw: Draw, woman: bool, invented: float) -> str:
    """First name and surname."""
    lists = word_lists("world_names")["people"]
    first = lists["women" if woman else "men"]
    given = _syllables(draw, "person_ends") if draw.chance(invented) else draw.pick(first)
    return f"{given} {_surname(draw, invented)}"


def town(draw: Draw, invented: float) -> str:
    """A town's name."""
    lists = word_lists("world_names")["places"]
    if draw.chance(invented):
        return _syllables(draw, "place_ends")
    stem: str = draw.pick(lists["stems"])
    return stem + str(draw.pick([end for end in lists["endings"] if end[0] != stem[-1]]))


def firm(draw: Draw, invented: float) -> str:
    """A firm's name."""
    lists = word_lists("world_names")["firms"]
    noun = draw.pick(draw.pick(lists["industry"])["nouns"])
    if draw.chance(invented * 0.6):
        noun = draw.pick(lab_lists("names")["nouns"])
    style = draw.below(10)
    if style < 5:
        return f"{_surname(draw, invented)} {noun}"
    if style < 8:
        return f"{_surname(draw, invented)} & {_surname(draw, invented)}"
    return f"{draw.pick(lists['brands'])} {noun}"


def value(draw: Draw, kind: EntityKind, relation: str, invented: float) -> str:
    """Some value of a relation."""
    if relation in _YEARS:
        return str(draw.between(*_YEARS[relation]))
    return _VALUES[relation](draw, invented)


def _similar(draw: Draw, like: Subject) -> str:
    """A name that shares its first or its last word, or its stem, with another."""
    words = like.name.split()
    if like.kind == "place":
        keep = max(3, len(like.name) - draw.between(2, 4))
        return like.name[:keep] + str(draw.pick(lab_lists("names")["place_ends"]))
    if like.kind == "firm":
        nouns = lab_lists("names")["nouns"]
        other = _surname(draw, 0.5)
        return f"{words[0]} {draw.pick([draw.pick(nouns), f'& {other}'])}"
    other = person(draw, draw.chance(0.5), 0.4)
    return (
        f"{other.split()[0]} {words[-1]}" if draw.chance(0.6) else f"{words[0]} {other.split()[-1]}"
    )


def _syllables(draw: Draw, ends: str) -> str:
    lists = lab_lists("names")
    parts = [draw.pick(lists["starts"]), draw.pick(lists["vowels"])]
    for _ in range(draw.between(0, 1 if draw.chance(0.8) else 2)):
        parts += [draw.pick(lists["middles"]), draw.pick(lists["vowels"])]
    if draw.chance(0.6) or ends == "place_ends":
        parts[-1:] = [parts[-1], draw.pick(lists["middles"])]
    return "".join(parts).capitalize() + str(draw.pick(lists[ends]))


def _surname(draw: Draw, invented: float) -> str:
    if draw.chance(invented):
        return _syllables(draw, "person_ends")
    return str(draw.pick(word_lists("world_names")["people"]["surnames"]))


def _listed(*path: str) -> Callable[[Draw], str]:
    def pick(draw: Draw) -> str:
        found: Any = word_lists("world_names")
        for key in path:
            found = found[key]
        return str(draw.pick(found))

    return pick


def _made(*lists: str, upper: bool = False) -> Callable[[Draw], str]:
    """Words of the package's own lists in a row."""

    def make(draw: Draw) -> str:
        words = " ".join(draw.pick(lab_lists("names")[name]) for name in lists)
        return words.title() if upper else words

    return make


def _either(
    bundled: Callable[[Draw], str], made: Callable[[Draw], str]
) -> Callable[[Draw, float], str]:
    return lambda draw, invented: (made if draw.chance(invented) else bundled)(draw)


def _profession(draw: Draw, invented: float) -> str:
    names = word_lists("world_names")
    if draw.chance(invented):
        return str(draw.pick(lab_lists("names")["professions"]))
    things: Mapping[str, Sequence[str]] = names["people_things"]
    groups = [things["free_professions"], things["office_professions"]]
    groups += [industry["professions"] for industry in names["firms"]["industry"]]
    return draw.pick(draw.pick(groups))


def _product(draw: Draw, invented: float) -> str:
    if draw.chance(invented):
        return _made("adjectives", "things")(draw)
    return str(draw.pick(draw.pick(word_lists("world_names")["firms"]["industry"])["products"]))


def _school(draw: Draw, invented: float) -> str:
    if draw.chance(invented):
        return f"{_syllables(draw, 'person_ends')} {draw.pick(lab_lists('names')['schools'])}"
    return _listed("people_things", "schools")(draw)


def _person(draw: Draw, invented: float) -> str:
    return person(draw, draw.chance(0.5), invented)


def _population(draw: Draw, invented: float) -> str:
    del invented
    return f"{draw.between(3_012, 94_987):,}"


_VALUES: Mapping[str, Callable[[Draw, float], str]] = {
    "birthplace": town,
    "residence": town,
    "headquarters": town,
    "employer": firm,
    "spouse": _person,
    "founder": _person,
    "chief_executive": _person,
    "mayor": _person,
    "profession": _profession,
    "product": _product,
    "school": _school,
    "award": _either(_listed("people_things", "awards"), _made("adjectives", "prizes", upper=True)),
    "workforce": lambda draw, invented: str(draw.between(23, 940)),
    "region": _either(_listed("places", "regions"), lambda draw: _syllables(draw, "place_ends")),
    "river": _either(_listed("places", "rivers"), lambda draw: _syllables(draw, "person_ends")),
    "population": _population,
    "landmark": _either(
        _listed("places", "landmark_kinds"), _made("adjectives", "buildings", upper=True)
    ),
    "known_for": _either(_listed("places", "known_for"), _made("adjectives", "things")),
}
