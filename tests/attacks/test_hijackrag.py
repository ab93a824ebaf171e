from __future__ import annotations

import pytest

from ragshield.attacks.templates import table
from ragshield.errors import UsageError


def test_a_passage_is_the_question_a_segment_and_an_instruction(craft) -> None:
    data = table("hijackrag.toml")
    orders = [order.replace("{answer}", "Per Lund") for order in data["instruction"]]
    for passage in craft("hijackrag", n=8):
        text = passage.text.removeprefix("Who founded Brackwater Mills? ")
        (segment,) = [s for s in data["hijack"] if text.startswith(s)]
        assert text.removeprefix(segment).strip() in orders


def test_fewer_passages_are_the_first_of_more(craft) -> None:
    assert craft("hijackrag", n=2, seed=4) == craft("hijackrag", n=5, seed=4)[:2]
    assert craft("hijackrag", n=5, seed=4) != craft("hijackrag", n=5, seed=5)


def test_more_than_there_are_segments_is_refused(craft) -> None:
    with pytest.raises(UsageError, match="has 8 texts, n is 9"):
        craft("hijackrag", n=9)
