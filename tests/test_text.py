from __future__ import annotations

import pytest

from ragshield.text import content_words, normal_form, sentences, states, words


def test_sentences_split_at_ends_but_not_inside_numbers_or_names() -> None:
    text = 'It cost 3.5 million. "Really?" she asked. The U.S. firm paid.\nNext line'
    assert sentences(text) == [
        "It cost 3.5 million.",
        '"Really?" she asked.',
        "The U.S. firm paid.",
        "Next line",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("J. Holm (b. 1953) led it. So it was.", ["J. Holm (b. 1953) led it.", "So it was."]),
        ("Да. Нет. Может быть.", ["Да.", "Нет.", "Может быть."]),
        ("It is e.g. small. (Or not.) 7 did.", ["It is e.g. small.", "(Or not.)", "7 did."]),
        ("no end", ["no end"]),
        (" \n \n", []),
    ],
)
def test_quotes_initials_and_other_scripts_are_split_as_a_reader_would(
    text: str, expected: list[str]
) -> None:
    assert sentences(text) == expected


def test_words_are_lower_case_and_keep_inner_apostrophes() -> None:
    assert words("Ada's café, №5!") == ["ada's", "café", "no5"]


def test_content_words_leave_out_stop_words() -> None:
    assert content_words("Who is the mayor of Elm?") == ["mayor", "elm"]


@pytest.mark.parametrize(
    ("text", "answer", "stated"),
    [
        ("She was born in the town of Elm.", "Elm", True),
        ("The Elmwood inn", "Elm", False),
        ("He led THE firm until 1999.", "the Firm", True),
        ("", "Elm", False),
        ("anything", "", False),
        ("anything", "the", False),
    ],
)
def test_an_answer_is_stated_as_whole_words_only(text: str, answer: str, stated: bool) -> None:
    assert states(text, answer) is stated


def test_normal_form_drops_case_punctuation_and_articles() -> None:
    assert normal_form("The  “Blue”, Lake.") == "blue lake"
