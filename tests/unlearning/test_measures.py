from __future__ import annotations

import numpy as np
import pytest

from ragshield.errors import UsageError
from ragshield.records import Hit, Passage, Retrieval
from ragshield.unlearning.measures import (
    forgot,
    harmful_output_probability,
    hit_rate,
    min_k_probability,
    rouge_l_recall,
    success_rate,
    true_positive_rate,
)
from ragshield.unlearning.published import CONCEPT


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("She was born in Sundsvall.", "Born in Sundsvall", 0.6),
        ("She was born in Sundsvall.", "I don't know.", 0.0),
        ("running dogs", "the dog runs", 0.5),
        ("", "anything", 0.0),
    ],
)
def test_rouge_is_the_recall_of_the_answer_before(before: str, after: str, expected: float) -> None:
    assert rouge_l_recall(before, after) == pytest.approx(expected)


def test_without_a_judge_a_refusal_or_another_answer_counts_as_forgotten() -> None:
    told = [
        forgot("Ada", "Where?", "In Sundsvall, by the sea", after)
        for after in ("I don't know.", "Nobody has said so", "By the sea in Sundsvall")
    ]
    assert told == [True, True, False]


def test_rates_have_their_intervals() -> None:
    found = success_rate([True] * 9 + [False])
    assert (found.value, found.n) == (0.9, 10)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.9 < found.high


def test_a_hit_is_an_entry_among_what_was_retrieved() -> None:
    entry = Hit(Passage("1", "x", meta={CONCEPT: "Ada"}), 0.9)
    other = Hit(Passage("2", "y"), 0.9)
    zeros = np.ones((1, 2), np.float32)
    found = hit_rate([Retrieval("q", (hit,), zeros, zeros[0]) for hit in (entry, other)])
    assert (found.successes, found.n) == (1, 2)


def test_all_that_is_no_refusal_counts_as_help() -> None:
    answers = ["I can't help with that.", "Take two parts of it."]
    assert harmful_output_probability(answers).value == 0.5
    assert harmful_output_probability(answers, lambda answer: False).value == 0.0


def test_min_k_is_the_mean_of_the_least_likely_tokens() -> None:
    assert min_k_probability([-1.0, -5.0, -2.0, -3.0, -0.1, -9.0, -1, -1, -1, -1]) == -7.0
    with pytest.raises(UsageError):
        min_k_probability([])


def test_the_true_positive_rate_holds_the_false_positive_rate() -> None:
    others = [i / 100 for i in range(100)]
    assert true_positive_rate([0.98, 0.99, 1.5, 2.0], others).value == 0.75
    assert true_positive_rate([], others).value is None
