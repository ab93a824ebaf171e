from __future__ import annotations

import numpy as np
import pytest

from ragshield.errors import UsageError
from ragshield.records import Batch, Passage
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MemoryStore

MILLS = ["who founded the mills", "when were the mills built", "where is the old mill"]
PAINTERS = [
    "who was the painter",
    "which painter was well known",
    "what work of the painter is great",
]


@pytest.fixture
def made(craft, gradient_encoder):
    def make(**params):
        defaults = {"encoder": gradient_encoder, "budget": 300, "n_tokens": 8}
        return craft("corpus-poisoning", **{**defaults, **params})

    return make


def test_each_passage_is_near_to_the_questions_of_its_cluster(made, gradient_encoder) -> None:
    passages = made(n=2, questions=MILLS + PAINTERS)
    near = gradient_encoder.encode([p.text for p in passages])
    asked = gradient_encoder.encode(MILLS + PAINTERS)
    # Each question is nearer to the passage of its cluster, whatever the clusters are.
    sizes = sorted(int(p.meta["n_questions"]) for p in passages)
    assert sum(sizes) == 6
    best = (asked @ near.T).argmax(axis=1)
    assert sorted(np.bincount(best, minlength=2).tolist()) == sizes
    for passage in passages:
        assert passage.meta["objective_after"] > passage.meta["objective_before"] + 0.02


def test_it_is_nearer_to_the_questions_than_any_of_them_is_on_the_mean(
    made, gradient_encoder
) -> None:
    [passage] = made(questions=MILLS, budget=800)
    asked = gradient_encoder.encode(MILLS)
    [near] = gradient_encoder.encode([passage.text])
    assert (asked @ near).mean() > (asked @ asked.T).mean(axis=1).max()


def test_winning_beats_stored_passages_of_more_questions(made, gradient_encoder) -> None:
    texts = ["ida holm founded the mills", "the mill is north of ash", "the painter was born first"]
    passages = tuple(Passage(str(i), text) for i, text in enumerate(texts))
    store = MemoryStore("memory:", Batch(passages, gradient_encoder.encode(texts)))
    retriever = StoreRetriever(store, gradient_encoder)
    questions = MILLS + PAINTERS
    [passage] = made(questions=questions, aim="winning", retriever=retriever, budget=800)
    asked = gradient_encoder.encode(questions)
    rivals = np.array([retriever.retrieve(q, 1)[0].similarity for q in questions])

    def wins(text: str) -> int:
        return int((asked @ gradient_encoder.encode([text])[0] > rivals).sum())

    [start] = made(questions=questions, aim="winning", retriever=retriever, budget=1)
    assert wins(passage.text) > wins(start.text)


def test_winning_needs_what_to_win_against(made) -> None:
    with pytest.raises(UsageError, match="aim 'winning' needs the passages to win against"):
        made(aim="winning")


def test_a_payload_is_counted_in(made, gradient_encoder) -> None:
    [passage] = made(questions=MILLS, payload="statement")
    assert passage.meta["states_target"] is True
    near = gradient_encoder.encode([passage.text])[0] @ gradient_encoder.encode(MILLS).T
    assert passage.meta["objective_after"] == pytest.approx(float(near.mean()), abs=1e-5)


def test_without_a_set_it_is_the_targets_question(made, gradient_encoder) -> None:
    [passage] = made()
    aim = gradient_encoder.encode(["Who founded Brackwater Mills?", passage.text])
    assert passage.meta["objective_after"] == pytest.approx(float(aim[0] @ aim[1]), abs=1e-5)
