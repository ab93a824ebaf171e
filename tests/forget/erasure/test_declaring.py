"""What no search reaches: seen to by the operator, who says so when it is done."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ragshield.errors import UsageError
from ragshield.forget import apply_plan, plan_forget, write_plan
from ragshield.forget.ending import finish
from ragshield.proof import new_key, read_certificate
from ragshield.records import Batch
from ragshield.stores.url import open_store

pytest.importorskip("faiss")

WORDS = "memory of programs"
GONE = ["filler-48", "filler-49"]
"""The last rows: without them no other row moves."""


@pytest.fixture
def folder(tmp_path: Path, town: Batch) -> Path:
    from ragshield.stores.faiss import create_faiss

    create_faiss(tmp_path / "town", town)
    shutil.copytree(tmp_path / "town", tmp_path / "loaded")
    return tmp_path / "town"


@pytest.fixture
def plan(folder: Path, tmp_path: Path) -> Path:
    with open_store(f"faiss:{folder}") as store:
        write_plan(plan_forget(store, ids=GONE), tmp_path / "plan.json")
    return tmp_path / "plan.json"


def saved_by_a_running_program(folder: Path, *names: str) -> None:
    """What a program does that has loaded the index before, and saves it."""
    for name in names:
        shutil.copy(folder.parent / "loaded" / name, folder / name)


def test_what_running_programs_hold_is_not_tested_until_somebody_answers_for_it(plan) -> None:
    first = apply_plan(plan)
    assert first.verdict == "NOT_TESTED"
    (place,) = first.untested
    assert place.startswith(f"{WORDS} that have the index loaded: until they restart")
    later = apply_plan(plan, out_of_scope=[WORDS])
    assert (later.already, later.verdict, later.untested) == (True, "ERASED", ())
    assert later.places[0]["exceptions"] == [place]
    # It stands: nobody has to say it twice.
    assert apply_plan(plan).verdict == "ERASED"


@pytest.mark.parametrize("words", ["backups", "", " "])
def test_words_that_describe_no_such_place_declare_nothing(plan, words: str) -> None:
    apply_plan(plan)
    again = apply_plan(plan, out_of_scope=[words])
    assert (again.verdict, len(again.untested)) == ("NOT_TESTED", 1)
    assert again.places[0]["exceptions"] == []


def test_the_certificate_names_what_was_declared_and_when_it_was_looked_at_last(
    plan, tmp_path
) -> None:
    apply_plan(plan)
    key = new_key()
    finish([plan], certificate=tmp_path / "before.json", signing_key=key)
    before = read_certificate(tmp_path / "before.json").content
    assert (before["verdict"]["stores"], before["exceptions"]) == ("NOT_TESTED", [])
    apply_plan(plan, out_of_scope=[WORDS])
    finish([plan], final=True, certificate=tmp_path / "after.json", signing_key=key)
    after = read_certificate(tmp_path / "after.json").content
    assert after["verdict"] == {"stores": "ERASED", "overall": "ERASED"}
    (exception,) = after["exceptions"]
    assert exception.startswith(f"store 1: {WORDS} that have the index loaded")
    assert exception.endswith("; declared out of scope by the operator")
    assert after["times"]["purged"] == before["times"]["purged"]
    assert after["times"]["scanned"] >= before["times"]["scanned"]


def test_vectors_that_a_program_wrote_back_before_its_restart_are_seen(plan, folder) -> None:
    assert apply_plan(plan).verdict == "NOT_TESTED"
    saved_by_a_running_program(folder, "index.faiss")
    again = apply_plan(plan, out_of_scope=[WORDS])
    assert (again.verdict, again.n_residual) == ("RESIDUAL", 2)
    assert again.reasons == ("RESIDUAL(2): index.faiss",)


def test_a_store_written_back_whole_is_no_erased_store_and_no_certificate_says_so(
    plan, folder, tmp_path
) -> None:
    apply_plan(plan)
    saved_by_a_running_program(folder, "index.faiss", "index.pkl")
    again = apply_plan(plan, out_of_scope=[WORDS])
    assert (again.verdict, again.n_deleted, len(again.untested)) == ("RESIDUAL", 0, 1)
    finish([plan], certificate=tmp_path / "cert.json", signing_key=new_key())
    content = read_certificate(tmp_path / "cert.json").content
    assert content["verdict"]["stores"] == "RESIDUAL"
    assert {
        "name": "stored passages",
        "kind": "passages",
        "verdict": "RESIDUAL",
        "n": 2,
        "why": "in the store again, added by others since",
    } in content["places"][0]["surfaces"]


def test_a_purge_that_was_switched_off_cannot_be_declared_away(plan) -> None:
    first = apply_plan(plan, purge=False, out_of_scope=["purging", WORDS])
    assert (first.verdict, first.untested) == ("NOT_TESTED", ())
    again = apply_plan(plan, out_of_scope=["purging", WORDS])
    assert (again.verdict, again.untested) == ("NOT_TESTED", ())


def test_what_was_made_final_stands(plan) -> None:
    apply_plan(plan)
    finish([plan], final=True)
    with pytest.raises(UsageError, match="made final"):
        apply_plan(plan, out_of_scope=[WORDS])
