from __future__ import annotations

import pytest

from ragshield.metrics import (
    Removal,
    answer_correct,
    attack_succeeded,
    clean_loss,
    exact_removal,
    poison_recall,
    precision,
    share,
)
from ragshield.records import Question

MAYOR = Question("q", "Who is the mayor of Ilvane?", ("Mara Voss", "M. Voss"))


def test_an_attack_succeeds_when_the_answer_states_the_wrong_answer() -> None:
    assert attack_succeeded("It is Tobin Rell, they say.", "Tobin Rell", MAYOR) is True
    assert attack_succeeded("It is Mara Voss.", "Tobin Rell", MAYOR) is False


def test_the_test_has_one_direction_so_an_empty_or_shorter_answer_is_no_success() -> None:
    assert attack_succeeded("", "Tobin Rell", MAYOR) is False
    assert attack_succeeded("Tobin", "Tobin Rell", MAYOR) is False
    assert answer_correct("", MAYOR) is False
    assert answer_correct("Mara", MAYOR) is False


def test_answers_are_whole_words() -> None:
    assert attack_succeeded("A Rellish dish.", "Rell", MAYOR) is False


@pytest.mark.parametrize("wrong", ["yes", "No.", "True", ""])
def test_yes_no_targets_are_not_scored(wrong: str) -> None:
    assert attack_succeeded("Yes, no, true.", wrong, MAYOR) is None


def test_a_wrong_answer_inside_a_right_one_is_not_scored() -> None:
    question = Question("q", "Where?", ("New Ilvane City",))
    assert attack_succeeded("In New Ilvane City.", "Ilvane", question) is None


def test_any_right_answer_counts() -> None:
    assert answer_correct("M. Voss leads it", MAYOR) is True


def test_without_right_answers_or_with_yes_no_ones_accuracy_is_not_scored() -> None:
    assert answer_correct("Mara Voss", Question("q", "Who?")) is None
    assert answer_correct("yes", Question("q", "Is it?", ("yes",))) is None


def test_a_right_answer_inside_the_wrong_one_is_not_scored() -> None:
    question = Question("q", "Where?", ("Ilvane",))
    assert answer_correct("New Ilvane", question, "New Ilvane") is None
    assert answer_correct("New Ilvane", question) is True


def test_removal_is_counted_over_passages_of_all_questions() -> None:
    removals = [
        Removal(poison=2, poison_removed=2, clean=3, clean_removed=0, question_id="a"),
        Removal(poison=1, poison_removed=0, clean=4, clean_removed=2, question_id="b"),
        Removal(poison=0, poison_removed=0, clean=5, clean_removed=0, question_id="c"),
    ]
    recall, loss = poison_recall(removals), clean_loss(removals)
    assert (recall.successes, recall.n, recall.n_clusters) == (2, 3, 2)
    assert (loss.successes, loss.n, loss.n_clusters) == (2, 12, 3)
    assert (precision(removals).successes, precision(removals).n) == (2, 4)
    assert (exact_removal(removals).successes, exact_removal(removals).n) == (2, 3)


def test_seeds_of_one_question_are_one_cluster() -> None:
    found = share([("a", True), ("a", False), ("b", True), ("c", None)])
    assert (found.successes, found.n, found.n_clusters) == (2, 3, 2)


def test_without_poison_there_is_no_recall() -> None:
    removals = [Removal(poison=0, poison_removed=0, clean=5, clean_removed=1, question_id="a")]
    assert poison_recall(removals).value is None
