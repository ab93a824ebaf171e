from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragshield.errors import InputError, StoreError, UsageError
from ragshield.forget import plan_forget, read_plan, write_plan
from ragshield.forget.plans.file import content_hash
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MemoryStore, MutableMemoryStore


@pytest.fixture
def store(town) -> MemoryStore:
    return MemoryStore("memory:town", town)


def test_a_subject_takes_certain_mentions_and_lists_uncertain_ones(store) -> None:
    plan = plan_forget(store, subject="Ada Lindqvist")
    assert {i.passage_id: i.confidence for i in plan.selected} == {
        "ada-1": 1.0,
        "ada-2": 1.0,
        "ada-copy": 1.0,
    }
    review = {i.passage_id: i for i in plan.review}
    assert set(review) == {"ada-middle", "ada-last", "para"}
    assert review["ada-last"].reason == "mentions 'Lindqvist' alone"
    assert "may say the same" in review["para"].reason
    assert set(review["para"].related_to) <= {"ada-1", "ada-2", "ada-copy"}
    assert "bror" not in {i.passage_id for i in plan.items}


def test_ids_take_copies_along_and_list_paraphrases(store) -> None:
    plan = plan_forget(store, ids=["ada-1"])
    assert [(i.passage_id, i.reason) for i in plan.selected] == [
        ("ada-1", "named by id"),
        ("ada-copy", "the same text as a selected passage"),
    ]
    assert {"ada-2", "para"} == {i.passage_id for i in plan.review}


def test_nearest_neighbours_that_stay_are_named(store) -> None:
    plan = plan_forget(store, ids=["ada-1"])
    planned = {i.passage_id for i in plan.items}
    assert 0 < len(plan.at_risk) <= 10
    assert not planned & {n.passage_id for n in plan.at_risk}
    similarities = [n.similarity for n in plan.at_risk]
    assert similarities == sorted(similarities, reverse=True)


def test_planning_changes_nothing(town) -> None:
    store = MutableMemoryStore("memory:town", town)
    plan_forget(store, subject="Ada Lindqvist")
    (after,) = store.batches(1000)
    assert after.passages == town.passages
    np.testing.assert_array_equal(after.vectors, town.vectors)


def test_a_store_without_vectors_is_planned_by_words(town) -> None:
    class Plain(MemoryStore):
        def count(self) -> int:
            return len(town)

        def batches(self, size: int = 1024):
            yield Batch(town.passages, None)

        def get(self, ids):
            return Batch(tuple(p for p in town.passages if p.id in ids), None)

    plan = plan_forget(Plain(), ids=["ada-1"])
    assert [i.passage_id for i in plan.selected] == ["ada-1", "ada-copy"]


def test_nothing_that_matches_is_an_error(store) -> None:
    with pytest.raises(UsageError, match="no passage of memory:town mentions 'Nobody Known'"):
        plan_forget(store, subject="Nobody Known")


def test_unknown_ids_are_listed_and_refused_or_skipped(store) -> None:
    with pytest.raises(InputError, match="does not hold 2 of 3 ids: 'x', 'y'; correct them"):
        plan_forget(store, ids=["x", "ada-1", "y"])
    plan = plan_forget(store, ids=["x", "ada-1", "y"], skip_unknown=True)
    assert plan.unknown_ids == ("x", "y")
    assert plan.selected[0].passage_id == "ada-1"
    with pytest.raises(InputError, match="does not hold 1 of 1 ids"):
        plan_forget(store, ids=["x"], skip_unknown=True)


def test_more_than_half_of_the_store_needs_a_yes(store) -> None:
    ids = [f"filler-{i}" for i in range(30)]
    with pytest.raises(UsageError, match="would delete 30 of 58 passages, more than half"):
        plan_forget(store, ids=ids)
    assert len(plan_forget(store, ids=ids, allow_large=True).selected) == 30
    assert len(plan_forget(store, ids=ids[:29]).selected) == 29


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "say what to forget: ids, a filter, a text, a subject, or a sentence"),
        ({"ids": ["a"], "subject": "A"}, "or a subject; make two requests"),
        ({"ids": []}, "no ids given"),
        ({"ids": ["a"], "aliases": ["b"]}, "aliases belong to a subject"),
    ],
)
def test_what_to_forget_must_be_said_once(store, arguments, said) -> None:
    with pytest.raises(UsageError, match=said):
        plan_forget(store, **arguments)


def test_an_empty_store_is_an_error() -> None:
    with pytest.raises(StoreError, match="is empty: there is nothing to forget"):
        plan_forget(MemoryStore(), ids=["a"])


def test_a_plan_file_reads_back_as_it_was_written(store, tmp_path: Path) -> None:
    plan = write_plan(
        plan_forget(store, subject="Ada Lindqvist", aliases=["Rope Queen"]), tmp_path / "p.json"
    )
    assert read_plan(tmp_path / "p.json") == plan


def test_the_file_decides_what_is_selected(store, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    write_plan(plan_forget(store, subject="Ada Lindqvist"), path)
    record = json.loads(path.read_text())
    for item in record["items"]:
        item["selected"] = item["passage_id"] == "para"
    path.write_text(json.dumps(record))
    assert [i.passage_id for i in read_plan(path).selected] == ["para"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.update(schema="other"), "schema is 'other', expected 'ragshield-forget-plan'"),
        (
            lambda r: r.update(version=9),
            "plan version is 9, this ragshield reads 1 and 2; plan again",
        ),
        (lambda r: r.pop("items"), "'items' is missing"),
        (
            lambda r: r["items"][1].update(selected="yes"),
            r"'items\[1\].selected' is 'yes', expected bool",
        ),
        (lambda r: r["items"].append(r["items"][0]), "passage 'ada-1' is listed twice"),
        (
            lambda r: r["counts"].update(passages=True),
            "'passages' is True|'counts.passages' is True",
        ),
        (lambda r: r.update(items=["x"]), r"items\[0\] must be a JSON object"),
    ],
)
def test_a_malformed_plan_says_what_is_wrong(store, tmp_path: Path, change, said) -> None:
    path = tmp_path / "p.json"
    write_plan(plan_forget(store, subject="Ada Lindqvist"), path)
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=said):
        read_plan(path)


def test_a_plan_that_is_no_json_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"schema":\n oops}')
    with pytest.raises(InputError, match=r"p\.json, line 2: not JSON"):
        read_plan(tmp_path / "p.json")
    (tmp_path / "q.json").write_text("[1]")
    with pytest.raises(InputError, match="the file must be a JSON object"):
        read_plan(tmp_path / "q.json")


def test_the_content_hash_sees_text_source_and_metadata() -> None:
    passage = Passage("a", "text", "web", {"page": 1, "b": "x"})
    same = content_hash(replace(passage, id="b", meta={"b": "x", "page": 1}))
    assert content_hash(passage) == same
    others = [
        content_hash(replace(passage, text="texT")),
        content_hash(replace(passage, source=None)),
        content_hash(replace(passage, meta={"page": "1", "b": "x"})),
    ]
    assert len({same, *others}) == 4
