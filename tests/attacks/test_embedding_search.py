from __future__ import annotations

import pytest

from ragshield.errors import UsageError
from ragshield.records import Target
from ragshield.text import content_words


@pytest.fixture
def made(craft, word_encoder):
    def make(**params):
        return craft("embedding-search", **{"encoder": word_encoder, "budget": 400, **params})

    return make


def test_scores_alone_bring_it_nearer(made, word_encoder) -> None:
    [passage] = made()
    near, aim = word_encoder.encode([passage.text, "Who founded Brackwater Mills?"])
    assert passage.meta["objective_after"] == pytest.approx(float(near @ aim), abs=1e-5)
    assert passage.meta["objective_after"] > passage.meta["objective_before"]


def test_one_passage_serves_a_set_of_questions(made, word_encoder) -> None:
    questions = ["who founded the mills", "where is the river", "when was the painter born"]
    [passage] = made(questions=questions)
    near = word_encoder.encode([passage.text])[0] @ word_encoder.encode(questions).T
    assert passage.meta["objective_after"] == pytest.approx(float(near.mean()), abs=1e-5)
    assert passage.meta["objective_after"] > passage.meta["objective_before"] + 0.05


def test_the_budget_is_kept(made, word_encoder) -> None:
    for budget in (1, 5, 100):
        before = word_encoder.n_texts
        [passage] = made(budget=budget)
        assert word_encoder.n_texts - before == passage.meta["n_encoder_calls"] <= budget + 1


def test_words_come_from_passages_of_the_store_and_from_given_texts(
    made, retriever, target
) -> None:
    def words(passage):
        return set(passage.text[: int(passage.meta["retrieval_end"])].lower().split())

    own = {"who", "founded", "brackwater", "mills?", "mills"}
    assert words(made()[0]) <= own
    [stored] = made(retriever=retriever, budget=60)
    allowed = {w for p in retriever.retrieve("mills", 5).passages for w in content_words(p.text)}
    assert words(stored) <= own | allowed
    assert not {"ida", "holm"} & words(stored)
    assert words(made(words=["zeppelin"], budget=20)[0]) <= own | {"zeppelin"}


def test_the_targets_own_text_stands_behind_if_it_has_one(made, target) -> None:
    supplied = Target(target.question, "Per Lund", texts=("Founder Per Lund opened the mills.",))
    [passage] = made(at=supplied, budget=50)
    assert passage.text.endswith(" Founder Per Lund opened the mills.")


def test_without_scores_there_is_nothing_to_search(craft) -> None:
    with pytest.raises(UsageError, match="embedding-search: needs similarity scores"):
        craft("embedding-search")
