from __future__ import annotations

from itertools import pairwise

import pytest

from ragshield.errors import UsageError


def test_each_round_drops_the_last_clause_until_only_the_query_is_left(craft) -> None:
    records = craft("minja", n=4)
    assert [r.meta["n_clauses"] for r in records] == [3, 2, 1, 0]
    lines = [r.text.splitlines() for r in records]
    for longer, shorter in pairwise(lines):
        assert longer[: len(shorter) - 1] == shorter[:-1]
        assert longer[-1] == shorter[-1]
    assert lines[-1][0] == "Query: Who founded Brackwater Mills?"
    assert lines[-1][1].startswith("Thought: ")
    assert lines[-1][1].endswith("Result: Per Lund")
    assert len(lines[-1]) == 2


def test_without_the_question_the_query_is_its_keywords(craft) -> None:
    [record] = craft("minja", n=1, prefix=False)
    assert record.text.startswith("Query: founded Brackwater Mills\n")


def test_there_are_as_many_rounds_as_clauses_and_one(craft) -> None:
    assert len(craft("minja", n=8)) == 8
    with pytest.raises(UsageError, match="n is 9; there are 8 rounds"):
        craft("minja", n=9)
