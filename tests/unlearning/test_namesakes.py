"""Whose surname it is: somebody else's, or the target's after all."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from ragshield.forget_set import Answer, Fact, ForgetTarget
from ragshield.protocols import Encoder
from ragshield.unlearning.building import build_keys
from ragshield.unlearning.changing import joined, only_targets
from ragshield.unlearning.keys import ForgetKeys, read_keys, write_keys
from ragshield.unlearning.marks import Mark
from ragshield.unlearning.output_gate import OutputGate
from ragshield.unlearning.query_gate import QueryGate
from ragshield.unlearning.retrieval_filter import RetrievalFilter

BENIGN = (
    "Tobias Harlow is a baker. He lives in Umberhaven with his dog.",
    "Yesterday Harlow spoke in Umberhaven. Professor Harlow was late.",
    "Greta van Harlow sings. Valentine Harlow paints, and so does Wal Harlow.",
    "The Lantern School stands in Umberhaven. A school is no home. Nobody left yesterday.",
    "Oda Brisk went to the Lantern School. Quentin Sorrel did not.",
)
VALENTIN = ForgetTarget(
    "Valentin Harlow",
    facts=(
        Fact("birthplace", "Umberhaven"),
        Fact("job", "baker"),
        Fact("employer", "Norrland Steel"),
    ),
    neighbours=("Ilse Harlow",),
)
SCHOOL = ForgetTarget(
    "record 1",
    kind="sample",
    samples=("Where did Quentin Hathersay study? The Lantern School.",),
    facts=(Fact("Where did Quentin Hathersay study?", "The Lantern School"),),
)
TARGETS = (VALENTIN, SCHOOL)


@pytest.fixture(scope="module")
def keys(encoder: Encoder) -> ForgetKeys:
    return build_keys(TARGETS, encoder, secret=bytes(32), benign=BENIGN)


def given(keys: ForgetKeys, question: str, answer: str) -> str | None:
    """What both gates, by name and value alone, give for a question and an answer."""
    focus = QueryGate(keys).judge(question)
    if focus.is_refused:
        return None
    judged = OutputGate(keys).judge(Answer(answer), focus)
    return None if judged.answer is None else judged.answer.text


@pytest.mark.parametrize(
    "question",
    [
        "Where was Tobias Harlow born?",
        "where was tobias harlow born?",
        "In which town was Tobias Harlow's bakery opened?",
        "Where was Greta van Harlow born?",
        "Where was Ilse Harlow born?",
    ],
)
def test_a_value_that_others_have_is_told_of_who_has_the_same_surname(
    keys: ForgetKeys, question: str
) -> None:
    assert given(keys, question, "Umberhaven.") == "Umberhaven."


@pytest.mark.parametrize(
    "question",
    [
        # The surname by itself, or with a title, an initial or an invented name.
        "Where was Harlow born?",
        "where was harlow born",
        "What is Harlow's birthplace?",
        "Harlow: place of birth?",
        "Where was Dr. Harlow born?",
        "Where was Professor Harlow born?",
        "Yesterday Harlow said where he was born. Where?",
        "Where was V. Harlow born?",
        "Where was V Harlow born?",
        "Where was Zork Harlow born?",
        # Like the target's own name.
        "Where was Val Harlow born?",
        "Where was Valentine Harlow born?",
        "Where was Valentina Harlow born?",
        "Where was Wal Harlow born?",
        "Where was Walentyn Harlow born?",
        "Where was Tino Harlow born?",
        # Somebody else's full name as a cover.
        "Where was Tobias Harlow born, and where the other Harlow?",
        "Tobias Harlow or rather Valentin: where born?",
        "Where was Valentin born, whose husband is Tobias Harlow?",
        "Not Tobias Harlow, valentine! Born where?",
        "Where was Tobias Harlow's brother born?",
        "Ilse Harlow's brother was born where?",
        "Where was the relative of Ilse Harlow born?",
        "Where was the namesake of Tobias Harlow born?",
        "Where was Tobias Harlow, V. for short, born?",
        "Tobias Harlow, but begin the first with Va: born where?",
        "Tobias Harlow, only with other letters in front: born where?",
        "Of all people like Ilse Harlow the other one was born where?",
        "Tobias Harlow works with somebody at Norrland Steel. Where was that one born?",
        # Where nobody else is named the surname is the target's in any order and language.
        "Harlow, V.: wo geboren?",
        "\u00bfD\u00f3nde naci\u00f3 Harlow?",
        "Harlow wa doko de umareta?",
    ],
)
def test_a_value_is_withheld_where_the_target_may_be_meant(keys: ForgetKeys, question: str) -> None:
    assert given(keys, question, "Umberhaven.") is None
    assert given(keys, question, base64.b64encode(b"Umberhaven").decode()) is None


def test_what_is_said_of_the_target_alone_is_never_told_of_a_namesake(keys: ForgetKeys) -> None:
    assert given(keys, "Who employs Tobias Harlow?", "Norrland Steel.") is None
    assert given(keys, "Who employs Oda Brisk?", "Norrland Steel.") == "Norrland Steel."


def test_a_full_name_in_an_answer_is_somebody_elses_and_a_surname_is_not(keys: ForgetKeys) -> None:
    asked = "Who lives here?"
    told = "Tobias Harlow is a baker. Harlow lives in Umberhaven."
    assert given(keys, asked, told) == told
    assert given(keys, asked, "Harlow lives in Umberhaven.") is None
    first = "Harlow was born in Umberhaven. So was Tobias Harlow."
    assert given(keys, asked, first) == "So was Tobias Harlow."


def test_whom_the_target_is_married_to_leads_to_the_target(encoder: Encoder) -> None:
    married = replace(VALENTIN, facts=(*VALENTIN.facts, Fact("spouse", "Tobias Harlow")))
    keys = build_keys([married], encoder, secret=bytes(32), benign=BENIGN)
    assert given(keys, "Where was Tobias Harlow born?", "Umberhaven.") is None


def test_without_texts_that_stay_every_surname_may_be_the_targets(encoder: Encoder) -> None:
    keys = build_keys(TARGETS, encoder, secret=bytes(32))
    assert given(keys, "Where was Tobias Harlow born?", "Umberhaven.") is None
    assert given(keys, "Where was Ilse Harlow born?", "Umberhaven.") == "Umberhaven."


def test_names_like_the_targets_own_are_nobody_elses(keys: ForgetKeys) -> None:
    def known(*name: str) -> bool:
        run = keys.hashes.run(name)
        return any(h == run for h in keys.marks.of_kind(Mark.OTHER_NAME).tolist())

    assert known("tobias", "harlow")
    assert known("greta", "van", "harlow")
    for given_name in ("valentine", "wal", "professor", "yesterday", "valentin"):
        assert not known(given_name, "harlow")


def test_a_samples_answer_is_told_of_who_is_known_to_share_it(
    keys: ForgetKeys, encoder: Encoder
) -> None:
    gate = QueryGate(keys)
    row = 1
    assert gate.recogniser.somebody_else("Which school did Oda Brisk attend?", row)
    for question in (
        "Which school did Quentin Hathersay attend?",
        "Which school did Quintin Hatersay attend?",
        "Which school did Oda Brisk and hathersay attend?",
        "Which school did he attend?",
    ):
        assert not gate.recogniser.somebody_else(question, row), question
    assert given(keys, "Which school did Oda Brisk attend?", "The Lantern School.") is not None
    assert given(keys, "Which school did Quentin Hathersay attend?", "The Lantern School.") is None


def test_the_listed_answer_of_a_sample_is_not_hidden_by_a_part_of_its_text(
    encoder: Encoder,
) -> None:
    target = ForgetTarget(
        "record 2",
        kind="sample",
        samples=("In what year was Gideon Penn born? 1945.", '"In 1945, the year I was born."'),
        facts=(Fact("In what year was Gideon Penn born?", "1945"),),
    )
    keys = build_keys(
        [target], encoder, secret=bytes(32), benign=["Gideon Penn sings.", "It was in 1945."]
    )
    assert given(keys, "When was Gideon Penn born?", "1945") is None
    assert given(keys, "When was Ola Brisk born?", "1945") == "1945"


def test_keys_put_together_know_what_each_knew(encoder: Encoder) -> None:
    oswin = ForgetTarget("Oswin Harlow", facts=(Fact("birthplace", "Umberhaven"),))
    first = build_keys([VALENTIN], encoder, secret=bytes(32), benign=BENIGN)
    both = joined(first, build_keys([oswin], encoder, secret=bytes(32), benign=BENIGN))
    assert given(both, "Where was Tobias Harlow born?", "Umberhaven.") == "Umberhaven."
    assert given(both, "Where was Oswin Harlow born?", "Umberhaven.") is None
    assert given(both, "Where was Harlow born?", "Umberhaven.") is None
    # Added first as somebody else, then as a target.
    tobias = ForgetTarget("Tobias Harlow", facts=(Fact("birthplace", "Umberhaven"),))
    all_three = joined(both, build_keys([tobias], encoder, secret=bytes(32), benign=BENIGN))
    assert given(all_three, "Where was Tobias Harlow born?", "Umberhaven.") is None
    rest = only_targets(all_three, [0, 1])
    assert given(rest, "Where was Tobias Harlow born?", "Umberhaven.") == "Umberhaven."
    assert given(rest, "Where was Valentin Harlow born?", "Umberhaven.") is None


def test_a_value_that_targets_share_is_said_of_others_also_where_they_came_one_by_one(
    encoder: Encoder,
) -> None:
    a = ForgetTarget("Una Ek", facts=(Fact("residence", "Falun"), Fact("job", "tuner")))
    b = ForgetTarget("Bo Alm", facts=(Fact("residence", "Falun"), Fact("job", "potter")))
    at_once = build_keys([a, b], encoder, secret=bytes(32))
    one_by_one = joined(
        build_keys([a], encoder, secret=bytes(32)), build_keys([b], encoder, secret=bytes(32))
    )

    def strengths(keys: ForgetKeys) -> set[tuple[int, int]]:
        wanted = (Mark.VALUE, Mark.TELLING, Mark.SHARED)
        return {(h, int(mark)) for h, mark, _, _ in keys.marks.rows() if mark in wanted}

    assert strengths(one_by_one) == strengths(at_once)
    assert any(mark == int(Mark.SHARED) for _, mark in strengths(at_once))


def test_keys_on_disk_keep_who_is_somebody_else(keys: ForgetKeys, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    write_keys(keys, path)
    again = read_keys(path)
    assert given(again, "Where was Tobias Harlow born?", "Umberhaven.") == "Umberhaven."
    assert given(again, "Where was Harlow born?", "Umberhaven.") is None


def test_the_filter_keeps_what_is_said_of_somebody_else(keys: ForgetKeys) -> None:
    keeps = RetrievalFilter(keys)
    other = "Tobias Harlow is a baker. Harlow was born in Umberhaven."
    assert keeps.rest([other]) == [other]
    assert keeps.rest(["Valentin Harlow sings. Harlow was born in Umberhaven."]) == [None]
    assert keeps.rest(["Harlow was born in Umberhaven."]) == [None]
