from __future__ import annotations

import pytest

from ragshield.errors import UsageError
from ragshield.records import Question, Target
from ragshield.text import states


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("insufficient", "know"),
        ("confidential", "not"),
        ("safety", "cannot"),
        ("privacy", "private"),
    ],
)
def test_a_blocker_gives_its_reason_and_no_answer(craft, reason: str, word: str) -> None:
    passages = craft("refusal-blocker", reason=reason, n=6)
    assert any(word in p.text for p in passages)
    for passage in passages:
        assert passage.meta["variant"] == reason
        assert not states(passage.text, "Per Lund")
        assert passage.meta["weak"] is False


def test_a_blocker_needs_no_wrong_answer(craft) -> None:
    bare = Target(Question("q", "Who founded Brackwater Mills?", ("Ida Holm",)), "")
    [passage] = craft("refusal-blocker", at=bare)
    assert passage.meta["states_target"] is False
    with pytest.raises(UsageError, match="'q' has an empty question"):
        craft("refusal-blocker", at=Target(Question("q", " "), ""))


def test_an_unknown_reason_is_refused(craft) -> None:
    with pytest.raises(UsageError, match="reason is 'mood'; allowed: insufficient"):
        craft("refusal-blocker", reason="mood")
