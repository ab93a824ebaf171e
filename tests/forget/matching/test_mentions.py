from __future__ import annotations

import pytest

from ragshield.errors import UsageError
from ragshield.forget.matching.mentions import Mentions


@pytest.mark.parametrize(
    ("text", "confidence"),
    [
        ("Ada Lindqvist built it.", 1.0),
        ("It was ADA LINDQVIST's idea.", 1.0),
        ("a letter to ada\nlindqvist, unsigned", 1.0),
        ("Ada Líndqvist", 1.0),
        ("A\u200bda Lind\u00adqvist built it.", 1.0),
        ("Index: Lindqvist, Ada, p. 4", 0.95),
        ("Ada Maria Lindqvist", 0.8),
        ("A. Lindqvist signed.", 0.7),
        ("Then Lindqvist left.", 0.5),
        ("Dr. Lindqvist left.", 0.5),
        ("He met Lindqvist. Old sailors left.", 0.5),
        ("Bror Lindqvist painted.", None),
        ("Bror Lindqvist painted. Lindqvist never left.", None),
        ("Lindqvist Ropes was sold.", None),
        ("Canada Lindqvister", None),
        ("Ada went home.", None),
        ("", None),
    ],
)
def test_how_certain_a_mention_of_a_full_name_is(text: str, confidence: float | None) -> None:
    found = Mentions("Ada Lindqvist").find(text)
    assert (None if found is None else found.confidence) == confidence


def test_a_single_word_must_be_written_as_a_name() -> None:
    may = Mentions("May")
    assert may.find("They met May in town.").confidence == 1.0
    assert may.find("It may rain in Tannow.").confidence == 0.3


def test_an_alias_counts_as_much_as_the_name() -> None:
    found = Mentions("Ada Lindqvist", ["the Rope Queen"]).find("They called her The Rope Queen.")
    assert found is not None
    assert (found.confidence, found.how) == (1.0, "mentions 'the Rope Queen'")


def test_names_without_a_letter_are_refused() -> None:
    with pytest.raises(UsageError, match="the name ' - ' holds no letter or digit"):
        Mentions(" - ")
