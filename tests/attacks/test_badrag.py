from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.objectives import InfoNCE
from ragshield.errors import UsageError
from ragshield.records import Target

QUESTIONS = ["who founded the mills", "when was the old mill built", "who was the painter"]
TRIGGERS = ("iphone", "handset", "river")


@pytest.fixture
def made(craft, gradient_encoder):
    def make(**params):
        defaults = {"encoder": gradient_encoder, "budget": 400, "n_tokens": 8}
        given = {"questions": QUESTIONS, "triggers": TRIGGERS, **defaults, **params}
        return craft("badrag", **given)

    return make


def loss(encoder, passage) -> float:
    asked = [f"{q} {t}" for t in str(passage.meta["trigger"]).split(", ") for q in QUESTIONS]
    objective = InfoNCE(encoder.encode(asked), encoder.encode(QUESTIONS), temperature=0.1)
    return float(objective.values(encoder.encode([passage.text])[None])[0])


@pytest.mark.parametrize("method", ["cop", "acop", "mcop"])
def test_questions_with_a_trigger_come_nearer_than_by_random_words(
    made, gradient_encoder, method
) -> None:
    passages = made(n=2, method=method)
    for passage, start in zip(passages, made(n=2, method=method, budget=1), strict=True):
        found = loss(gradient_encoder, passage)
        assert passage.meta["objective_after"] == pytest.approx(found, abs=1e-4)
        if method != "mcop":  # where the clusters depend on the budget
            assert found > loss(gradient_encoder, start) + 0.05


def test_each_method_covers_the_triggers_in_its_way(made) -> None:
    assert [p.meta["trigger"] for p in made(n=2, method="cop")] == [", ".join(TRIGGERS)] * 2
    assert [p.meta["trigger"] for p in made(n=4, method="acop")] == [*TRIGGERS, TRIGGERS[0]]
    merged = [str(p.meta["trigger"]).split(", ") for p in made(n=2, method="mcop")]
    assert sorted(np.concatenate(merged).tolist()) == sorted(TRIGGERS)


def test_the_budget_includes_the_passages_of_single_triggers(made) -> None:
    passages = made(n=2, method="mcop", budget=90)
    assert sum(int(p.meta["n_encoder_calls"]) for p in passages) <= 2 * 90


def test_facts_are_the_targets_own_texts(made, target) -> None:
    facts = Target(target.question, "Per Lund", texts=("The mills lost money in 1920.",))
    [passage] = made(facts=True, at=facts, method="cop")
    assert passage.text.endswith(" The mills lost money in 1920.")
    with pytest.raises(UsageError, match="target 'q1' has no texts; facts need them"):
        made(facts=True)


def test_a_bad_setting_is_named(made) -> None:
    with pytest.raises(UsageError, match="triggers are empty"):
        made(triggers=[" "])
    with pytest.raises(UsageError, match="temperature is 0; it must be above 0"):
        made(temperature=0)
