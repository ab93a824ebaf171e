from __future__ import annotations

import pytest

from ragshield.protocols import Encoder
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.query_gate import Focus
from ragshield.unlearning.retrieval_filter import RetrievalFilter


@pytest.fixture(scope="module")
def kept(keys: ForgetKeys, encoder: Encoder) -> RetrievalFilter:
    return RetrievalFilter(keys, encoder)


def test_drops_what_is_mostly_about_a_target_and_keeps_the_rest(kept: RetrievalFilter) -> None:
    texts = [
        "Ada Lindqvist was born in Sundsvall. She builds bridges.",
        "Ida Lindqvist sells boats in Falun.",
        "The town has a port. It has a rail yard. Its mill is old. Ada Lindqvist once slept "
        "there. She liked it. Ships leave at noon.",
        "The merger with Halvorsen closes in May and nobody outside the board may know it.",
    ]
    assert kept.rest(texts) == [
        None,
        "Ida Lindqvist sells boats in Falun.",
        "The town has a port. It has a rail yard. Its mill is old. Ships leave at noon.",
        None,
    ]


def test_drops_what_an_attacker_hides(kept: RetrievalFilter) -> None:
    assert kept.rest(["4da L1ndqvist was born up north.", "Где Ада Линдквист?"]) == [None, None]


def test_shows_of_a_partly_allowed_target_what_may_be_told(kept: RetrievalFilter) -> None:
    texts = [
        "Pat Quill is a baker. Pat Quill is tall. Pat Quill is kind. Pat Quill lives at "
        "7 Heron Lane.",
    ]
    assert kept.rest(texts) == ["Pat Quill is a baker. Pat Quill is tall. Pat Quill is kind."]
    assert kept.rest(texts, audience="staff") == texts


def test_a_value_alone_is_left_out_where_its_target_is_in_view(kept: RetrievalFilter) -> None:
    text = "Sundsvall lies on the coast."
    assert kept.rest([text]) == [text]
    assert kept.rest([text], Focus(weak={0: "was named before"})) == [None]


def test_vectors_that_lie_at_a_key_are_dropped(kept: RetrievalFilter, encoder: Encoder) -> None:
    near = encoder.encode(["The employer of this person is Norrland Steel."])
    focus = Focus(weak={0: "was named before"})
    assert kept.rest(["A text in other words."], focus, vectors=near) == [None]


def test_what_is_left_out_makes_room_for_what_comes_next(
    keys: ForgetKeys, encoder: Encoder
) -> None:
    texts = ["Ada Lindqvist built it.", "Oslo is large.", "Who is Ada Lindqvist?", "Rome is old."]
    rest = RetrievalFilter(keys, encoder)
    assert rest.first(texts, 2, Focus()) == ["Oslo is large.", "Rome is old."]
    assert rest.first(texts, 1, Focus()) == ["Oslo is large."]
    assert rest.first([], 0, Focus()) == []
