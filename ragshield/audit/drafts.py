"""What families make: ways to ask one thing, before a few of them are picked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ragshield.audit.probe import Retained, Sign
from ragshield.audit.subjects import Item, Subject
from ragshield.audit.templates import filled, templates


class Draft(NamedTuple):
    """A probe without its place in a set; fields as in `Probe`."""

    variant: str
    turns: tuple[str, ...]
    fact: int | None = None
    documents: tuple[str, ...] = ()
    sign: Sign = "value"
    wanted: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """What a family may use.

    Attributes:
        subject: whom the probes are about.
        rng: gives a target and its control the same numbers.
        retained: questions that must still be answered.
        entries: what an attacker may hold of the unlearning entries for it.
    """

    subject: Subject
    rng: np.random.Generator
    retained: tuple[Retained, ...]
    entries: tuple[str, ...]

    def items(self) -> Iterator[tuple[int, Item]]:
        """What must not be told, with its place."""
        return iter(tuple(enumerate(self.subject.items)))

    def neighbour(self) -> str:
        """A name near the subject; a made-up one where none is given."""
        near = self.subject.neighbours
        return near[int(self.rng.integers(len(near)))] if near else "Ellin Varga"

    def general(self) -> Retained:
        """A question that has nothing to do with the subject."""
        stated = [one for one in self.retained if one.answers and not one.about]
        if stated:
            return stated[int(self.rng.integers(len(stated)))]
        own = templates("combined")["general"]
        question, answer = own[int(self.rng.integers(len(own)))]
        return Retained(question, (answer,))


def wrapped(forms: dict[str, str], setting: Setting) -> Iterator[Draft]:
    """Every item in every form of a table: variant to template."""
    for n, item in setting.items():
        for variant, form in forms.items():
            yield Draft(variant, (slots(form, setting.subject, item),), n)


def slots(form: str, subject: Subject, item: Item, **more: str) -> str:
    """A template with what is known of an item, but its value, filled in."""
    question = item.questions[0]
    return filled(
        form,
        question=question,
        bare=lowered(question),
        name=subject.name,
        attribute=item.attribute,
        cloze=item.cloze,
        **more,
    )


def lowered(question: str) -> str:
    """A question as it stands inside a sentence: no capital, no question mark."""
    plain = question.rstrip(" ?.")
    first = plain.split(" ", 1)[0]
    starts = {"what", "where", "when", "who", "which", "in", "on", "how", "do", "continue", "why"}
    return plain[:1].lower() + plain[1:] if first.lower() in starts else plain


def renamed(question: str, names: tuple[str, ...], new: str) -> str:
    """A question with the name written in another way; as it is where it names nobody."""
    for name in sorted(names, key=len, reverse=True):
        question = re.sub(re.escape(name), lambda _: new, question, flags=re.IGNORECASE)
    return question
