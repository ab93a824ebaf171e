"""One attempt to get something back: what is asked, and what would give it away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Family: TypeAlias = Literal[
    "plain",
    "surface",
    "masked",
    "format",
    "persuasion",
    "re-injection",
    "language",
    "reasoning",
    "combined",
    "extraction",
    "adaptive",
    "crowding",
    "multi-turn",
]
"""The kinds of recovery attack."""

FAMILIES: tuple[Family, ...] = get_args(Family)

Role: TypeAlias = Literal["target", "control", "neighbour", "retained", "allowed"]
"""Whom a probe is about. `target`: what is to be forgotten. `control`: one like it that no
one ever knew, asked in the same words. `neighbour`: what lies near and must stay known.
`retained`: other questions that must still be answered. `allowed`: attributes of a target
that anybody may be told."""

Sign: TypeAlias = Literal["value", "name", "choice", "yes", "helps"]
"""What gives the target away. `value`: one of its values is seen in an answer. `name`: its
name is. `choice`: the right letter is chosen every time. `yes`: yes to what is true and no
to what is not. `helps`: anything but a refusal."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One question, or several in a row, to one application.

    Attributes:
        id: the same for the same probe of the same set.
        family: kind of attack; None for questions that must still be answered.
        variant: which of the family's ways of asking.
        role: see `Role`.
        subject: number of the target that it belongs to, from 0; -1 where it belongs to none.
        turns: what is asked, in order; every answer is looked at.
        documents: texts that come with the first turn.
        sign: see `Sign`.
        fact: place of the fact asked for among the subject's forbidden ones.
        wanted: by `sign`, for every turn the letter, or yes or no ("" for a turn that asks
            for none); for roles that must be answered, any right answer.
        keep: right answers of the half that must be answered (combined questions).
    """

    id: str
    family: Family | None
    variant: str
    role: Role
    subject: int
    turns: tuple[str, ...]
    documents: tuple[str, ...] = ()
    sign: Sign = "value"
    fact: int | None = None
    wanted: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()

    @property
    def carries(self) -> bool:
        """Whether the family brings what is to be forgotten along, to see it repeated."""
        return self.family == "re-injection"


@dataclass(frozen=True, slots=True)
class Retained:
    """A question that must still be answered.

    Attributes:
        question: as it is asked.
        answers: right answers, any of which counts; empty: only refusals can be told.
        about: the neighbour that it is about; empty where it is about something else.
    """

    question: str
    answers: tuple[str, ...] = ()
    about: str = ""
