"""What the adaptive attacker writes: drafts, and the edits that turn one into another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from ragshield.attacks.crafted import keywords
from ragshield.attacks.edits import answer_edit
from ragshield.attacks.synonyms import with_synonyms
from ragshield.attacks.templates import filled, table
from ragshield.records import Target
from ragshield.text import content_words, sentences, states

_LONGEST_BORROWED = 3


@dataclass(frozen=True, slots=True)
class Draft:
    """One passage in the making.

    Attributes:
        claim: what states the wrong answer, or leads to a passage that does.
        front: what makes it retrieved; may be empty.
        before: honest sentences ahead of the claim.
        after: honest sentences behind it.
        promised: whether it is to state the wrong answer by itself.
        edits: how it came about.
    """

    claim: str
    front: str = ""
    before: str = ""
    after: str = ""
    promised: bool = True
    edits: tuple[str, ...] = ()

    @property
    def generation(self) -> str:
        """The text without its retrieval part."""
        return " ".join(part for part in (self.before, self.claim, self.after) if part)

    @property
    def text(self) -> str:
        """The text as it is planted."""
        return " ".join(part for part in (self.front, self.generation) if part)


@dataclass(frozen=True, slots=True)
class Material:
    """What drafts are made from.

    Attributes:
        target: what is attacked.
        claims: texts that state the wrong answer, from the seed attack and the templates.
        honest: texts of the honest hits, nearest first.
    """

    target: Target
    claims: tuple[str, ...]
    honest: tuple[str, ...]

    @property
    def topic(self) -> str:
        """The question's content words."""
        return keywords(self.target.question.text)

    def kept(self) -> list[str]:
        """Phrases that no rewording may touch."""
        return [self.target.wrong_answer, *content_words(self.target.question.text)]


Edit: TypeAlias = Callable[[Draft, Material, np.random.Generator], Draft]


def edited(draft: Draft, material: Material, rng: np.random.Generator) -> Draft:
    """The draft after one to three random edits; their names are in `edits`."""
    names = list(EDITS)
    for _ in range(int(rng.integers(1, 4))):
        name = names[int(rng.integers(len(names)))]
        changed = EDITS[name](draft, material, rng)
        if changed != draft:
            draft = replace(changed, edits=tuple(dict.fromkeys((*draft.edits, name))))
    return draft


def split(material: Material, rng: np.random.Generator) -> tuple[Draft, Draft]:
    """The claim over two passages: another name for the subject, and the answer under it."""
    data = table("split_payload.toml")
    name = f"{_one(data['aliases'], rng)}-{int(rng.integers(10, 99))}"
    more = {"topic": material.topic, "alias": name, "before": name}
    premise, conclusion = (
        filled(_one(data[role], rng), material.target, more=more)
        for role in ("premise", "conclusion")
    )
    return (
        Draft(premise, promised=False, edits=("split",)),
        Draft(conclusion, edits=("split",)),
    )


def _drop_echo(draft: Draft, material: Material, rng: np.random.Generator) -> Draft:
    wordings = [filled(w, material.target, more={"topic": material.topic}) for w in _wordings()]
    fronts = ["", "", material.topic, *wordings]
    return replace(draft, front=_one(fronts, rng))


def _echo(draft: Draft, material: Material, rng: np.random.Generator) -> Draft:
    return replace(draft, front=material.target.question.text)


def _restate(draft: Draft, material: Material, rng: np.random.Generator) -> Draft:
    return replace(draft, claim=_one(material.claims, rng), promised=True)


def _trim(draft: Draft, material: Material, rng: np.random.Generator) -> Draft:
    """The shortest sentence that still states the answer."""
    stating = [s for s in sentences(draft.claim) if states(s, material.target.wrong_answer)]
    return replace(draft, claim=min(stating, key=len)) if stating else draft


def _mimic(draft: Draft, material: Material, rng: np.random.Generator) -> Draft:
    """Honest sentences around the claim: their length, their words, their style."""
    parts = sentences(_one(material.honest, rng))
    rights = material.target.question.answers
    parts = [s for s in parts if not any(states(s, right) for right in rights)]
    if not parts:
        return draft
    start = int(rng.integers(len(parts)))
    borrowed = " ".join(parts[start : start + int(rng.integers(1, _LONGEST_BORROWED + 1))])
    return replace(draft, before=borrowed) if rng.random() < 0.5 else replace(draft, after=borrowed)


def _bare(draft: Draft, material: Material, rng: np.random.Generator) -> Draft:
    return replace(draft, before="", after="")


def _reword(draft: Draft, material: Material, rng: np.random.Generator) -> Draft:
    return replace(draft, claim=with_synonyms(draft.claim, material.kept(), rng, rate=0.7))


def _copy(draft: Draft, material: Material, rng: np.random.Generator) -> Draft:
    """A true passage with the right answer replaced, where one states it."""
    wrong = material.target.wrong_answer
    for text in (_one(material.honest, rng), *material.honest):
        for right in material.target.question.answers:
            changed = answer_edit(text, right, wrong)
            if changed is not None and states(changed, wrong):
                return Draft(changed, edits=draft.edits)
    return draft


EDITS: Mapping[str, Edit] = {
    "drop echo": _drop_echo,
    "echo": _echo,
    "restate": _restate,
    "trim": _trim,
    "mimic": _mimic,
    "bare": _bare,
    "reword": _reword,
    "copy": _copy,
}
"""Edits by name. What they answer: filters of echoes, of repetition, of length and style."""


def _wordings() -> list[str]:
    return list(table("flooding.toml")["wordings"])


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
