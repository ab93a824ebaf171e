from __future__ import annotations

import numpy as np
import pytest

from ragshield.errors import InputError
from ragshield.experiment.planting import Asked, CleanIndex, Plot, craft_all
from ragshield.records import Batch, Corpus, Passage, Question, Target
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MutableMemoryStore


class _Fixed:
    """An encoder that knows one question."""

    name = "fixed"

    def __init__(self, vector):
        self.vector = vector
        self.dim = len(vector)

    def encode(self, texts):
        return self.vector[None, :]


def _retrieve_both_ways(vectors, poison_vectors, question_vector, rows, k):
    passages = tuple(Passage(f"c{i}", f"clean {i}") for i in range(len(vectors)))
    poison = tuple(Passage(f"p{i}", f"poison {i}") for i in range(len(poison_vectors)))
    index = CleanIndex(Corpus("made up", passages, ()), vectors)
    target = Target(Question("q", "What?"), "that")
    nearest = index.nearest(question_vector[None, :], k)[0]
    plot = Plot(poison, poison_vectors, {"q": range(len(poison))})
    merged = index.retrieve(Asked(target, question_vector, nearest), plot, rows, k=k)

    store = MutableMemoryStore("memory:", Batch(passages, vectors))
    if rows:
        store.add(Batch(tuple(poison[row] for row in rows), poison_vectors[list(rows)]))
    planted = StoreRetriever(store, _Fixed(question_vector)).retrieve("What?", k)
    return merged, planted


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [1, 5, 20, 500])
@pytest.mark.parametrize("rows", [range(0), range(3, 5), range(12)])
def test_merging_gives_what_a_store_with_the_poison_planted_gives(
    seed: int, k: int, rows: range
) -> None:
    rng = np.random.default_rng(seed)
    question = rng.standard_normal(16).astype(np.float32)
    vectors = rng.standard_normal((200, 16)).astype(np.float32)  # not of unit length
    poison = (question + rng.standard_normal((12, 16)) * 1.5).astype(np.float32)
    merged, planted = _retrieve_both_ways(vectors, poison, question, rows, k)
    assert [hit.id for hit in merged] == [hit.id for hit in planted]
    assert np.array_equal(merged.vectors, planted.vectors)
    assert [hit.similarity for hit in merged] == pytest.approx(
        [hit.similarity for hit in planted], abs=1e-6
    )
    assert merged.question == planted.question
    assert np.array_equal(merged.question_vector, planted.question_vector)


def test_ties_rank_as_in_a_store_clean_first_in_order() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 1, 1, 1, 2]]
    poison = np.eye(4, dtype=np.float32)[[1, 1]]
    question = np.eye(4, dtype=np.float32)[1]
    merged, planted = _retrieve_both_ways(vectors, poison, question, range(2), 5)
    assert [hit.id for hit in planted] == ["c1", "c2", "c3", "c4", "p0"]
    assert [hit.id for hit in merged] == ["c1", "c2", "c3", "c4", "p0"]


class _Drawn:
    name = "drawn"

    def craft(self, target, *, rng):
        return [Passage(f"{target.question.id}-0", f"text {rng.integers(10**9)}")]


class _SameId:
    name = "same"

    def craft(self, target, *, rng):
        return [Passage("c0", "text")]


CORPUS = Corpus("made up", (Passage("c0", "clean"),), ())
TARGETS = [Target(Question(f"q{i}", "What?"), "that") for i in range(3)]


def test_poison_depends_on_seed_and_question_alone() -> None:
    first, rows = craft_all(_Drawn(), TARGETS, corpus=CORPUS, seed=1)
    again, _ = craft_all(_Drawn(), TARGETS[2:], corpus=CORPUS, seed=1)
    other, _ = craft_all(_Drawn(), TARGETS[2:], corpus=CORPUS, seed=2)
    assert again[0] == first[2]
    assert other[0] != first[2]
    assert len({passage.text for passage in first}) == 3
    assert rows == {"q0": range(0, 1), "q1": range(1, 2), "q2": range(2, 3)}


def test_poison_with_the_id_of_a_clean_passage_is_refused() -> None:
    with pytest.raises(InputError, match="made the id 'c0' for question 'q0', which is taken"):
        craft_all(_SameId(), TARGETS[:1], corpus=CORPUS, seed=0)
