from __future__ import annotations

import re
from itertools import pairwise

import pytest

from ragshield.errors import UsageError
from ragshield.text import states


@pytest.mark.parametrize("parts", [2, 4, 6])
def test_the_chunks_form_a_chain_that_ends_in_the_answer(craft, parts: int) -> None:
    passages = craft("split-payload", parts=parts)
    names = [set(re.findall(r"[A-Z][a-z]+-\d\d", p.text)) for p in passages]
    assert all(a & b for a, b in pairwise(names))
    assert [states(p.text, "Per Lund") for p in passages] == [False] * (parts - 1) + [True]
    assert [p.meta["part"] for p in passages] == list(range(1, parts + 1))
    assert not any(p.meta["weak"] for p in passages)


def test_every_chunk_can_be_retrieved_and_only_the_first_repeats_the_question(craft) -> None:
    first, last = craft("split-payload")
    assert first.text.startswith("Who founded Brackwater Mills? ")
    assert "founded Brackwater Mills" in last.text
    assert "Who" not in last.text


def test_one_part_is_no_split(craft) -> None:
    with pytest.raises(UsageError, match="parts is 1; it must be at least 2"):
        craft("split-payload", parts=1)
