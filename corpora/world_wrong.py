"""Plausible wrong answers: of the right type, and stated nowhere about the entity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ragshield.corpora.world_facts import Draw, Entity
from ragshield.errors import UsageError
from ragshield.records import Passage
from ragshield.text import normal_form, states

_YEARS = frozenset({"birth_year", "founding_year", "first_recorded"})
_TOWNS = frozenset({"birthplace", "residence", "headquarters"})
_PEOPLE = frozenset({"spouse", "founder", "chief_executive", "mayor"})
_NUMBERS = frozenset({"population", "workforce"})


class WrongAnswers:
    """Picks wrong answers for the facts of one world.

    Args:
        entities: all of them.
        passages: all of them; a wrong answer is stated in none that names the entity.
    """

    def __init__(self, entities: Sequence[Entity], passages: Sequence[Passage]) -> None:
        self._names = {
            kind: [entity.name for entity in entities if entity.kind == kind]
            for kind in ("person", "firm", "place")
        }
        self._women = {entity.name for entity in entities if entity.woman}
        self._values: dict[str, list[str]] = {}
        for entity in entities:
            for relation, value in entity.facts.items():
                self._values.setdefault(relation, []).append(value)
        self._values = {name: sorted(set(found)) for name, found in self._values.items()}
        self._texts: list[str] = [f" {normal_form(passage.text)} " for passage in passages]
        self._texts_with: dict[str, list[int]] = {}
        for i, text in enumerate(self._texts):
            for word in set(text.split()):
                self._texts_with.setdefault(word, []).append(i)

    def pick(self, draw: Draw, entity: Entity, relation: str) -> str:
        """A wrong value, similar to the right one where the world offers one.

        Raises:
            UsageError: every value of this type is stated somewhere about the entity,
                which happens in very small worlds only.
        """
        right = entity.facts[relation]
        name = normal_form(entity.name)
        near = [
            self._texts[i]
            for i in self._texts_with.get(name.split()[0], ())
            if f" {name} " in self._texts[i]
        ]
        for wrong in self._candidates(draw, entity, relation):
            stated = any(f" {normal_form(wrong)} " in text for text in near)
            if not (stated or states(right, wrong) or states(wrong, right)):
                return wrong
        raise UsageError(
            f"this world is too small for a wrong {relation} of {entity.name}; "
            "ask for more people, firms and places"
        )

    def _candidates(self, draw: Draw, entity: Entity, relation: str) -> Iterator[str]:
        right = entity.facts[relation]
        if relation in _YEARS:
            gaps = draw.shuffled([gap for gap in range(-17, 18) if abs(gap) > 1])
            yield from (str(int(right) + gap) for gap in gaps)
        elif relation in _NUMBERS:
            value = int(right.replace(",", ""))
            for _ in range(200):
                share = draw.between(55, 165)
                other = max(11, value * share // 100 + draw.between(-9, 9))
                yield f"{other:,}" if relation == "population" else str(other)
        else:
            if relation in _TOWNS:
                names = self._names["place"]
            elif relation in _PEOPLE:
                names = [n for n in self._names["person"] if n != entity.name]
                if relation == "spouse":
                    women = right in self._women
                    names = [n for n in names if (n in self._women) == women]
            elif relation == "employer":
                names = self._names["firm"]
            else:
                names = self._values[relation]
            mixed = draw.shuffled(names)
            if draw.chance(0.4):  # a namesake of the right answer, the hardest kind
                mixed.sort(key=lambda name: _unlike(name, right))
            yield from mixed


def _unlike(name: str, right: str) -> bool:
    """Whether two names share neither their last word nor their first four letters."""
    return name.split()[-1] != right.split()[-1] and name[:4] != right[:4]
