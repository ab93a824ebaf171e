"""Texts that key vectors are made from, and the templates that they are made with."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from ragshield.chat import fill
from ragshield.forget_set import Fact, ForgetTarget, folded
from ragshield.unlearning.keys import Row
from ragshield.unlearning.phrases import whole_sentences

_SAMPLE_SENTENCES = 12
_TEXT_WORDS = 5
_MOST_NEIGHBOUR_ROWS = 20_000


@cache
def templates() -> Mapping[str, Any]:
    """Sentences that keys are made from, words that ask for attributes, shipped limits."""
    source = files("ragshield.unlearning").joinpath("building.toml").read_text("utf-8")
    return tomllib.loads(source)


def key_texts(targets: Sequence[ForgetTarget]) -> tuple[list[str], list[int], list[int]]:
    """Texts to embed, what each is, and whose it is."""
    made: list[tuple[str, Row, int]] = []
    near: dict[str, None] = {}
    names = {folded(name) for target in targets for name in target.names}
    for i, target in enumerate(targets):
        made.extend((text, Row.NAME, i) for text in _name_sentences(target))
        for fact in target.facts:
            made.extend((text, Row.FACT, i) for text in _fact_sentences(fact, target))
        for sample in target.samples:
            parts = whole_sentences(sample)
            whole = [sample] if len(parts) > 1 else []
            made.extend((text, Row.SAMPLE, i) for text in [*whole, *parts[:_SAMPLE_SENTENCES]])
        near.update(dict.fromkeys(n for n in target.neighbours if folded(n) not in names))
    asked, named = split_neighbours(near)
    made.extend((text, Row.NEIGHBOUR, -1) for text in asked[::2])
    forms = templates()["neighbour_sentences"]
    per_name = max(1, min(len(forms), _MOST_NEIGHBOUR_ROWS // max(1, len(named))))
    for name in named:
        made.extend((_put(form, name=name), Row.NEIGHBOUR, -1) for form in forms[:per_name])
    made.extend((text, Row.BACKGROUND, -1) for text in templates()["background"])
    unique = {(text, owner): row for text, row, owner in made}
    return (
        [text for text, _ in unique],
        [int(row) for row in unique.values()],
        [owner for _, owner in unique],
    )


def split_neighbours(neighbours: Iterable[str]) -> tuple[list[str], list[str]]:
    """Neighbours that are texts or questions by themselves, and those that are names.

    Of the texts every second is kept as a key; the limits are set on the others.
    """
    asked: list[str] = []
    named: list[str] = []
    for neighbour in neighbours:
        (asked if len(neighbour.split()) >= _TEXT_WORDS else named).append(neighbour)
    return asked, named


def _name_sentences(target: ForgetTarget) -> Iterator[str]:
    if target.kind == "sample":
        return
    forms = templates()["harm_sentences" if target.kind == "harm" else "name_sentences"]
    for name in target.names:
        yield from (_put(form, name=name) for form in forms)


def _fact_sentences(fact: Fact, target: ForgetTarget) -> Iterator[str]:
    values = {"name": target.name, "attribute": fact.attribute, "value": fact.value}
    for form in templates()["fact_sentences"]:
        yield _put(form, **values)
    if fact.statement:
        yield fact.statement
        for name in sorted(target.names, key=len, reverse=True):
            if name in fact.statement:
                yield fact.statement.replace(name, "this person")
                break


def _put(form: str, **values: str) -> str:
    """Fill a form; braces inside a value, which others wrote, stay as they are."""
    return fill(form, values)
