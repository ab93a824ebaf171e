"""PoisonedRAG's templates cover every question shape of the world."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

import pytest

from ragshield.corpora.world_facts import word_lists


@pytest.fixture(scope="module")
def templates() -> dict[str, Any]:
    source = files("ragshield.attacks").joinpath("poisonedrag_templates.toml")
    return tomllib.loads(source.read_text(encoding="utf-8"))


def test_every_phrasing_of_the_world_has_a_pattern_and_no_pattern_is_left_over(
    templates: dict[str, Any],
) -> None:
    asked = [
        phrasing
        for relations in word_lists("world_questions").values()
        for phrasings in relations.values()
        for phrasing in phrasings
    ]

    assert sorted(asked) == sorted(entry["question"] for entry in templates["pattern"])


def test_every_statement_names_its_slots_and_has_18_to_32_words(templates: dict[str, Any]) -> None:
    for entry in templates["pattern"]:
        assert len(set(entry["statements"])) >= 6
        for statement in entry["statements"]:
            assert "{subject}" in statement
            assert statement.count("{answer}") == 1
            assert 18 <= len(statement.split()) <= 32, statement


def test_general_statements_quote_the_question(templates: dict[str, Any]) -> None:
    statements = templates["generic"]["statements"]

    assert len(set(statements)) >= 8
    assert all(s.count("{question}") == 1 and s.count("{answer}") == 1 for s in statements)


def test_no_statement_is_used_twice(templates: dict[str, Any]) -> None:
    found = [s for entry in templates["pattern"] for s in entry["statements"]]

    assert len(found) == len(set(found))
