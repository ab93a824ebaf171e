"""The facts of the generated world: who and what exists, and how it hangs together.

Everything is drawn from one numpy Generator through `Draw`, which uses nothing but
`Generator.random`, so that a seed gives the same world on every platform and in every
process.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

EntityKind: TypeAlias = Literal["person", "firm", "place"]
Item = TypeVar("Item")


@dataclass(slots=True)
class Entity:
    """One person, firm or place while the world is being made.

    Attributes:
        name: unique in the world; no name contains another.
        kind: what it is.
        facts: relation to value, in a fixed order.
        woman: for people, which pronoun and which word for the spouse's partner.
    """

    name: str
    kind: EntityKind
    facts: dict[str, str] = field(default_factory=dict)
    woman: bool = False


class Draw:
    """Random choices from a Generator, independent of numpy's sampling algorithms."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._random = rng.random

    def below(self, n: int) -> int:
        """An integer in [0, n)."""
        return int(self._random() * n)

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + self.below(high - low + 1)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        """One item."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """All items in random order (Fisher-Yates)."""
        mixed = list(items)
        for i in range(len(mixed) - 1, 0, -1):
            j = self.below(i + 1)
            mixed[i], mixed[j] = mixed[j], mixed[i]
        return mixed

    def dealt(self, items: Sequence[Item], n: int) -> list[Item]:
        """N items, each used once before any is used again."""
        found: list[Item] = []
        while len(found) < n:
            found += self.shuffled(items)
        return found[:n]


@cache
def word_lists(name: str) -> dict[str, Any]:
    """A TOML data file of this package."""
    text = files("ragshield.corpora").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def build(draw: Draw, *, people: int, firms: int, places: int) -> list[Entity]:
    """All entities with their facts, places first, then firms, then people.

    A mayor lives in the town, a chief executive where the firm is based, couples live
    together, a founder was at least 24 when the firm began.
    """
    towns = _towns(draw, places)
    persons = _persons(draw, people)
    couples = _marry(draw, persons, most=people - firms - places)
    holders = _office_holders(draw, persons, couples)
    taken = {person.name for person in persons}
    companies = [_firm(draw, firm, towns, persons, taken) for firm in _firm_names(draw, firms)]

    homes: dict[str, str] = {}
    employers: dict[str, Entity] = {}
    for town in towns:
        mayor = holders.pop()
        town.facts["mayor"] = mayor.name
        homes[mayor.name] = town.name
    mayors = set(homes)
    for firm in companies:
        founder = firm.facts["founder"]
        chief = holders.pop()
        firm.facts["chief_executive"] = chief.name
        homes[chief.name] = firm.facts["headquarters"]
        employers[chief.name] = firm
        if founder in taken and founder not in mayors and founder not in employers:
            employers[founder] = firm
    for person in persons:
        _describe(draw, person, towns, companies, homes, employers, mayors, couples)
    return [*towns, *companies, *persons]


def _towns(draw: Draw, n: int) -> list[Entity]:
    lists = word_lists("world_names")["places"]
    stems = draw.shuffled(lists["stems"])
    endings = {
        stem: [e for e in draw.shuffled(lists["endings"]) if e[0] != stem[-1]] for stem in stems
    }
    names = [stems[i % len(stems)] + endings[stems[i % len(stems)]].pop() for i in range(n)]
    landmarks = draw.dealt(lists["landmark_kinds"], n)
    known_for = draw.dealt(lists["known_for"], n)
    years = draw.shuffled(range(1043, 1790))
    per_region = len(lists["rivers"]) // len(lists["regions"])
    towns = []
    for i, name in enumerate(draw.shuffled(names)):
        region = draw.below(len(lists["regions"]))
        river = lists["rivers"][region * per_region + draw.below(per_region)]
        facts = {
            "region": lists["regions"][region],
            "mayor": "",  # named when the people are there
            "river": river,
            "population": f"{draw.between(3_012, 94_987):,}",
            "first_recorded": str(years[i]),
            "landmark": landmarks[i],
            "known_for": known_for[i],
        }
        towns.append(Entity(name, "place", facts))
    return towns


def _persons(draw: Draw, n: int) -> list[Entity]:
    lists = word_lists("world_names")["people"]
    surnames = draw.dealt(lists["surnames"], n)
    first = {True: draw.dealt(lists["women"], n), False: draw.dealt(lists["men"], n)}
    persons: list[Entity] = []
    taken: set[str] = set()
    for i in range(n):
        woman = i % 2 == 0
        name = f"{first[woman][i]} {surnames[i]}"
        while name in taken:
            name = f"{draw.pick(first[woman])} {surnames[i]}"
        taken.add(name)
        year = str(draw.between(1945, 1992))
        persons.append(Entity(name, "person", {"birth_year": year}, woman))
    return draw.shuffled(persons)


def _marry(draw: Draw, persons: list[Entity], *, most: int) -> dict[str, Entity]:
    """Pair half of the people, at most `most` pairs; a third of them share a surname."""
    couples: dict[str, Entity] = {}
    taken = {person.name for person in persons}
    single = [person for person in persons if not person.woman]
    for woman in [person for person in persons if person.woman]:
        if not draw.chance(0.5) or len(couples) >= 2 * most:
            continue
        born = int(woman.facts["birth_year"])
        man = next((m for m in single if abs(int(m.facts["birth_year"]) - born) <= 9), None)
        if man is None:
            continue
        single.remove(man)
        shared = f"{woman.name.split()[0]} {man.name.split()[1]}"
        if draw.chance(0.34) and shared not in taken:
            taken.remove(woman.name)
            taken.add(shared)
            woman.name = shared
        couples[woman.name], couples[man.name] = man, woman
    return couples


def _office_holders(draw: Draw, persons: list[Entity], couples: dict[str, Entity]) -> list[Entity]:
    """People free to be mayor or chief executive: at most one of each couple.

    Otherwise a couple might have to live in two towns.
    """
    holders = [p for p in persons if p.name not in couples or not p.woman]
    return draw.shuffled(holders)


def _firm_names(draw: Draw, n: int) -> list[tuple[str, dict[str, Any], str]]:
    """Name, industry and product of each firm; surnames recur on purpose."""
    lists = word_lists("world_names")
    surnames = lists["people"]["surnames"][: max(12, n // 3)]
    goods = [
        (industry, product)
        for industry in lists["firms"]["industry"]
        for product in industry["products"]
    ]
    found: list[tuple[str, dict[str, Any], str]] = []
    taken: set[str] = set()
    for industry, product in draw.dealt(goods, n):
        name = ""
        while not name or name in taken:
            style = draw.below(10)
            if style < 5:
                name = f"{draw.pick(surnames)} {draw.pick(industry['nouns'])}"
            elif style < 8:
                first, second = draw.shuffled(surnames)[:2]
                name = f"{first} & {second}"
            else:
                name = f"{draw.pick(lists['firms']['brands'])} {draw.pick(industry['nouns'])}"
        taken.add(name)
        found.append((name, industry, product))
    return found


def _firm(
    draw: Draw,
    firm: tuple[str, dict[str, Any], str],
    towns: list[Entity],
    persons: list[Entity],
    taken: set[str],
) -> Entity:
    name, _, product = firm
    lists = word_lists("world_names")["people"]
    surname = name.split()[0] if name.split()[0] in lists["surnames"] else None
    kin = [p for p in persons if surname is not None and p.name.endswith(f" {surname}")]
    elders = [p for p in kin if int(p.facts["birth_year"]) <= 1980]
    if elders and draw.chance(0.5):
        founder = draw.pick(elders)
        founder_name = founder.name
        year = int(founder.facts["birth_year"]) + draw.between(24, 36)
    else:
        founder_name = ""
        while not founder_name or founder_name in taken:
            given = draw.pick(lists["women"] if draw.chance(0.4) else lists["men"])
            founder_name = f"{given} {surname or draw.pick(lists['surnames'])}"
        year = draw.between(1874, 1964)
    facts = {
        "founder": founder_name,
        "founding_year": str(year),
        "headquarters": draw.pick(towns).name,
        "product": product,
        "chief_executive": "",  # named when the office holders are drawn
        "workforce": str(draw.between(23, 940)),
    }
    return Entity(name, "firm", facts)


def _describe(
    draw: Draw,
    person: Entity,
    towns: list[Entity],
    companies: list[Entity],
    homes: dict[str, str],
    employers: dict[str, Entity],
    mayors: set[str],
    couples: dict[str, Entity],
) -> None:
    lists = word_lists("world_names")
    partner = couples.get(person.name)
    if person.name not in employers and person.name not in mayors and draw.chance(0.75):
        employers[person.name] = draw.pick(companies)
    employer = employers.get(person.name)
    home = homes.get(person.name) or (homes.get(partner.name) if partner else None)
    if home is None:
        near = employer is not None and draw.chance(0.7)
        home = employer.facts["headquarters"] if employer and near else draw.pick(towns).name
    homes[person.name] = home
    birthplace = draw.pick([town.name for town in towns if town.name != home])

    facts = {"birthplace": birthplace, "birth_year": person.facts["birth_year"]}
    facts["profession"] = _profession(draw, employer)
    if employer is not None:
        facts["employer"] = employer.name
    facts["residence"] = home
    if partner is not None:
        facts["spouse"] = partner.name
    if draw.chance(0.8):
        facts["school"] = draw.pick(lists["people_things"]["schools"])
    if draw.chance(0.55):
        facts["award"] = draw.pick(lists["people_things"]["awards"])
    person.facts = facts


def _profession(draw: Draw, employer: Entity | None) -> str:
    lists = word_lists("world_names")
    things = lists["people_things"]
    if employer is None:
        professions = things["free_professions"]
    elif draw.chance(0.25):
        professions = things["office_professions"]
    else:
        professions = next(
            industry["professions"]
            for industry in lists["firms"]["industry"]
            if employer.facts["product"] in industry["products"]
        )
    return str(draw.pick(professions))
