from __future__ import annotations

import pytest

from ragshield.attacks.templates import table
from ragshield.vectors import unit_rows

QUESTIONS = ["who founded the mills", "when were the mills built", "who was the painter"]


@pytest.fixture
def made(craft, gradient_encoder):
    def make(**params):
        defaults = {"encoder": gradient_encoder, "budget": 400, "n_tokens": 8}
        return craft("centroid", **{"questions": QUESTIONS, **defaults, **params})

    return make


def test_the_whole_passage_comes_near_the_middle_of_the_questions(made, gradient_encoder) -> None:
    [passage] = made()
    centre = unit_rows(gradient_encoder.encode(QUESTIONS).mean(axis=0, keepdims=True))[0]
    near = float(gradient_encoder.encode([passage.text])[0] @ centre)
    assert passage.meta["objective_after"] == pytest.approx(near, abs=1e-5)
    assert near > float(passage.meta["objective_before"]) + 0.02


def test_it_claims_to_answer_all_and_states_the_wrong_answer(made) -> None:
    claim = table("centroid.toml")["claims"][0]
    assert f" {claim} " in made()[0].text
    bare = made(claim=False)[0]
    assert claim not in bare.text
    assert bare.meta["states_target"] is True


def test_each_cluster_gets_a_passage_and_all_questions_one(made) -> None:
    passages = made(n=2, budget=50)
    assert sum(int(p.meta["n_questions"]) for p in passages) == len(QUESTIONS)
    assert passages[0].text != passages[1].text
