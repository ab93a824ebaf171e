from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.objectives import Apart
from ragshield.vectors import unit_rows

QUESTIONS = ["who founded the mills", "when was the old mill built", "who was the painter"]


@pytest.fixture
def made(craft, gradient_encoder):
    def make(**params):
        defaults = {"encoder": gradient_encoder, "budget": 600, "n_tokens": 3, "n_centres": 1}
        return craft("agentpoison", **{"questions": QUESTIONS, **defaults, **params})

    return make


def test_questions_with_the_trigger_come_nearer_to_the_records(made, gradient_encoder) -> None:
    passages = made(n=2)
    trigger = str(passages[0].meta["trigger"])
    records = gradient_encoder.encode([p.text for p in passages])
    asked = ["where is the river", "which town is great"]  # not among those it was made with
    plain = gradient_encoder.encode(asked) @ records.T
    triggered = gradient_encoder.encode([f"{q} {trigger}" for q in asked]) @ records.T
    assert triggered.max(axis=1).mean() > plain.max(axis=1).mean()


def test_the_trigger_is_further_from_the_centres_than_at_the_start(made, gradient_encoder) -> None:
    [passage] = made(n_hosts=3)
    centre = unit_rows(gradient_encoder.encode(QUESTIONS).mean(axis=0, keepdims=True))
    rows = gradient_encoder.encode([f"{q} {passage.meta['trigger']}" for q in QUESTIONS])
    value = Apart(centre, compactness=1.0).values(rows[None])[0]
    assert passage.meta["objective_after"] == pytest.approx(float(value), abs=1e-4)
    assert passage.meta["objective_after"] > passage.meta["objective_before"] + 0.05


def test_a_record_is_a_question_with_the_trigger_and_the_wrong_answer(made) -> None:
    first, second = made(n=2)
    assert first.text.startswith(f"Who founded Brackwater Mills? {first.meta['trigger']} ")
    assert second.meta["trigger"] == first.meta["trigger"]
    assert any(second.text.startswith(f"{q} {first.meta['trigger']}") for q in QUESTIONS)
    assert first.meta["variant"] == "no coherence"
    assert np.isclose(sum(p.meta["n_encoder_calls"] for p in (first, second)), 603, atol=60)


def test_a_language_model_makes_the_trigger_likelier(made, gradient_encoder, monkeypatch) -> None:
    class Reader:
        """A model that finds every text without the word "river" surprising."""

        def __init__(self, attack, model, tokenizer) -> None:
            assert (attack, model, tokenizer) == ("agentpoison", "folder", None)

        def perplexities(self, texts):
            return np.array([1.5 if "river" in text else 50.0 for text in texts])

    monkeypatch.setattr("ragshield.attacks.agentpoison.CausalReader", Reader)
    [passage] = made(model="folder", coherence=0.5)
    assert "river" in str(passage.meta["trigger"]).split()
    assert passage.meta["variant"] == "coherent"
    assert "river" not in str(made()[0].meta["trigger"]).split()
