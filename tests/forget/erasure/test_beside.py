"""What a plan selects beside the store goes with it and comes back with it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ragshield.forget import apply_plan, plan_forget, undo, write_plan
from ragshield.forget.artefacts.places import place
from ragshield.forget.ending import finish
from ragshield.proof import new_key, read_certificate
from ragshield.stores.url import open_store


@pytest.fixture
def beside(jsonl_url, town, tmp_path) -> dict[str, Path]:
    """A docstore, a record manager and a parent store that hold what the store holds."""
    texts = {p.id: p.text for p in town.passages}
    docstore = tmp_path / "docstore.json"
    data = {
        key: {"__data__": {"id_": key, "text": text, "metadata": {}}, "__type__": "1"}
        for key, text in texts.items()
    }
    docstore.write_text(json.dumps({"docstore/data": data}))
    records = tmp_path / "records.sqlite"
    with closing(sqlite3.connect(records)) as database:
        database.execute(
            "CREATE TABLE upsertion_record (uuid TEXT PRIMARY KEY, key TEXT, namespace TEXT, "
            "group_id TEXT, updated_at REAL)"
        )
        rows = [(f"uuid-{key}", key, "docs", f"{key}.txt", 1.0) for key in texts]
        database.executemany("INSERT INTO upsertion_record VALUES (?, ?, ?, ?, ?)", rows)
        database.commit()
    parents = tmp_path / "parents"
    parents.mkdir()
    for key, text in texts.items():
        (parents / key).write_text(json.dumps({"kwargs": {"page_content": text}}))
    return {"docstore": docstore, "record-manager": records, "parent-store": parents}


def planned(url: str, beside: dict[str, Path], folder: Path) -> Path:
    with open_store(url) as store:
        places = [place(f"{kind}:{path}") for kind, path in beside.items()]
        made = plan_forget(store, ids=["ada-middle", "filler-10"], also=places)
        write_plan(made, folder / "plan.json")
    return folder / "plan.json"


def state(beside: dict[str, Path]) -> dict[str, object]:
    with closing(sqlite3.connect(beside["record-manager"])) as database:
        records = {key for (key,) in database.execute("SELECT key FROM upsertion_record")}
    return {
        "docstore": set(json.loads(beside["docstore"].read_text())["docstore/data"]),
        "record-manager": records,
        "parent-store": {path.name for path in beside["parent-store"].iterdir()},
    }


def test_entries_beside_the_store_go_with_it_and_come_back(
    jsonl_url, beside, tmp_path, contents
) -> None:
    before, passages = state(beside), contents(jsonl_url)
    path = planned(jsonl_url, beside, tmp_path)
    done = apply_plan(path)
    assert done.n_deleted == 2
    for kind, keys in state(beside).items():
        assert before[kind] - keys == {"ada-middle", "filler-10"}, kind
    for file in [beside["docstore"], *beside["parent-store"].iterdir()]:
        assert "four boxes" not in file.read_text()
    found = {p["name"].rsplit(" ", 1)[0]: p for p in done.places if "kind" in p}
    assert set(found) == set(beside)
    assert [row["verdict"] for row in found["docstore"]["surfaces"]].count("RESIDUAL") == 0
    assert {row["verdict"] for row in found["docstore"]["surfaces"]} >= {"ERASED"}
    assert done.verdict == "ERASED"
    back = undo(path)
    assert (back.n_restored, back.notes) == (2, ())
    assert state(beside) == before
    assert contents(jsonl_url) == passages


def test_the_certificate_has_a_verdict_on_each_place(jsonl_url, beside, tmp_path) -> None:
    path = planned(jsonl_url, beside, tmp_path)
    apply_plan(path)
    finish([path], final=True, certificate=tmp_path / "c.json", signing_key=new_key())
    content = read_certificate(tmp_path / "c.json").content
    names = [p["name"] for p in content["places"]]
    assert names[0] == "store 1"
    assert names[-1] == "ragshield's own copies"
    assert {name.rsplit(" ", 1)[0] for name in names[1:-1]} == set(beside)
    assert "four boxes" not in (tmp_path / "c.json").read_text()
    assert "ada-middle" not in (tmp_path / "c.json").read_text()


def test_a_file_that_somebody_changed_since_is_left_alone_by_undo(
    jsonl_url, beside, tmp_path
) -> None:
    path = planned(jsonl_url, beside, tmp_path)
    apply_plan(path)
    record = json.loads(beside["docstore"].read_text())
    record["docstore/data"]["new"] = {"__data__": {"id_": "new", "text": "New."}}
    beside["docstore"].write_text(json.dumps(record))
    back = undo(path)
    (note,) = back.notes
    assert "docstore.json was changed since and was left alone" in note
    assert "new" in state(beside)["docstore"]
    assert "ada-middle" in state(beside)["parent-store"]


def test_what_is_still_there_is_residue(jsonl_url, beside, tmp_path, monkeypatch) -> None:
    path = planned(jsonl_url, beside, tmp_path)
    monkeypatch.setattr("ragshield.forget.erasure.beside.remove", lambda artefacts: ())
    done = apply_plan(path)
    assert done.verdict == "RESIDUAL"
    assert any("RESIDUAL" in reason and "docstore" in reason for reason in done.reasons)
