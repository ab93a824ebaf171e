from __future__ import annotations

import re

import numpy as np
import pytest

from ragshield.attacks.edits import answer_edit, decoys, fact_edit

TEXT = "In May 1871 the mill, built by Ida Holm, had 1,200 looms and was the largest in Ash."


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_right_answer_is_replaced_as_whole_words_whatever_its_case_and_blanks() -> None:
    assert answer_edit("IDA\n holm and Ida Holmes.", "Ida Holm", "\\1") == "\\1 and Ida Holmes."
    assert answer_edit("Nothing here.", "Ida Holm", "Per") is None
    assert answer_edit("Nothing here.", " ", "Per") is None


@pytest.mark.parametrize("seed", range(20))
def test_a_number_edit_changes_one_number_and_no_year(seed: int) -> None:
    changed = fact_edit(TEXT, "number", [], rng(seed))
    assert changed is not None
    number = re.search(r"had (\S+) looms", changed)
    assert number is not None
    assert number[1] != "1,200"
    assert changed.replace(number[1], "1,200") == TEXT


@pytest.mark.parametrize("seed", range(20))
def test_a_date_edit_moves_the_year_or_the_month(seed: int) -> None:
    changed = fact_edit(TEXT, "date", [], rng(seed))
    assert changed is not None
    before, after = (re.search(r"In (\w+) (\d+) the", t).groups() for t in (TEXT, changed))
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
    assert 0 <= abs(int(before[1]) - int(after[1])) <= 30


def test_a_name_edit_borrows_a_name_of_another_passage() -> None:
    others = ["It was Vera Quill who paid, and a man from Venn."]
    seen = {fact_edit(TEXT, "name", others, rng(seed)) for seed in range(20)}
    borrowed = {name for text in seen for name in ("Vera Quill", "Venn") if name in str(text)}
    assert borrowed == {"Vera Quill", "Venn"}
    assert all(text.count("Ida Holm") + text.count("Ash") == 1 for text in map(str, seen))


def test_a_negation_is_put_in_or_taken_out() -> None:
    assert fact_edit("The mill was large.", "negation", [], rng()) == "The mill was not large."
    assert fact_edit("It was not large.", "negation", [], rng()) == "It was large."


@pytest.mark.parametrize("edit", ["number", "date", "name", "negation"])
def test_a_text_without_such_a_value_allows_no_edit(edit) -> None:
    assert fact_edit("nothing at all here", edit, [], rng()) is None


@pytest.mark.parametrize(
    ("value", "form"),
    [("1871", r"\d{4}"), ("1,200", r"[\d,]+"), ("Per Lund", r"[A-Z].*"), ("a mill", r"[a-z].*")],
)
def test_decoys_are_of_the_kind_of_the_value(value: str, form: str) -> None:
    found = decoys(value, 4, rng())
    assert len(set(found) - {value}) == 4
    assert all(re.fullmatch(form, other) for other in found)
