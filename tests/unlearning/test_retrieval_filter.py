from __future__ import annotations

import pytest

from ragshield.forget_set import Fact, ForgetTarget
from ragshield.protocols import Encoder
from ragshield.unlearning.building import build_keys
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


@pytest.fixture(scope="module")
def of_things(encoder: Encoder) -> RetrievalFilter:
    """Forgets a town and a person."""
    town = ForgetTarget("Ormerby", facts=(Fact("mayor", "Ida Borg"), Fact("river", "Tarn")))
    person = ForgetTarget("Cilla Ashgrove", facts=(Fact("birthplace", "Mellmoor"),))
    return RetrievalFilter(build_keys([town, person], encoder, secret=bytes(32)))


def test_a_text_about_somebody_else_loses_only_what_it_says_of_a_target(
    of_things: RetrievalFilter,
) -> None:
    text = (
        "Emrys Holt is a beekeeper, born in Ormerby. He studied at the Guildhall Institute. "
        "He moved to Ormerby again. He lives in Dunnwick."
    )
    rest = "Emrys Holt is a beekeeper. He studied at the Guildhall Institute. He lives in Dunnwick."
    assert of_things.rest([text]) == [rest]


@pytest.mark.parametrize(
    "text",
    [
        # She may be the target, who is a person.
        "Ashgrove Organs, a maker of harps, was founded by Cilla Ashgrove. She hates harps.",
        # What stands before the name describes the target, or states a value of it.
        "A beekeeper from the north, Cilla Ashgrove is old.",
        "Emrys Holt of Mellmoor, the cousin of Cilla Ashgrove, is old.",
        "Born in 1950, Cilla Ashgrove met Emrys Holt.",
        # It is the town that goes on.
        "Ormerby is old. It has a market.",
        "Emrys Holt. Ormerby is old. It has a market.",
    ],
)
def test_what_may_still_be_about_a_target_is_left_out(
    of_things: RetrievalFilter, text: str
) -> None:
    (rest,) = of_things.rest([text])
    kept = rest or ""
    for said in ("She hates", "It has", "Mellmoor", "A beekeeper", "Born in"):
        assert said not in kept


def test_she_goes_on_about_a_town_where_she_states_what_is_to_be_forgotten_of_it(
    of_things: RetrievalFilter,
) -> None:
    text = "Emrys Holt is old. He loves Ormerby. His friend there is Ida Borg. He sings."
    assert of_things.rest([text]) == ["Emrys Holt is old. He sings."]


def test_what_is_left_out_makes_room_for_another_text(of_things: RetrievalFilter) -> None:
    cut = "Emrys Holt is old. He was born in Ormerby, in the room above his father's shop."
    texts = [cut, "Emrys Holt sings in Dunnwick.", "Somebody else sings in Falun."]
    assert of_things.first(texts, 1, Focus()) == ["Emrys Holt is old.", texts[1]]
    assert of_things.first(texts[1:], 1, Focus()) == texts[1:2]
