"""What is asked about: targets, controls that no one ever knew, and their facts as questions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ragshield.audit.inventing import like_name, like_value
from ragshield.audit.templates import filled, templates
from ragshield.errors import InputError
from ragshield.forget_set import Fact, ForgetTarget, TargetKind, folded
from ragshield.metrics import is_polar

N_DECOYS = 3
_OPENING_WORDS = 25
BLANK = "____"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that must not be told, and how to ask for it.

    Attributes:
        attribute: in words, `birth year`.
        value: what gives it away; empty for a harmful request, where any help does.
        questions: ways to ask, the plainest first.
        cloze: a sentence with a blank.
        statement: the fact as a sentence.
        decoys: wrong values of the same kind.
    """

    attribute: str
    value: str
    questions: tuple[str, ...]
    cloze: str
    statement: str
    decoys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """A target, or a control made like it.

    Attributes:
        number: of the target, from 0; its control has the same.
        is_control: whether no one ever knew it.
        name: its name.
        aliases: other names.
        kind: as in the forget set.
        items: what must not be told, in the order of its facts.
        allowed: facts that may be told.
        neighbours: names near it.
    """

    number: int
    is_control: bool
    name: str
    aliases: tuple[str, ...]
    kind: TargetKind
    items: tuple[Item, ...]
    allowed: tuple[Fact, ...]
    neighbours: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases."""
        return (self.name, *self.aliases)


def subjects_of(
    targets: Sequence[ForgetTarget],
    controls: Sequence[ForgetTarget] | None,
    seed: int,
    audience: str | None = None,
) -> tuple[tuple[Subject, ...], tuple[Subject | None, ...]]:
    """Targets and, for each, its control.

    A control is invented in the shape of its target: as many words in its name, the same
    attributes, values of the same kind. Harmful topics have none: no question about them is
    one that nobody could answer.

    Args:
        targets: what is to be forgotten.
        controls: as many, that no one ever knew; None invents them.
        seed: of what is invented.
        audience: whom the application takes us for; what it may be told is not attacked.

    Raises:
        InputError: not as many controls, or a target of which nothing can be asked.
    """
    if controls is not None and len(controls) != len(targets):
        raise InputError(
            f"{len(controls)} controls for {len(targets)} targets; give one for each, or none"
        )
    known = _values_by_attribute(targets)
    subjects: list[Subject] = []
    others: list[Subject | None] = []
    for i, target in enumerate(targets):
        rng = np.random.default_rng((seed, i))
        subject = _subject(i, target, known, rng, audience, is_control=False)
        if not subject.items:
            raise InputError(
                f"target {i + 1} has nothing that can be asked for: give it facts (or samples) "
                "that are not allowed to everybody"
            )
        subjects.append(subject)
        if target.kind == "harm":
            others.append(None)
            continue
        rng = np.random.default_rng((seed, i, 1))
        made = controls[i] if controls is not None else invented(target, known, rng)
        others.append(_subject(i, made, known, rng, audience, is_control=True))
    return tuple(subjects), tuple(others)


def invented(
    target: ForgetTarget, known: Mapping[str, Sequence[str]], rng: np.random.Generator
) -> ForgetTarget:
    """A target of the same shape that no one ever knew."""
    names = [like_name(name, rng) for name in target.names]
    facts = []
    for fact in target.facts:
        others = [v for v in known.get(_key(fact.attribute), ()) if v != fact.value]
        # A value that exists is what a guess would hit; one made up nobody would ever say.
        value = str(rng.choice(others)) if len(others) >= N_DECOYS else like_value(fact.value, rng)
        statement = _renamed(fact.statement, target.names, names[0])
        statement = _replaced(statement, fact.value, value)
        facts.append(Fact(_renamed(fact.attribute, target.names, names[0]), value, statement))
    samples = []
    for sample in target.samples:
        text = _renamed(sample, target.names, names[0])
        for old, new in zip(target.facts, facts, strict=True):
            text = _replaced(text, old.value, new.value)
        samples.append(_strange(text, rng))
    return ForgetTarget(
        names[0],
        aliases=tuple(names[1:]),
        kind=target.kind,
        facts=tuple(facts),
        samples=tuple(samples),
        neighbours=target.neighbours,
        allowed=target.allowed,
        audiences=target.audiences,
    )


def natural(attribute: str) -> str:
    """An attribute's name in words: `birth_year` becomes `birth year`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", attribute)
    return " ".join(re.sub(r"[_\-]+", " ", spaced).split())


def questions_about(name: str, attribute: str) -> tuple[str, ...]:
    """Ways to ask for an attribute, the plainest first."""
    if attribute.rstrip().endswith("?"):
        return (attribute.strip(),)
    words = natural(attribute)
    own = templates("questions").get("of", {}).get(words.lower(), [])
    general = templates("questions")["any"]
    return tuple(filled(form, name=name, attribute=words) for form in (*own, *general))


def _subject(
    number: int,
    target: ForgetTarget,
    known: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
    audience: str | None,
    *,
    is_control: bool,
) -> Subject:
    forbidden = [f for f in target.facts if not target.may_be_told(f.attribute, audience)]
    items = [
        _item(target, fact, known, rng)
        for fact in forbidden
        # Yes and no stand in any answer by chance: nothing could be read from them.
        if not is_polar(fact.value)
    ]
    if target.kind == "harm":
        items += [Item("request", "", (text,), text, text) for text in target.samples]
    else:
        items += [_sample_item(text) for text in target.samples if len(text.split()) >= 4]
    return Subject(
        number,
        is_control,
        target.name,
        target.aliases,
        target.kind,
        tuple(items),
        tuple(f for f in target.facts if target.may_be_told(f.attribute, audience)),
        target.neighbours,
    )


def _item(
    target: ForgetTarget,
    fact: Fact,
    known: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
) -> Item:
    words = natural(fact.attribute)
    asked = fact.attribute.rstrip().endswith("?")
    stated = fact.statement or (
        f"{fact.attribute} {fact.value}"
        if asked
        else f"The {words} of {target.name} is {fact.value}."
    )
    blanked = re.sub(re.escape(fact.value), BLANK, stated, flags=re.IGNORECASE)
    if blanked == stated:  # the statement says it in other words
        blanked = (
            f"{fact.attribute} {BLANK}" if asked else f"The {words} of {target.name} is {BLANK}."
        )
    elif not any(folded(name) in folded(blanked) for name in target.names):
        blanked = f"{target.name}: {blanked}"
    others = [v for v in known.get(_key(fact.attribute), ()) if folded(v) != folded(fact.value)]
    picked = [str(v) for v in rng.permutation(others)[:N_DECOYS]] if others else []
    while len(picked) < N_DECOYS:
        made = like_value(fact.value, rng)
        if made not in picked and folded(made) != folded(fact.value):
            picked.append(made)
    attribute = "answer" if asked else words
    return Item(
        attribute,
        fact.value,
        questions_about(target.name, fact.attribute),
        blanked,
        stated,
        tuple(picked),
    )


def _sample_item(text: str) -> Item:
    """A text to forget: its beginning asks for the rest."""
    words = text.split()
    n = min(_OPENING_WORDS, len(words) // 2)
    # Cut before its first name or number it would ask for any text at all, and measure nothing.
    first = next((i for i, word in enumerate(words) if i and _tells_apart(word)), 0)
    if first < len(words) * 3 // 4:
        n = max(n, first + 1)
    opening, rest = " ".join(words[:n]), " ".join(words[n:])
    forms = templates("questions")["sample"]
    asked = tuple(filled(form, opening=opening) for form in forms)
    return Item("text", rest, asked, f"{opening} {BLANK}", text)


def _tells_apart(word: str) -> bool:
    return any(c.isdigit() for c in word) or word.lstrip("\"'([")[:1].isupper()


def _values_by_attribute(targets: Sequence[ForgetTarget]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for target in targets:
        for fact in target.facts:
            found.setdefault(_key(fact.attribute), {})[fact.value] = None
    return {key: list(values) for key, values in found.items()}


def _key(attribute: str) -> str:
    return folded(natural(attribute))


def _renamed(text: str, names: Sequence[str], new: str) -> str:
    for name in sorted(names, key=len, reverse=True):
        text = _replaced(text, name, new)
    return text


def _replaced(text: str, old: str, new: str) -> str:
    return re.sub(re.escape(old), lambda _: new, text, flags=re.IGNORECASE)


def _strange(text: str, rng: np.random.Generator) -> str:
    """A text with its numbers and its longer words replaced by ones that nobody knows."""

    def other(match: re.Match[str]) -> str:
        return like_value(match.group(), rng)

    return re.sub(r"\b[^\W\d_]{5,}\b|\b\d{2,}\b", other, text)
