"""A pattern is tried wherever it can match: what is asked for before leaves nothing out."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from ragshield.screens.secrets import Form, _forms, _forms_of, _may_hold
from ragshield.screens.wordings import load, read

# The parser that `re` itself uses; the only way to write texts that a pattern matches.
_parser: Any = pytest.importorskip("re._parser")

WORDINGS = [
    pytest.param(table, wording, id=f"{name}-{wording.name}")
    for name in ("instructions", "refusals", "answers")
    for title, table in load(name).items()
    if title != "in_table"
    for wording in table
]
_N = 150


def _text_for(parsed: Any, rng: random.Random) -> str:
    """A text that the pattern may match: every choice taken by chance, repeats kept short."""
    out: list[str] = []
    for op, value in parsed:
        match str(op):
            case "LITERAL":
                out.append(chr(value))
            case "NOT_LITERAL" | "ANY":
                out.append(" ")
            case "IN":
                out.append(_one_of(value, rng))
            case "BRANCH":
                out.append(_text_for(rng.choice(value[1]), rng))
            case "SUBPATTERN":
                out.append(_text_for(value[3], rng))
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = value
                times = rng.randint(int(least), min(int(most), int(least) + 2))
                out.extend(_text_for(inner, rng) for _ in range(times))
    return "".join(out)


def _one_of(members: Any, rng: random.Random) -> str:
    kinds = [(str(op), value) for op, value in members]
    if kinds[0][0] == "NEGATE":
        return rng.choice(" ax.")
    op, value = rng.choice(kinds)
    if op == "LITERAL":
        return chr(value)
    if op == "RANGE":
        return chr(rng.randint(*value))
    return {"CATEGORY_WORD": "w", "CATEGORY_DIGIT": "7", "CATEGORY_SPACE": " "}.get(str(value), "x")


@pytest.mark.parametrize(("table", "wording"), WORDINGS)
def test_a_text_that_a_pattern_matches_leaves_it_possible(table: Any, wording: Any) -> None:
    rng = random.Random(wording.name)
    parsed = _parser.parse(wording.pattern.pattern, re.IGNORECASE | re.MULTILINE)
    n = 0
    for _ in range(_N):
        text = _text_for(parsed, rng)
        text = rng.choice((text, text.strip().capitalize()))
        reading = read(rng.choice(("{}", "It is so. {} And more.", "x\n{}\ny")).format(text))
        if wording.pattern.search(reading.lines if wording.by_line else reading.flat) is None:
            continue
        n += 1
        assert wording in table.possible(reading), reading.lines
    assert n, "no text was made that the pattern matches"


@pytest.mark.parametrize("form", _forms(), ids=lambda form: form.name)
def test_a_text_that_holds_a_secret_is_searched_for_it(form: Form) -> None:
    rng = random.Random(form.name)
    parsed = _parser.parse(form.pattern.pattern)
    n = 0
    for _ in range(4 * _N):
        text = f"{' '.join(form.near[:1])} is {_text_for(parsed, rng)} ."
        if (match := form.pattern.search(text)) is not None:
            n += 1
            assert max(map(len, match.group().split())) >= form.run, text
            assert form in _forms_of(max(map(len, text.split())), bool(re.search(r"\d", text)))
            assert _may_hold(form, text, text.lower()), text
    assert n, "no text was made that the pattern matches"
