from __future__ import annotations

import pytest

from ragshield.errors import UsageError
from ragshield.records import Question, Target
from ragshield.text import states


def test_passages_are_dealt_out_to_the_answers_in_turn(craft) -> None:
    passages = craft("multi-answer", n=6, answers=3)
    stated = [p.meta["stated_answer"] for p in passages]
    assert stated[0] == "Per Lund"
    assert stated[:3] == stated[3:]
    assert len(set(stated)) == 3
    assert all(states(p.text, str(a)) for p, a in zip(passages, stated, strict=True))
    assert [p.meta["states_target"] for p in passages] == [True, False, False] * 2
    assert not any(p.meta["weak"] for p in passages)


def test_no_decoy_is_a_right_answer(craft) -> None:
    question = Question("q", "Where is it?", ("Brackwater", "Ellin Marsh", "Castell"))
    for seed in range(10):
        passages = craft(
            "multi-answer", at=Target(question, "Westerby"), answers=10, n=10, seed=seed
        )
        assert not {p.meta["stated_answer"] for p in passages} & set(question.answers)


def test_years_get_years(craft) -> None:
    passages = craft("multi-answer", at=Target(Question("q", "When?", ("1871",)), "1902"))
    years = [int(str(p.meta["stated_answer"])) for p in passages]
    assert years[0] == 1902
    assert all(1871 < year < 1933 for year in years)


def test_numbers_out_of_range_are_refused(craft) -> None:
    with pytest.raises(UsageError, match="answers is 11; it must be at most 10"):
        craft("multi-answer", answers=11)
    with pytest.raises(UsageError, match="template texts, n is 500; lower n"):
        craft("multi-answer", n=500)
