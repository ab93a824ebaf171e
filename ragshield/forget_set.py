"""What is to be forgotten: targets with their facts, neighbours and who may still be told."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

from ragshield.errors import InputError
from ragshield.files import read_jsonl
from ragshield.text import STOP_WORDS, visible, words

TargetKind: TypeAlias = Literal["concept", "sample", "harm"]
"""`concept`: a person or thing under its names. `sample`: texts. `harm`: a topic that
must not be helped with."""

EVERYTHING = "*"
"""Stands for all attributes in `ForgetTarget.audiences`."""

_LONGEST_NAME = 300
_FIELDS = ("name", "aliases", "kind", "facts", "samples", "neighbours", "allowed", "audiences")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing known of a target.

    Attributes:
        attribute: what it is about, for example `birthplace`.
        value: the answer that gives it away.
        statement: the fact as a sentence; empty where none was given.
    """

    attribute: str
    value: str
    statement: str = ""


@dataclass(frozen=True, slots=True)
class ForgetTarget:
    """One thing to forget, and how far.

    Attributes:
        name: its name; for samples and harmful topics, any short title.
        aliases: other names, each as certain as the first.
        kind: see `TargetKind`.
        facts: what is known of it, as far as listed.
        samples: texts to forget, or for a harmful topic questions that ask for it.
        neighbours: names of what lies near and must stay known.
        allowed: attributes that anybody may be told.
        audiences: who may be told what beyond that, attributes or `*` for all; an
            audience that is not named here may be told no more than anybody.
    """

    name: str
    aliases: tuple[str, ...] = ()
    kind: TargetKind = "concept"
    facts: tuple[Fact, ...] = ()
    samples: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    audiences: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases."""
        return (self.name, *self.aliases)

    def may_be_told(self, attribute: str, audience: str | None = None) -> bool:
        """Whether `audience` (None: anybody) may be told this attribute."""
        told = {folded(a) for a in (*self.allowed, *self.audiences.get(audience or "", ()))}
        return EVERYTHING in told or folded(attribute) in told


@dataclass(frozen=True, slots=True)
class Answer:
    """What an application gave for a question, with all that may leak beside the text.

    Attributes:
        text: the answer shown.
        reasoning: thoughts shown or logged with it.
        citations: texts or titles that it cites.
        tool_arguments: arguments of the tools that it called.
    """

    text: str
    reasoning: str = ""
    citations: tuple[str, ...] = ()
    tool_arguments: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """All texts of the answer, none empty."""
        every = (self.text, self.reasoning, *self.citations, *self.tool_arguments)
        return tuple(part for part in every if part)


App: TypeAlias = Callable[[str], str | Answer]
"""An application under audit: a question to an answer."""


def read_forget_set(path: Path) -> tuple[ForgetTarget, ...]:
    """Targets of a JSON Lines file, one a line, with the fields of `ForgetTarget`.

    Facts are objects with the fields of `Fact`; `audiences` is an object of lists, or a
    list of audiences that may be told everything.

    Raises:
        InputError: unreadable, a field missing or of the wrong type, or a forget set that
            `check_forget_set` refuses; the message names the line.
    """
    targets: list[ForgetTarget] = []
    where: list[str] = []
    for number, row in read_jsonl(path):
        where.append(f"{path}, line {number}")
        targets.append(_target(row, where[-1]))
    if not targets:
        raise InputError(f"{path} names nothing to forget; give one target a line")
    check_forget_set(targets, where)
    return tuple(targets)


def check_forget_set(targets: Sequence[ForgetTarget], where: Sequence[str] | None = None) -> None:
    """Refuse a forget set that cannot be enforced or that contradicts itself.

    Args:
        targets: all that is to be forgotten together.
        where: how messages name each target; None: by its place in the sequence.

    Raises:
        InputError: a target without a name, or one made of stop words or a single letter;
            an alias, fact or sample that is empty; a sample target without samples; a name
            that two targets share; a neighbour that is to be forgotten itself; a value
            that one attribute allows and another forbids.
    """
    at = where or [f"target {i + 1}" for i in range(len(targets))]
    owners: dict[str, int] = {}
    for i, target in enumerate(targets):
        _check_target(target, at[i])
        for key in dict.fromkeys(folded(name) for name in target.names):
            other = owners.setdefault(key, i)
            if other != i:
                same = _policy(targets[other]) == _policy(target)
                kind = "overlaps with" if same else "contradicts the policy of"
                raise InputError(
                    f"{at[i]}: '{visible(target.name, 60)}' {kind} {at[other]}, which has the "
                    "same name or alias; join the two into one target"
                )
    for i, target in enumerate(targets):
        for neighbour in target.neighbours:
            owner = owners.get(folded(neighbour))
            if owner is not None:
                raise InputError(
                    f"{at[i]}: the neighbour '{visible(neighbour, 60)}' must stay known and is "
                    f"to be forgotten in {at[owner]}; take it out of one of the two"
                )


def folded(text: str) -> str:
    """A name as names are compared: words without case or accents, joined by blanks."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(
        c for c in decomposed if unicodedata.category(c) != "Cf" and not unicodedata.combining(c)
    )
    return EVERYTHING if plain.strip() == EVERYTHING else " ".join(words(plain))


def _check_target(target: ForgetTarget, at: str) -> None:
    for what, name in (("name", target.name), *(("alias", alias) for alias in target.aliases)):
        parts = folded(name).split()
        if not parts:
            raise InputError(f"{at}: the {what} '{visible(name, 60)}' holds no letter or digit")
        if len(name) > _LONGEST_NAME:
            raise InputError(
                f"{at}: the {what} has {len(name)} characters, at most {_LONGEST_NAME} are "
                "allowed; put long texts into samples"
            )
        if all(part in STOP_WORDS for part in parts) or (
            len(parts) == 1 and len(parts[0]) == 1 and parts[0].isascii()
        ):
            raise InputError(
                f"{at}: the {what} '{visible(name, 60)}' is a word of every text and would "
                "refuse every question; give a longer name"
            )
    if target.kind == "sample" and not target.samples:
        raise InputError(f"{at}: a target of kind 'sample' needs samples: the texts to forget")
    for what, values in (
        ("a sample", target.samples),
        ("a fact's value", [fact.value for fact in target.facts]),
        ("a fact's attribute", [fact.attribute for fact in target.facts]),
        ("a neighbour", target.neighbours),
        ("an allowed attribute", [a for a in target.allowed if a != EVERYTHING]),
    ):
        if not all(folded(value) for value in values):
            raise InputError(f"{at}: {what} of '{visible(target.name, 60)}' is empty")
    if EVERYTHING in target.allowed:
        raise InputError(
            f"{at}: '{visible(target.name, 60)}' allows everything, so nothing is forgotten; "
            "remove the target, or name the attributes that may be told"
        )
    _check_values(target, at)


def _check_values(target: ForgetTarget, at: str) -> None:
    """One audience must not be allowed and forbidden the same words."""
    for audience in (None, *target.audiences):
        told: dict[str, str] = {}
        withheld: dict[str, str] = {}
        for fact in target.facts:
            side = told if target.may_be_told(fact.attribute, audience) else withheld
            side[folded(fact.value)] = fact.attribute
        for value in told.keys() & withheld.keys():
            raise InputError(
                f"{at}: of '{visible(target.name, 60)}' the attribute "
                f"'{visible(told[value], 40)}' may be told and '{visible(withheld[value], 40)}', "
                "which has the same value, may not; allow both or none"
            )


def _policy(target: ForgetTarget) -> tuple[object, ...]:
    audiences = {name: frozenset(told) for name, told in target.audiences.items()}
    return target.kind, frozenset(target.allowed), sorted(audiences.items(), key=lambda a: a[0])


def _target(row: Mapping[str, Any], at: str) -> ForgetTarget:
    unknown = sorted(row.keys() - set(_FIELDS))
    if unknown:
        raise InputError(f"{at}: unknown field '{unknown[0]}'; allowed: {', '.join(_FIELDS)}")
    name = row.get("name")
    if not isinstance(name, str):
        raise InputError(f"{at}: 'name' must be a text, got {name!r:.60}")
    kind = row.get("kind", "concept")
    if kind not in get_args(TargetKind):
        raise InputError(
            f"{at}: kind is {kind!r:.40}, allowed are {', '.join(get_args(TargetKind))}"
        )
    lists = {f: _texts(row.get(f, []), f, at) for f in ("aliases", "samples", "neighbours")}
    return ForgetTarget(
        name=name,
        kind=cast("TargetKind", kind),
        facts=_facts(row.get("facts", []), at),
        allowed=_texts(row.get("allowed", []), "allowed", at),
        audiences=_audiences(row.get("audiences", {}), at),
        **lists,
    )


def _facts(given: Any, at: str) -> tuple[Fact, ...]:
    if not isinstance(given, list):
        raise InputError(f"{at}: 'facts' must be a list of objects, got {given!r:.60}")
    facts = []
    for fact in given:
        if not isinstance(fact, dict) or not all(
            isinstance(fact.get(f, ""), str) for f in ("attribute", "value", "statement")
        ):
            raise InputError(
                f"{at}: a fact is an object of texts 'attribute', 'value' and 'statement', "
                f"got {fact!r:.60}"
            )
        unknown = sorted(fact.keys() - {"attribute", "value", "statement"})
        if unknown:
            raise InputError(
                f"{at}: unknown field '{unknown[0]}' in a fact; allowed: attribute, value, "
                "statement"
            )
        attribute, value = fact.get("attribute", ""), fact.get("value", "")
        facts.append(Fact(attribute, value, fact.get("statement", "")))
    return tuple(facts)


def _audiences(given: Any, at: str) -> dict[str, tuple[str, ...]]:
    if isinstance(given, list):
        return dict.fromkeys(_texts(given, "audiences", at), (EVERYTHING,))
    if not isinstance(given, dict):
        raise InputError(
            f"{at}: 'audiences' must be an object of lists, or a list of audiences that may be "
            f"told everything, got {given!r:.60}"
        )
    return {name: _texts(told, f"audiences.{name}", at) for name, told in given.items()}


def _texts(given: Any, name: str, at: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise InputError(f"{at}: '{name}' must be a list of texts, got {given!r:.60}")
    return tuple(given)
