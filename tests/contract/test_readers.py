"""What every reader that needs no model must do."""

from __future__ import annotations

import pytest

from ragshield.readers.extractive import ExtractiveReader
from ragshield.records import Passage

READERS = [ExtractiveReader]


@pytest.mark.parametrize("reader", READERS)
def test_no_passages_give_no_answer(reader: type) -> None:
    assert reader().answer("Who founded the mill?", []) == "I don't know"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", ["", "\x00", "the of a", "?" * 99, "x" * 1_000_000])
def test_hostile_passages_give_a_string(reader: type, text: str) -> None:
    assert isinstance(reader().answer("Who founded it?", [Passage("1", text)]), str)
