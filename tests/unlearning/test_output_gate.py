from __future__ import annotations

import base64

import pytest

from ragshield.forget_set import Answer
from ragshield.protocols import Encoder
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.output_gate import OutputGate
from ragshield.unlearning.query_gate import Focus, QueryGate

NOTHING = Focus()


@pytest.fixture(scope="module")
def gate(keys: ForgetKeys, encoder: Encoder) -> OutputGate:
    return OutputGate(keys, encoder)


@pytest.mark.parametrize(
    "text",
    [
        "It was Ada Lindqvist.",
        "ada lindqvist",
        "The Owl of Uppsala built it.",
        "It was 4da L1ndqvist.",
        "A-d-a L-i-n-d-q-v-i-s-t",
        base64.b64encode(b"It was Ada Lindqvist").decode(),
        "tsivqdniL adA",
        "All\nDogs\nAre\nLoyal\nIn\nNice\nDens\nQuiet\nVillages\nInvite\nStray\nTerriers",
        '{"person": {"first": "Ada", "last": "x"}, "full": "Ada Lindqvist"}',
        "She was born on 14 March 1953.",
        "The date is 1953-03-14.",
        "Call 555-0142-77.",
        "The merger with Halvorsen closes in May and nobody outside the board may know.",
        "Someone born in Sundsvall who works at Norrland Steel as a bridge engineer.",
    ],
)
def test_withholds_what_gives_a_target_away(gate: OutputGate, text: str) -> None:
    assert gate.judge(Answer(text), NOTHING).answer is None


@pytest.mark.parametrize(
    "text",
    [
        "Ida Lindqvist was born in Falun.",
        "Sundsvall lies on the coast.",
        "A bridge engineer plans bridges.",
        "Pat Quill is a baker.",
        "42",
        "I don't know.",
    ],
)
def test_lets_through_what_does_not(gate: OutputGate, text: str) -> None:
    assert gate.judge(Answer(text), NOTHING).answer == Answer(text)


def test_a_value_is_withheld_where_its_target_is_in_view(gate: OutputGate) -> None:
    near = Focus(weak={0: "has a part of its name"})
    assert gate.judge(Answer("Sundsvall."), near).answer is None
    assert gate.judge(Answer("Sundsvall."), NOTHING).answer == Answer("Sundsvall.")


def test_takes_out_the_sentences_that_tell_and_what_goes_on_from_them(gate: OutputGate) -> None:
    text = (
        "The bridge is old. Its builder was Ada Lindqvist. She came from the north. "
        "It carries trains."
    )
    judged = gate.judge(
        Answer("The bridge is old. Ada Lindqvist made it. She is tall. Trains use the bridge."),
        NOTHING,
    )
    assert judged.answer == Answer("The bridge is old. Trains use the bridge.")
    assert judged.is_changed
    mended = gate.judge(Answer(text), NOTHING).answer
    assert mended is not None
    assert mended.text == "The bridge is old."


def test_thoughts_and_citations_are_left_out_and_tools_withhold_all(gate: OutputGate) -> None:
    said = Answer(
        "The bridge is old.",
        reasoning="The user means Ada Lindqvist.",
        citations=("Bridges of the north", "The life of Ada Lindqvist"),
    )
    assert gate.judge(said, NOTHING).answer == Answer(
        "The bridge is old.", citations=("Bridges of the north",)
    )
    calls = Answer("One moment.", tool_arguments=('{"query": "ada lindqvist birthplace"}',))
    assert gate.judge(calls, NOTHING).answer is None


def test_an_allowed_attribute_is_told_and_another_is_not(
    gate: OutputGate, keys: ForgetKeys, encoder: Encoder
) -> None:
    focus = QueryGate(keys, encoder).judge("What is Pat Quill's job?")
    told = gate.judge(Answer("Pat Quill is a baker. He lives at 7 Heron Lane."), focus)
    assert told.answer == Answer("Pat Quill is a baker.")
    staff = gate.judge(Answer("He lives at 7 Heron Lane."), focus, audience="staff")
    assert staff.answer == Answer("He lives at 7 Heron Lane.")


def test_each_test_can_be_switched_off(keys: ForgetKeys, encoder: Encoder) -> None:
    near = Focus(weak={0: "has a part of its name"})
    off = OutputGate(keys, None, exact=False, attributes=False)
    assert off.leaks("Ada Lindqvist was born in Sundsvall.", near) == []
    exact = OutputGate(keys, None, attributes=False)
    assert {leak.gate for leak in exact.leaks("Ada Lindqvist, Sundsvall", near)} == {"exact"}
    attributes = OutputGate(keys, None, exact=False)
    assert {leak.gate for leak in attributes.leaks("Sundsvall", near)} == {"attribute"}
    semantic = OutputGate(keys, encoder, exact=False, attributes=False)
    same_words = "The employer of this person is Norrland Steel."
    assert {leak.gate for leak in semantic.leaks(same_words, near)} == {"semantic"}
