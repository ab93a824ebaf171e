from __future__ import annotations

import numpy as np
import pytest

from ragshield.forget.matching.features import Features, Rarity, covered, names_in, runs_of, stem


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Tannow got its works.", []),
        ("The town of Tannow got its works.", ["Tannow"]),
        ("Prof. Henk van der Veld's book", ["Henk van der Veld"]),
        (
            "University of the Arts hired J. Holm. Then he left.",
            ["University of the Arts", "J. Holm"],
        ),
        ("Nationality: Spanish, since 1957", ["Spanish", "1957"]),
        ("It was IBM. NATO came.", ["IBM", "NATO"]),
        ("", []),
    ],
)
def test_names_and_numbers(text: str, names: list[str]) -> None:
    assert [name.text for name in names_in(text)] == names


def test_a_title_is_no_part_of_a_name_but_is_noted() -> None:
    (name,) = names_in("We met Dr. Ada Lindqvist there.")
    assert (name.text, name.tokens, name.titled) == ("Ada Lindqvist", ("ada", "lindqvist"), True)


def test_an_address_counts_as_a_whole() -> None:
    found = Features("Write to Ada.L@Example.org, or not.")
    assert "ada.l@example.org" in found.vocabulary
    assert "ada.l@example.org" in found.marks


def test_endings_do_not_count() -> None:
    assert stem("founded") == stem("founder") == stem("founding")
    assert stem("studies") == stem("studied")
    assert stem("rope") == stem("ropes")
    assert stem("mill") != stem("mall")


def test_runs_of_words_are_found_again_in_a_longer_text() -> None:
    part = "founded the rope works beside the quay".split()
    whole = ["ada", *part, "in", "1820"]
    assert np.isin(runs_of(part), runs_of(whole)).all()
    assert len(runs_of(part)) == 3
    assert not np.isin(runs_of(part[::-1]), runs_of(whole)).any()
    assert len(runs_of([])) == 0


def test_rare_words_weigh_more() -> None:
    rarity = Rarity()
    for i in range(100):
        rarity.note({"common", f"word{i}"})
    assert rarity.count("common") == 100
    assert rarity.weight("word7") > 3 * rarity.weight("common")
    assert covered(["common", "word7"], frozenset({"word7"}), rarity) > 0.75
    assert covered([], frozenset(), rarity) == 0.0
