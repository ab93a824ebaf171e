"""All the ways of asking, stating and requiring that training draws from.

Those of `wordings_*.toml` were written without sight of the ones kept for measuring, and what
came out too close to one of these was left out.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ragshield.corpora.world_facts import EntityKind, word_lists
from ragshield.lab.facts import lab_lists


@cache
def questions(kind: EntityKind, relation: str) -> tuple[str, ...]:
    """Questions about one relation of a {subject}."""
    lists = lab_lists("questions")
    first = (*lists[kind][relation]["train"], *lists["more"][kind][relation])
    bundled = word_lists("world_questions")[kind][relation]
    return (*first, *bundled, *_more(kind, relation)["questions"])


@cache
def nouns(kind: EntityKind, relation: str) -> tuple[str, ...]:
    """What one relation is called: "place of birth"."""
    first = lab_lists("questions")["nouns"][kind][relation]
    return (*first, *_more(kind, relation)["nouns"])


@cache
def question_patterns() -> tuple[str, ...]:
    """Questions with a {subject} and a {noun}."""
    return (*lab_lists("questions")["patterns"]["train"], *_frames()["question_patterns"])


@cache
def question_frames() -> tuple[str, ...]:
    """Words before and after a whole {question}, first of all none."""
    first, more = lab_lists("questions")["frames"]["train"], _frames()["question_frames"]
    return (*first, *["{question}"] * len(more), *more)


@cache
def clauses(kind: EntityKind, relation: str) -> tuple[str, ...]:
    """Clauses that state one {value} of {S}."""
    first = lab_lists("statements")["train"][kind][relation]
    return (*first, *_more(kind, relation)["clauses"])


@cache
def clause_frames() -> tuple[str, ...]:
    """Words before and after a {clause}."""
    return (*lab_lists("statements")["frames"]["clause"], *_frames()["clause_frames"])


@cache
def noun_frames() -> tuple[str, ...]:
    """Statements with a {noun} or {Noun}, {S} and {value}."""
    return (*lab_lists("statements")["frames"]["noun"], *_frames()["noun_frames"])


@cache
def sentences(kind: EntityKind, relation: str) -> tuple[str, ...]:
    """Free sentences that state one {answer} of a {subject}."""
    return tuple(_more(kind, relation)["sentences"])


@cache
def requirements() -> tuple[str, ...]:
    """Confidentiality requirements about a {subject}."""
    return (*lab_lists("notices")["train"], *_frames()["notices"])


@cache
def harmless() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sentences that sound a little like a requirement: of a {subject}, and of nobody."""
    found = (*lab_lists("notices")["harmless"], *_frames()["harmless"])
    of_subject = tuple(text for text in found if "{subject}" in text)
    return of_subject, tuple(text for text in found if "{subject}" not in text)


@cache
def leads() -> tuple[str, ...]:
    """Sentences that name a {subject} and state nothing."""
    return (*lab_lists("notices")["leads"], *_frames()["leads"])


def _more(kind: EntityKind, relation: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = lab_lists(f"wordings_{kind}")[relation]
    return found


def _frames() -> dict[str, Any]:
    return lab_lists("wordings_frames")
