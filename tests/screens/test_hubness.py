from __future__ import annotations

import numpy as np
import pytest

from ragshield.errors import UsageError
from ragshield.records import Action
from ragshield.screens.hubness import Hubness


class Sentinels:
    """Questions q0, q1, ... lie where a fixed matrix says."""

    name = "sentinels"

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        self.dim = rows.shape[1]

    def encode(self, texts):
        return self.rows[[int(text[1:]) for text in texts]]


def test_a_passage_in_the_middle_of_everything_is_found(topics, as_batch) -> None:
    hub = topics.mean(axis=0, keepdims=True)
    vectors = np.vstack([topics, hub / np.linalg.norm(hub)])
    found = Hubness().screen(as_batch(["text"] * len(vectors), vectors))
    worst = max(found, key=lambda f: f.suspicion)
    assert worst.passage_id == f"p{len(topics)}"
    assert worst.suspicion > 0.7
    assert worst.action is Action.DROP
    assert worst.evidence["n_naming"] > 10 * worst.evidence["usual_naming"]
    assert worst.evidence["expected_in_honest_store"] < 0.01
    assert len(worst.evidence["neighbours"]) == 10
    assert worst.reason.startswith(f"a nearest neighbour of {worst.evidence['n_naming']} passages")
    assert [f.passage_id for f in found if f.suspicion >= 0.5] == [worst.passage_id]


def test_an_honest_store_has_no_hub_worth_a_finding(topics, as_batch) -> None:
    found = Hubness().screen(as_batch(["text"] * len(topics), topics))
    assert [f for f in found if f.suspicion >= 0.5] == []


def test_a_small_store_has_no_usual_count_and_is_not_judged(topics, as_batch) -> None:
    few = np.vstack([topics[:60], topics[:60].mean(axis=0)]).astype(np.float32)
    assert Hubness().screen(as_batch(["text"] * 61, few)) == []


def test_a_passage_near_every_question_is_found_where_passages_do_not_name_it(
    topics, as_batch
) -> None:
    rng = np.random.default_rng(8)
    away = rng.standard_normal(topics.shape[1])
    questions = topics[::4] + 0.9 * away / np.linalg.norm(
        away
    )  # questions lie beside what answers them
    questions = (questions / np.linalg.norm(questions, axis=1, keepdims=True)).astype(np.float32)
    trap = questions.mean(axis=0, keepdims=True)
    trap /= np.linalg.norm(trap)
    batch = as_batch(["text"] * (len(topics) + 1), np.vstack([topics, trap]))
    asked = [f"q{i}" for i in range(len(questions))]
    found = Hubness(questions=asked, encoder=Sentinels(questions)).screen(batch)
    (worst,) = [f for f in found if f.suspicion >= 0.5]
    assert worst.passage_id == f"p{len(topics)}"
    assert worst.evidence["n_questions"] > 100
    assert f"of {len(asked)} questions" in worst.reason


def test_questions_from_an_encoder_of_another_width_are_refused(topics, as_batch) -> None:
    screen = Hubness(questions=["q0"], encoder=Sentinels(np.ones((1, 5), dtype=np.float32)))
    with pytest.raises(UsageError, match="gives 5 dimensions, the store has 48"):
        screen.screen(as_batch(["text"] * len(topics), topics))


def test_questions_without_an_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match="questions need an encoder"):
        Hubness(questions=["who?"])
    with pytest.raises(ValueError, match=r"drop_from is 2; it must be in \(0, 1\]"):
        Hubness(drop_from=2)
