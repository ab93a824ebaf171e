from __future__ import annotations

import pytest

from ragshield.attacks.crafted import generation_text
from ragshield.records import Target


@pytest.fixture
def made(craft, gradient_encoder):
    def make(**params):
        return craft(
            "poisonedrag-whitebox", **{"encoder": gradient_encoder, "budget": 300, **params}
        )

    return make


def test_it_is_nearer_to_the_question_than_the_black_box(made, craft, gradient_encoder) -> None:
    aim = gradient_encoder.encode(["Who founded Brackwater Mills?"])[0]
    white, black = made(n=3), craft("poisonedrag", n=3)
    near = gradient_encoder.encode([p.text for p in white]) @ aim
    assert (near > gradient_encoder.encode([p.text for p in black]) @ aim + 0.02).all()
    assert [p.meta["objective_after"] for p in white] == pytest.approx(near.tolist(), abs=1e-5)


def test_the_poisoned_text_itself_stays(made, craft) -> None:
    inner = craft("poisonedrag", n=2, prefix=False)
    assert [generation_text(p) for p in made(n=2)] == [p.text for p in inner]


def test_words_of_a_right_answer_are_not_put_in(made, target) -> None:
    right = Target(target.question, "Per Lund", texts=("Per Lund did.",))
    [passage] = made(n=1, at=right, budget=600)
    found = passage.text[: int(passage.meta["retrieval_end"])].lower().split()
    assert not {"ida", "holm"} & set(found)
    assert passage.meta["variant"] == "supplied"


def test_the_cost_is_stated_and_kept(made) -> None:
    for passage in made(n=2, budget=40, n_candidates=10):
        assert 0 < passage.meta["n_encoder_calls"] <= 40
        assert passage.meta["n_gradients"] >= 1


def test_a_similarity_that_is_enough_ends_the_search(made) -> None:
    [plain] = made(n=1)
    enough = float(plain.meta["objective_before"]) + 0.01
    [early] = made(n=1, stop_at=enough)
    assert enough <= early.meta["objective_after"]
    assert early.meta["n_encoder_calls"] < plain.meta["n_encoder_calls"]


@pytest.mark.model
def test_on_the_real_encoder_it_is_nearer_than_the_black_box(made, craft, minilm) -> None:
    aim = minilm.encode(["Who founded Brackwater Mills?"])[0]
    [white], [black] = made(n=1, encoder=minilm, budget=250), craft("poisonedrag", n=1)
    near, before = minilm.encode([white.text, black.text]) @ aim
    assert near > before + 0.01
