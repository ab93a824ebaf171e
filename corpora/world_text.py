"""Passages of the generated world: facts put into sentences of several registers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from string import Formatter
from typing import Any, NamedTuple

from ragshield.corpora.world_facts import Draw, Entity, word_lists
from ragshield.records import Passage

MIN_WORDS, MAX_WORDS = 20, 70
WANTED_STATEMENTS = 3
MAX_OVERLAP = 0.25
"""No two passages may share more of their word 5-grams than this (Jaccard index)."""

_FILES = {"person": "world_people", "firm": "world_firms", "place": "world_places"}
_MANY_TRIES = 60


@dataclass(frozen=True, slots=True)
class Draft:
    """A passage before it has an id."""

    entity: Entity
    text: str
    register: str
    source: str
    date: str


class Composed(NamedTuple):
    """A text, the relations it states on purpose, and the templates it was made from."""

    text: str
    relations: tuple[str, ...]
    templates: list[str]


class Writer:
    """Writes passages so that wordings are used evenly and no two texts are alike."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._used: Counter[str] = Counter()
        self._spent: set[str] = set()
        self._overlaps = Overlaps()
        self._colour: Mapping[str, list[str]] = word_lists("world_names")["colour"]

    def about(self, entity: Entity, n: int) -> Iterator[Draft]:
        """N passages about one entity that together state each fact several times."""
        registers = self._draw.dealt(word_lists(_FILES[entity.kind])["register"], n)
        stated: Counter[str] = Counter()
        self._spent = set()
        for i, register in enumerate(registers):
            missing = sum(max(0, WANTED_STATEMENTS - stated[name]) for name in entity.facts)
            per_passage = min(4, -(-missing // (n - i)))
            text, relations, templates = self._distinct(
                partial(self._compose, entity, register, stated, per_passage)
            )
            stated.update(relations)
            self._spent.update(templates)
            yield self._draft(entity, text, register["name"], register["sources"])

    def pair(self, first: Entity, second: Entity) -> Draft:
        """One passage that tells two similar entities apart."""
        lists = word_lists("world_lists")[first.kind]

        def compose() -> Composed:
            slots = self._colours()
            for key, entity in (("a", first), ("b", second)):
                slots[key] = entity.name
                slots |= {f"{key}_{name}": v for name, v in _facts(entity).items()}
            slots["a_last2"] = f"The two {first.name.split()[-1]}s"
            template = self._fresh(lists["pairs"], slots)
            return Composed(self._fill(template, slots), (), [template])

        text = self._distinct(compose).text
        return self._draft(first, text, "comparison", lists["sources"])

    def residents(self, town: Entity, people: Sequence[Entity]) -> Draft:
        """One passage that lists people of a town with their professions."""
        lists = word_lists("world_lists")["residents"]
        named = [f"{p.name}, {_facts(p)['a_profession']}" for p in people]
        listed = f"{'; '.join(named[:-1])}; and {named[-1]}"

        def compose() -> Composed:
            slots = {**self._colours(), "town": town.name, "people": listed}
            template = self._fresh(lists["texts"], slots)
            return Composed(self._fill(template, slots), (), [template])

        text = self._distinct(compose).text
        return self._draft(town, text, "list", lists["sources"])

    def _compose(
        self,
        entity: Entity,
        register: Mapping[str, Any],
        stated: Counter[str],
        per_passage: int,
    ) -> Composed:
        draw = self._draw
        voice = word_lists(_FILES[entity.kind])["voice"][register["voice"]]
        slots = {**self._colours(), **_facts(entity), **_naming(entity)}
        opening = self._fresh(register["opening"], slots)
        relations = [name for name in entity.facts if name in _stated_by(opening)]
        wanted = sorted(
            (name for name in entity.facts if name not in relations),
            key=lambda name: (min(stated[name], WANTED_STATEMENTS), draw.below(1 << 30)),
        )
        useful = sum(stated[name] < WANTED_STATEMENTS for name in relations)
        chosen = wanted[: max(draw.between(2, 3), per_passage - useful)]
        templates = [opening, *(self._fresh(voice[name], slots) for name in draw.shuffled(chosen))]
        if draw.chance(0.7):
            templates.append(self._fresh(register["closing"], slots))
        parts: list[str] = []
        for template in templates:
            named = bool(parts) and entity.name in parts[-1]
            slots["S"] = _subject(draw, entity, register["voice"], named=named)
            parts.append(self._fill(template, slots))
        return Composed(_join(parts), (*relations, *chosen), templates)

    def _distinct(self, compose: Callable[[], Composed]) -> Composed:
        """Compose until the text has a fitting length and resembles no earlier one."""
        best: Composed | None = None
        lowest = 2.0
        for _ in range(_MANY_TRIES):
            composed = compose()
            if not MIN_WORDS <= len(composed.text.split()) <= MAX_WORDS:
                continue
            overlap = self._overlaps.highest(composed.text)
            if overlap < lowest:
                best, lowest = composed, overlap
            if overlap <= MAX_OVERLAP:
                break
        if best is None:  # only templates edited beyond all proportion lead here
            raise ValueError(f"no wording of {MIN_WORDS} to {MAX_WORDS} words found")
        self._overlaps.add(best.text)
        return best

    def _draft(self, entity: Entity, text: str, register: str, sources: Sequence[str]) -> Draft:
        draw = self._draw
        date = f"{draw.between(2019, 2024)}-{draw.between(1, 12):02}-{draw.between(1, 28):02}"
        return Draft(entity, text, register, draw.pick(sources), date)

    def _fresh(self, templates: Sequence[str], slots: Mapping[str, str]) -> str:
        """One of the least used templates that can be filled and are new for the entity."""
        usable = [t for t in templates if _slots_of(t) <= slots.keys() | {"S"}]
        usable = [t for t in usable if t not in self._spent] or usable
        least = min(self._used[t] for t in usable)
        template = self._draw.pick([t for t in usable if self._used[t] <= least + 1])
        self._used[template] += 1  # also when the text is then rejected, so that retries differ
        return template

    def _fill(self, template: str, slots: Mapping[str, str]) -> str:
        text = template.format_map(slots)
        return text[0].upper() + text[1:]

    def _colours(self) -> dict[str, str]:
        draw = self._draw
        slots = {name: draw.pick(values) for name, values in self._colour.items()}
        for name in ("friend", "quality"):
            others = [value for value in self._colour[name] if value != slots[name]]
            slots[f"{name}2"] = draw.pick(others)
        slots["a_quality"] = _with_article(slots["quality"])
        slots["Hobby"] = slots["hobby"].capitalize()
        slots["number"] = str(draw.between(11, 199))
        return slots


class Overlaps:
    """Word 5-grams of all texts so far, to find near-duplicates at once."""

    def __init__(self) -> None:
        self._texts_with: dict[tuple[str, ...], list[int]] = {}
        self._sizes: list[int] = []

    def highest(self, text: str) -> float:
        """Jaccard index of 5-grams with the most similar text added before, [0, 1]."""
        grams = _five_grams(text)
        shared: Counter[int] = Counter()
        for gram in grams:
            shared.update(self._texts_with.get(gram, ()))
        return max((n / (len(grams) + self._sizes[i] - n) for i, n in shared.items()), default=0.0)

    def add(self, text: str) -> None:
        """Remember a text."""
        grams = _five_grams(text)
        for gram in grams:
            self._texts_with.setdefault(gram, []).append(len(self._sizes))
        self._sizes.append(len(grams))


def as_passages(drafts: Sequence[Draft]) -> tuple[Passage, ...]:
    """Number the drafts."""
    return tuple(
        Passage(
            id=f"world/p{number:05}",
            text=draft.text,
            source=draft.source,
            meta={
                "kind": draft.entity.kind,
                "entity": draft.entity.name,
                "register": draft.register,
                "date": draft.date,
            },
        )
        for number, draft in enumerate(drafts)
    )


def _five_grams(text: str) -> set[tuple[str, ...]]:
    found = re.findall(r"\w+", text.lower())
    return {tuple(found[i : i + 5]) for i in range(len(found) - 4)}


_SLOTS: dict[str, frozenset[str]] = {}


def _slots_of(template: str) -> frozenset[str]:
    if template not in _SLOTS:
        _SLOTS[template] = frozenset(
            name for _, name, _, _ in Formatter().parse(template) if name is not None
        )
    return _SLOTS[template]


def _stated_by(template: str) -> set[str]:
    return {name.lower().removeprefix("a_") for name in _slots_of(template)}


def _facts(entity: Entity) -> dict[str, str]:
    """Slots for the facts: as they are, and capitalised for the start of a sentence."""
    slots = dict(entity.facts)
    slots |= {name.capitalize(): v[0].upper() + v[1:] for name, v in entity.facts.items()}
    if "profession" in slots:
        slots["a_profession"] = _with_article(slots["profession"])
    return slots


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def _naming(entity: Entity) -> dict[str, str]:
    last = entity.name.split()[-1]
    slots = {"name": entity.name, "initial": last[0]}
    if entity.kind == "person":
        words = ("she", "her", "her", "husband") if entity.woman else ("he", "him", "his", "wife")
        slots |= dict(zip(("they", "them", "their", "partner"), words, strict=True))
        slots |= {"They": words[0].capitalize(), "Their": words[2].capitalize()}
    return slots


def _join(parts: Sequence[str]) -> str:
    """One text; neighbouring quotations of one speaker become a single quotation."""
    text = " ".join(parts)
    return re.sub(r'(?<=[.!?])" "(?=[A-Z0-9])', " ", text)


def _subject(draw: Draw, entity: Entity, voice: str, *, named: bool) -> str:
    """How a sentence refers to the entity when it comes first in it.

    Args:
        draw: where choices come from.
        entity: whom or what the sentence is about.
        voice: letters use first names, the rest surnames.
        named: whether the sentence before has the full name already.
    """
    if draw.chance(0.35) and not named:
        return entity.name
    if entity.kind == "person":
        first, last = entity.name.split()
        namesakes = entity.facts.get("spouse", "").endswith(f" {last}")
        familiar = first if voice == "chat" or namesakes else last
        return draw.pick(["She" if entity.woman else "He", familiar])
    noun = "firm" if entity.kind == "firm" else "town"
    return draw.pick(["It", f"The {noun}", f"The {noun}"])
