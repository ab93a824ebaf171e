from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ragshield.errors import InputError
from ragshield.forget_set import Answer, Fact, ForgetTarget, check_forget_set, read_forget_set

ADA = {
    "name": "Ada Lindqvist",
    "aliases": ["A. Lindqvist"],
    "facts": [
        {"attribute": "birthplace", "value": "Uppsala", "statement": "Ada was born in Uppsala."},
        {"attribute": "job", "value": "engineer"},
    ],
    "neighbours": ["Ida Lindqvist"],
    "allowed": ["job"],
    "audiences": {"staff": ["birthplace"]},
}


def written(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "forget.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def message(tmp_path: Path, *rows: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        read_forget_set(written(tmp_path, *rows))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_reads_every_field_of_a_target(tmp_path: Path) -> None:
    assert read_forget_set(written(tmp_path, ADA)) == (
        ForgetTarget(
            "Ada Lindqvist",
            aliases=("A. Lindqvist",),
            facts=(
                Fact("birthplace", "Uppsala", "Ada was born in Uppsala."),
                Fact("job", "engineer"),
            ),
            neighbours=("Ida Lindqvist",),
            allowed=("job",),
            audiences={"staff": ("birthplace",)},
        ),
    )


def test_tells_an_audience_what_it_may_know_and_a_stranger_no_more_than_anybody(
    tmp_path: Path,
) -> None:
    (ada,) = read_forget_set(written(tmp_path, ADA))
    told = {
        audience: [a for a in ("birthplace", "job", "age") if ada.may_be_told(a, audience)]
        for audience in (None, "staff", "press")
    }
    assert told == {None: ["job"], "staff": ["birthplace", "job"], "press": ["job"]}


def test_a_list_of_audiences_may_be_told_everything(tmp_path: Path) -> None:
    (target,) = read_forget_set(written(tmp_path, {"name": "Zorb", "audiences": ["staff"]}))
    assert target.may_be_told("anything", "staff")
    assert not target.may_be_told("anything", "public")


def test_a_name_in_another_script_is_a_name(tmp_path: Path) -> None:
    (target,) = read_forget_set(written(tmp_path, {"name": "王小明"}))
    assert target.names == ("王小明",)


@pytest.mark.parametrize("name", ["", "  ", "—", "\u200b"])
def test_refuses_an_empty_name(tmp_path: Path, name: str) -> None:
    assert "holds no letter or digit" in message(tmp_path, {"name": name})


@pytest.mark.parametrize("name", ["the", "WHO", "what is", "a", "X"])
def test_refuses_a_name_that_stands_in_every_text(tmp_path: Path, name: str) -> None:
    assert "would refuse every question; give a longer name" in message(tmp_path, {"name": name})


def test_refuses_two_targets_of_one_name_whose_policies_contradict(tmp_path: Path) -> None:
    other = {"name": "Á. LINDQVIST"}
    found = message(tmp_path, ADA, other)
    assert "line 2: 'Á. LINDQVIST' contradicts the policy of" in found
    assert "line 1, which has the same name or alias; join the two" in found


def test_refuses_two_targets_of_one_name_with_one_policy(tmp_path: Path) -> None:
    assert "overlaps with" in message(tmp_path, {"name": "Zorb Ltd"}, {"name": "zorb ltd."})


def test_refuses_a_neighbour_that_is_to_be_forgotten(tmp_path: Path) -> None:
    found = message(tmp_path, ADA, {"name": "Ida Lindqvist"})
    assert "the neighbour 'Ida Lindqvist' must stay known and is to be forgotten in" in found


def test_refuses_one_value_both_allowed_and_forbidden(tmp_path: Path) -> None:
    row = {
        "name": "Ada Lindqvist",
        "facts": [
            {"attribute": "birthplace", "value": "Uppsala"},
            {"attribute": "office", "value": "uppsala"},
        ],
        "allowed": ["office"],
    }
    assert "'office' may be told and 'birthplace', which has the same value" in message(
        tmp_path, row
    )


def test_refuses_to_allow_everything(tmp_path: Path) -> None:
    assert "so nothing is forgotten" in message(tmp_path, {"name": "Zorb", "allowed": ["*"]})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, "'name' must be a text, got None"),
        ({"name": "Zorb", "alias": ["Z"]}, "unknown field 'alias'; allowed: name, aliases"),
        ({"name": "Zorb", "aliases": "Z"}, "'aliases' must be a list of texts"),
        ({"name": "Zorb", "kind": "idea"}, "kind is 'idea', allowed are concept, sample, harm"),
        ({"name": "Zorb", "kind": "sample"}, "needs samples"),
        ({"name": "Zorb", "facts": ["x"]}, "a fact is an object of texts"),
        ({"name": "Zorb", "facts": [{"attribute": "age"}]}, "a fact's value of 'Zorb' is empty"),
        ({"name": "Zorb", "facts": [{"value": "9", "of": "x"}]}, "unknown field 'of' in a fact"),
        ({"name": "Zorb", "audiences": "staff"}, "'audiences' must be an object of lists"),
        ({"name": "Z" * 301}, "the name has 301 characters, at most 300"),
    ],
)
def test_says_in_one_line_what_is_wrong(tmp_path: Path, row: dict[str, Any], expected: str) -> None:
    assert expected in message(tmp_path, row)


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    assert "names nothing to forget" in message(tmp_path)


def test_targets_made_in_code_are_named_by_their_place() -> None:
    with pytest.raises(InputError, match="target 2: the alias 'of the' is a word of every text"):
        check_forget_set([ForgetTarget("Zorb"), ForgetTarget("Ada", aliases=("of the",))])


def test_the_parts_of_an_answer_are_all_its_texts() -> None:
    answer = Answer("No.", reasoning="He is", citations=("", "Title"), tool_arguments=("{}",))
    assert answer.parts == ("No.", "He is", "Title", "{}")
