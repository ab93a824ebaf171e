from __future__ import annotations

from ragshield.records import Question, Target
from ragshield.text import states


def test_a_pair_names_both_answers_and_leaves_neither(craft) -> None:
    first, second = craft("contradiction-blocker", prefix=False)
    for passage in (first, second):
        assert states(passage.text, "Per Lund")
        assert states(passage.text, "Ida Holm")
    assert "false" in first.text
    assert "refuted" in second.text


def test_without_a_right_answer_it_denies_any_other(craft) -> None:
    unknown = Target(Question("q", "Who founded it?"), "Per Lund")
    passages = craft("contradiction-blocker", at=unknown, n=10)
    assert "any other answer" in passages[0].text
    assert not any("{" in p.text for p in passages)
    assert {p.meta["variant"] for p in passages} == {"right answer unknown"}
