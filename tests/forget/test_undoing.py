"""What `undo` tells the reingest guard: this plan lets it in, what others erased stays out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ragshield.forget import apply_plan, plan_forget, undo, write_plan
from ragshield.forget.saved.rounds import Round
from ragshield.records import Passage
from ragshield.reingest import ReingestGuard
from ragshield.stores.url import open_store

FREE = "Rain falls on two hundred days a year along this coast."


def planned(url: str, path: Path, *ids: str) -> Path:
    with open_store(url) as store:
        write_plan(plan_forget(store, ids=list(ids)), path)
    return path


def ids_in(url: str) -> set[str]:
    with open_store(url) as store:
        return {p.id for batch in store.batches() for p in batch.passages}


@pytest.fixture
def other_url(jsonl_url: str, tmp_path: Path) -> str:
    """A second store with the same passages."""
    shutil.copy(tmp_path / "docs.jsonl", tmp_path / "mirror.jsonl")
    return f"jsonl:{tmp_path / 'mirror.jsonl'}"


@pytest.fixture
def middle(town) -> Passage:
    return next(p for p in town.passages if p.id == "ada-middle")


@pytest.fixture
def guard(tmp_path: Path) -> ReingestGuard:
    return ReingestGuard(tmp_path / "never.json")


def test_what_another_plan_erased_in_another_store_stays_out(
    jsonl_url, other_url, tmp_path, middle, guard
) -> None:
    first = planned(jsonl_url, tmp_path / "first.json", "ada-middle", "filler-1")
    second = planned(other_url, tmp_path / "second.json", "ada-middle")
    apply_plan(first, reingest=guard.path)
    apply_plan(second, reingest=guard.path)
    assert len(guard) == 2
    done = undo(first)
    assert {"ada-middle", "filler-1"} <= ids_in(jsonl_url)
    assert "ada-middle" not in ids_in(other_url)
    assert guard.check(middle) is not None
    assert (len(guard), guard.check(FREE)) == (1, None)
    assert done.notes == (
        "1 of them would still be refused at ingest: another plan erased the same, "
        "or nearly (never.json)",
    )
    assert undo(second).notes == ()
    assert guard.check(middle) is None


def test_what_a_later_plan_erased_once_more_in_the_same_store_stays_out(
    jsonl_url, tmp_path, middle, guard
) -> None:
    backup = (tmp_path / "docs.jsonl").read_bytes()
    first = planned(jsonl_url, tmp_path / "first.json", "ada-middle")
    apply_plan(first, reingest=guard.path)
    (tmp_path / "docs.jsonl").write_bytes(backup)  # restored, past every guard
    second = planned(jsonl_url, tmp_path / "second.json", "ada-middle")
    apply_plan(second, reingest=guard.path)
    assert undo(first).n_restored == 1
    assert "ada-middle" in ids_in(jsonl_url)
    assert guard.check(middle) is not None
    assert undo(second).n_present == 1
    assert guard.check(middle) is None


def test_a_plan_remembered_twice_holds_once(jsonl_url, tmp_path, middle, guard) -> None:
    plan = planned(jsonl_url, tmp_path / "plan.json", "ada-middle")
    apply_plan(plan, reingest=guard.path)
    apply_plan(plan, reingest=guard.path)
    moved = tmp_path / "moved.json"
    guard.path.rename(moved)
    apply_plan(plan, reingest=moved)
    undo(plan)
    assert ReingestGuard(moved).check(middle) is None


def grow_old(guard: Path, journal: Path) -> None:
    """Take out of both files what older versions did not write."""
    record = json.loads(guard.read_text())
    for row in record["passages"]:
        del row["holders"]
    guard.write_text(json.dumps(record))
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        line.pop("held_by", None)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_files_of_an_older_version_are_obeyed_and_undone_as_before(
    jsonl_url, other_url, tmp_path, middle, guard
) -> None:
    old = planned(jsonl_url, tmp_path / "old.json", "ada-middle", "filler-1")
    apply_plan(old, reingest=guard.path)
    grow_old(guard.path, tmp_path / "old.json.journal")
    guard = ReingestGuard(guard.path)
    assert guard.check(middle) is not None
    new = planned(other_url, tmp_path / "new.json", "ada-middle")
    apply_plan(new, reingest=guard.path)
    undo(old)
    assert (len(guard), guard.check(middle) is None) == (1, False)
    undo(new)
    assert guard.check(middle) is None


def test_an_old_plan_remembered_again_is_let_in_by_its_undo(
    jsonl_url, tmp_path, middle, guard
) -> None:
    old = planned(jsonl_url, tmp_path / "old.json", "ada-middle")
    apply_plan(old, reingest=guard.path)
    grow_old(guard.path, tmp_path / "old.json.journal")
    apply_plan(old, reingest=guard.path)
    undo(old)
    assert ReingestGuard(guard.path).check(middle) is None


def test_what_a_new_plan_lets_in_an_older_one_still_keeps_out(
    jsonl_url, other_url, tmp_path, middle, guard
) -> None:
    old = planned(jsonl_url, tmp_path / "old.json", "ada-middle")
    apply_plan(old, reingest=guard.path)
    grow_old(guard.path, tmp_path / "old.json.journal")
    new = planned(other_url, tmp_path / "new.json", "ada-middle")
    apply_plan(new, reingest=guard.path)
    undo(new)
    assert ReingestGuard(guard.path).check(middle) is not None


@pytest.mark.parametrize("where", ["before the guard", "after the guard"])
def test_an_undo_that_broke_off_is_finished_and_takes_no_other_plan_with_it(
    jsonl_url, other_url, tmp_path, middle, guard, monkeypatch, where
) -> None:
    first = planned(jsonl_url, tmp_path / "first.json", "ada-middle")
    second = planned(other_url, tmp_path / "second.json", "ada-middle")
    apply_plan(first, reingest=guard.path)
    apply_plan(second, reingest=guard.path)
    note = Round.note

    def dies(one: Round, step, **evidence) -> None:
        if step == "undone":
            raise KeyboardInterrupt
        note(one, step, **evidence)

    def dead(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if where == "after the guard":
            patched.setattr(Round, "note", dies)
        else:
            patched.setattr(ReingestGuard, "remove", dead)
        with pytest.raises(KeyboardInterrupt):
            undo(first)
    undo(first)
    assert guard.check(middle) is not None
    undo(second)
    assert guard.check(middle) is None


def test_a_plan_that_broke_off_before_the_guard_knew_is_remembered_under_one_name(
    jsonl_url, tmp_path, middle, guard, monkeypatch
) -> None:
    plan = planned(jsonl_url, tmp_path / "plan.json", "ada-middle")

    def dead(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ReingestGuard, "add", dead)
        with pytest.raises(KeyboardInterrupt):
            apply_plan(plan, reingest=guard.path)
    apply_plan(plan, reingest=guard.path)
    (row,) = json.loads(guard.path.read_text())["passages"]
    assert len(row["holders"]) == 1
    undo(plan)
    assert guard.check(middle) is None
