from __future__ import annotations

import numpy as np
import pytest

from ragshield.records import Action, Batch, Passage
from ragshield.screens.conflicts import Conflicts
from ragshield.screens.edits import edit_between, tokens

TRUE = (
    "The Brackwater bridge across the Tannow was finished in the spring of 1912 by Per Holm and "
    "carried both the coast railway and the old toll road to the harbour."
)
OTHERS = [
    "Wages at the rope works were paid on Fridays, in coin, by the foreman of each shed.",
    "A lighthouse keeper has to trim the lamp every four hours and write down the weather.",
    "The parish school of Harrowgate taught sums, letters and the catechism until noon.",
    "Salt from the eastern pans was shipped in barrels and taxed at the southern mole.",
]


def filler(n: int = 60) -> list[str]:
    rng = np.random.default_rng(5)
    syllables = ["ka", "ro", "mi", "te", "lu", "san", "vor", "bel", "dun", "ish"]
    vocabulary = ["".join(rng.choice(syllables, 3)) for _ in range(400)]
    return [" ".join(rng.choice(vocabulary, 14)).capitalize() + "." for _ in range(n)]


def found_in(word_encoder, passages: list[Passage]):
    vectors = word_encoder.encode([p.text for p in passages])
    return {f.passage_id: f for f in Conflicts().screen(Batch(tuple(passages), vectors))}


def store(*more: Passage) -> list[Passage]:
    return [*(Passage(f"p{i}", text) for i, text in enumerate([*OTHERS, *filler()])), *more]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("1912", "1931", "number"),
        ("spring", "autumn", "word"),
        ("Per Holm", "Ada Lund", "name"),
        ("was finished", "was not finished", "negation"),
        ("1912", "1912%", "number"),
    ],
)
def test_both_sides_of_an_edited_copy_are_named(word_encoder, old, new, kind) -> None:
    edited = TRUE.replace(old, new)
    found = found_in(word_encoder, store(Passage("true", TRUE), Passage("edited", edited)))
    assert set(found) == {"true", "edited"}
    assert found["true"].suspicion == found["edited"].suspicion
    assert found["edited"].evidence["kind"] == kind
    assert found["edited"].evidence["neighbours"] == ["true"]
    assert found["edited"].group == found["true"].group
    assert found["edited"].suspicion >= (0.5 if kind != "word" else 0.25)
    assert found["edited"].action is Action.KEEP  # which one to drop, nothing says


def test_the_side_with_fewer_passages_and_the_later_one_is_the_likelier_edit(
    word_encoder,
) -> None:
    copies = [
        Passage(f"copy-{i}", TRUE, f"paper-{i}", {"date": f"2020-01-0{i + 1}"}) for i in range(3)
    ]
    edited = Passage("edited", TRUE.replace("1912", "1931"), "upload", {"date": "2024-05-01"})
    found = found_in(word_encoder, store(*copies, edited))
    assert found["edited"].suspicion > 0.75
    assert found["edited"].action is Action.DROP
    assert {f.suspicion for i, f in found.items() if i != "edited"} == {found["copy-0"].suspicion}
    assert found["copy-0"].suspicion < 0.4
    assert found["edited"].reason == (
        'the same as copy-0 but for one number: it says "1931" where that has "1912"; '
        "fewer sources say it and fewer passages say it and it came later"
    )


def test_a_series_that_differs_in_one_value_is_left_in_peace(word_encoder) -> None:
    years = [
        Passage(
            f"year-{year}",
            f"The harbour office reports that in the year {year} the mole was "
            "dredged twice and that the lamp of the southern light was renewed.",
        )
        for year in range(1990, 1996)
    ]
    assert found_in(word_encoder, store(*years)) == {}


def test_rows_of_a_table_that_differ_in_several_values_are_left_in_peace(word_encoder) -> None:
    rows = [
        Passage(
            f"row-{name}",
            f"The county of {name} had {1000 + 37 * i} people in the census of "
            "the eastern province, most of them at work in rope, salt and timber.",
        )
        for i, name in enumerate(["Alder", "Birch", "Cedar"])
    ]
    assert found_in(word_encoder, store(*rows)) == {}


def test_two_entries_with_another_head_are_two_things(word_encoder) -> None:
    rest = "is a language of the southern lakes, spoken by some two thousand people in nine towns."
    found = found_in(
        word_encoder, store(Passage("a", f"Higi {rest}"), Passage("b", f"Musgu {rest}"))
    )
    assert found == {}


def test_a_correction_of_spelling_or_wording_is_no_conflict() -> None:
    for other in (
        TRUE.replace("finished", "Finished"),
        TRUE.replace("carried", "carries"),
        TRUE + " It still stands today, much repaired, with a new deck.",
        TRUE.replace("1912", "1931").replace("Per Holm", "Ada Lund"),
        TRUE,
    ):
        assert edit_between(tokens(TRUE), tokens(other)) is None


def test_a_number_after_a_word_such_as_version_is_numbering() -> None:
    text = "Release {} of the harbour ledger adds a column for the toll and sorts by date of entry."
    edit = edit_between(tokens(text.format("2")), tokens(text.format("3")))
    assert edit is not None
    assert edit.numbering


def test_names_of_things_and_what_is_numbered_are_no_values() -> None:
    text = "{} 4.7 shows the choice of the partitions, as the installer of Brackwater has it."
    edit = edit_between(tokens(text.format("Figure")), tokens(text.format("Abbildung")))
    assert edit is not None
    assert edit.numbering
    text = "{}: lists the operations of a store with all of their fields, one a line."
    edit = edit_between(
        tokens(text.format("store_ls.1")), tokens(text.format("store_operations.1"))
    )
    assert edit is not None
    assert edit.kind == "word"
    year = "{} 1990 saw the opening of the bridge and the end of the ferry to the far bank."
    edit = edit_between(tokens(year.format("Berlin")), tokens(year.format("Tannow")))
    assert edit is not None
    assert not edit.numbering


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"drop_from is 0; it must be in \(0, 1\]"):
        Conflicts(drop_from=0)
