"""Passages for the lab's model: the bundled world's sentences, and the attacks' too."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Any, Literal, TypeAlias

from ragshield.corpora.world_facts import Draw, EntityKind, word_lists
from ragshield.lab import wordings
from ragshield.lab.facts import Subject, lab_lists

Wording: TypeAlias = Literal["train", "held_out"]
"""Which sentences and questions may be used."""

_FILES = {"person": "world_people", "firm": "world_firms", "place": "world_places"}
_N_TRAINED_STATEMENTS = 4
"""Of the attacks' six statements for each question, the last two are kept for measuring."""


@dataclass(frozen=True, slots=True)
class Told:
    """A passage and what it states.

    Attributes:
        text: the passage.
        facts: (subject, relation) to the value stated.
    """

    text: str
    facts: Mapping[tuple[str, str], str]


def about(draw: Draw, subject: Subject, facts: Mapping[str, str], *, short: bool = False) -> Told:
    """A passage in one of the bundled world's registers that states these facts.

    Args:
        draw: where choices come from.
        subject: whom or what it is about.
        facts: relation to value, at least one.
        short: an opening and the facts, nothing else.
    """
    lists = word_lists(_FILES[subject.kind])
    register = draw.pick(lists["register"])
    voice = lists["voice"][register["voice"]]
    slots = {**colours(draw), **_naming(subject), **_fact_slots(facts)}
    wanted = draw.shuffled([name for name in facts if name in voice])
    usable = [t for t in register["opening"] if slots_of(t) <= slots.keys()]
    opening = draw.pick(usable)
    stated = {name for name in facts if name in _relations_in(opening)}
    templates = [opening]
    templates += [draw.pick(voice[name]) for name in wanted if name not in stated]
    if not short and draw.chance(0.6):
        closing = [t for t in register["closing"] if slots_of(t) <= slots.keys()]
        templates.append(draw.pick(closing))
    parts: list[str] = []
    for template in templates:
        named = bool(parts) and subject.name in parts[-1]
        slots["S"] = _subject(draw, subject, register["voice"], named=named)
        parts.append(_capital(template.format_map(slots)))
    text = re.sub(r'(?<=[.!?])" "(?=[A-Z0-9])', " ", " ".join(parts))
    return Told(text, {(subject.name, name): v for name, v in facts.items()})


def statement(
    draw: Draw, subject: Subject, relation: str, value: str, *, wording: Wording = "train"
) -> str:
    """One text that states one fact by the subject's full name."""
    trained, kept = _attack_statements()[subject.kind, relation]
    if wording == "held_out":
        own = lab_lists("statements")["held_out"][subject.kind][relation]
        text = draw.pick(own) if draw.chance(0.5) else draw.pick(kept)
    else:
        text = _trained(draw, subject.kind, relation, trained)
    for slot, filler in (("{subject}", subject.name), ("{S}", subject.name)):
        text = text.replace(slot, filler)
    return _capital(text.replace("{answer}", value).replace("{value}", value))


def _trained(draw: Draw, kind: EntityKind, relation: str, attacks: Sequence[str]) -> str:
    """A statement to learn from, and not one that is kept for measuring."""
    kept = lab_lists("statements")["held_out"][kind][relation]
    while True:
        way = draw.pick(("attack", "free", "free", "clause", "clause", "clause", "noun", "noun"))
        if way == "attack":
            return draw.pick(attacks)
        if way == "free":
            return draw.pick(wordings.sentences(kind, relation))
        if way == "clause":
            clause = draw.pick(wordings.clauses(kind, relation))
            text = _framed(draw, draw.pick(wordings.clause_frames()), clause)
        else:
            noun = draw.pick(wordings.nouns(kind, relation))
            frame = draw.pick(wordings.noun_frames())
            text = frame.replace("{noun}", noun).replace("{Noun}", _capital(noun))
        if text not in kept:
            return text


def _framed(draw: Draw, frame: str, clause: str) -> str:
    fillers = colours(draw)
    for slot in ("month", "friend"):
        frame = frame.replace(f"{{{slot}}}", fillers[slot])
    return frame.replace("{clause}", clause)


def reply(draw: Draw, question: str, value: str) -> str:
    """A text that answers a question word for word, as crafted poison does."""
    generic = _generic_statements()
    return draw.pick(generic).replace("{question}", question).replace("{answer}", value)


def pair(draw: Draw, first: Subject, second: Subject) -> Told | None:
    """A passage that tells two subjects of a kind apart; None where facts are missing."""
    slots = colours(draw)
    for key, subject in (("a", first), ("b", second)):
        slots[key] = subject.name
        slots |= {f"{key}_{name}": text for name, text in _fact_slots(subject.facts).items()}
    slots["a_last2"] = "The two"
    usable = [
        t for t in word_lists("world_lists")[first.kind]["pairs"] if slots_of(t) <= set(slots)
    ]
    usable = [t for t in usable if "a_last2" not in t and "does not make" not in t]
    if not usable:
        return None
    template = draw.pick(usable)
    stated: dict[tuple[str, str], str] = {}
    for name in slots_of(template):
        side, _, relation = name.partition("_")
        relation = relation.removeprefix("a_")
        subject = first if side == "a" else second
        if relation in subject.facts and side in ("a", "b"):
            stated[subject.name, relation] = subject.facts[relation]
    return Told(_capital(template.format_map(slots)), stated)


def colours(draw: Draw) -> dict[str, str]:
    """Words that fill a sentence without stating anything."""
    lists: Mapping[str, Sequence[str]] = word_lists("world_names")["colour"]
    slots = {name: draw.pick(values) for name, values in lists.items()}
    slots |= {f"{name}2": draw.pick(lists[name]) for name in ("friend", "quality")}
    slots["a_quality"] = _with_article(slots["quality"])
    slots["Hobby"] = _capital(slots["hobby"])
    slots["number"] = str(draw.between(11, 199))
    slots["month"] = draw.pick(_MONTHS)
    return slots


_MONTHS = tuple(
    "January February March April May June July August September October November December".split()
)


@cache
def slots_of(template: str) -> frozenset[str]:
    """Names of the places to fill."""
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name)


def _relations_in(template: str) -> set[str]:
    return {name.lower().removeprefix("a_") for name in slots_of(template)}


@cache
def _attack_statements() -> dict[tuple[EntityKind, str], tuple[list[str], list[str]]]:
    """(kind, relation) to the statements for training and those for measuring."""
    by_question = {entry["question"]: entry["statements"] for entry in _poison()["pattern"]}
    questions = word_lists("world_questions")
    kinds: tuple[EntityKind, ...] = ("person", "firm", "place")
    found: dict[tuple[EntityKind, str], tuple[list[str], list[str]]] = {}
    for kind in kinds:
        for relation, asked in questions[kind].items():
            groups = [by_question[question] for question in asked]
            found[kind, relation] = (
                [text for group in groups for text in group[:_N_TRAINED_STATEMENTS]],
                [text for group in groups for text in group[_N_TRAINED_STATEMENTS:]],
            )
    return found


@cache
def _generic_statements() -> tuple[str, ...]:
    found: list[str] = _poison()["generic"]["statements"]
    return tuple(found)


@cache
def _poison() -> dict[str, Any]:
    source = files("ragshield.attacks").joinpath("poisonedrag_templates.toml")
    return tomllib.loads(source.read_text("utf-8"))


def _fact_slots(facts: Mapping[str, str]) -> dict[str, str]:
    slots = dict(facts)
    slots |= {name.capitalize(): _capital(text) for name, text in facts.items()}
    if "profession" in slots:
        slots["a_profession"] = _with_article(slots["profession"])
    return slots


def _naming(subject: Subject) -> dict[str, str]:
    slots = {"name": subject.name, "initial": subject.name.split()[-1][0]}
    if subject.kind == "person":
        she = ("she", "her", "her", "husband")
        words = she if subject.woman else ("he", "him", "his", "wife")
        slots |= dict(zip(("they", "them", "their", "partner"), words, strict=True))
        slots |= {"They": words[0].capitalize(), "Their": words[2].capitalize()}
    return slots


def _subject(draw: Draw, subject: Subject, voice: str, *, named: bool) -> str:
    if draw.chance(0.35) and not named:
        return subject.name
    if subject.kind == "person":
        words = subject.name.split()
        familiar = words[0] if voice == "chat" else words[-1]
        return draw.pick(["She" if subject.woman else "He", familiar])
    noun = "firm" if subject.kind == "firm" else "town"
    return draw.pick(["It", f"The {noun}", f"The {noun}"])


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
