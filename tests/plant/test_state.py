from __future__ import annotations

import numpy as np
import pytest

from ragshield.plant import StoreState, state_of
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MemoryStore

A = Passage("a", "One.", "me", {"year": 1999, "by": "x"})
B = Passage("b", "Two.")
EYE = np.eye(2, dtype=np.float32)


def state(*passages: Passage, vectors=EYE) -> StoreState:
    return state_of(MemoryStore(batch=Batch(passages, vectors[: len(passages)])))


def test_the_order_of_the_rows_does_not_matter_but_which_vector_is_whose_does() -> None:
    assert state(A, B) == state(B, A, vectors=EYE[::-1])
    assert state(A, B) != state(B, A)
    assert state(A, B).n_passages == 2


@pytest.mark.parametrize(
    "other",
    [
        Passage("c", "One.", "me", A.meta),
        Passage("a", "One", "me", A.meta),
        Passage("a", "One.", None, A.meta),
        Passage("a", "One.", "", A.meta),
        Passage("aO", "ne.", "me", A.meta),
        Passage("a", "One.", "me", {"year": 1998, "by": "x"}),
        Passage("a", "One.", "me", {"year": "1999", "by": "x"}),
        Passage("a", "One.", "me", {"year": 1999}),
    ],
)
def test_any_change_of_a_row_changes_it(other: Passage) -> None:
    assert state(other, B) != state(A, B)
    assert state(Passage("a", "One.", "me", {"by": "x", "year": 1999}), B) == state(A, B)


def test_the_last_bit_of_a_vector_changes_it() -> None:
    moved = EYE.copy()
    moved[0, 0] = np.nextafter(np.float32(1), np.float32(2))
    assert state(A, B, vectors=moved) != state(A, B)


def test_one_row_more_or_less_changes_it_and_an_empty_store_has_one_too() -> None:
    assert state(A) != state(A, B)
    empty = state_of(MemoryStore())
    assert empty.n_passages == 0
    assert len(empty.sha256) == 64
    assert str(empty).startswith("0 passages, SHA-256 e3b0c442")
