from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.forget import apply_plan, plan_forget, read_plan, undo, write_plan
from ragshield.forget.saved.history import selection_digest
from ragshield.forget.saved.sealing import read_keys
from ragshield.forget.saved.snapshot import (
    Saved,
    SavedPart,
    likeness,
    read_snapshot,
    write_snapshot,
)
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MutableMemoryStore
from ragshield.stores.url import open_store

KEY = bytes(range(32))
TARGETS = ["ada-1", "ada-2", "ada-middle", "ada-last", "filler-7"]
GONE = {*TARGETS, "ada-copy"}


@pytest.fixture
def chroma_url(tmp_path: Path, town) -> str:
    import chromadb

    client = chromadb.PersistentClient(str(tmp_path / "db"))
    collection = client.create_collection("docs", embedding_function=None)
    collection.add(
        ids=[p.id for p in town.passages],
        documents=[p.text for p in town.passages],
        metadatas=[{**p.meta, "source": p.source} for p in town.passages],
        embeddings=list(town.vectors),
    )
    client.close()  # one process at a time may write to the database
    return f"chroma:{tmp_path / 'db'}#docs"


@pytest.fixture(params=["jsonl", "chroma"])
def url(request) -> str:
    return request.getfixturevalue(f"{request.param}_url")


def planned(url: str, folder: Path) -> Path:
    with open_store(url) as store:
        write_plan(plan_forget(store, ids=TARGETS), folder / "plan.json")
    return folder / "plan.json"


def test_what_was_planned_goes_and_comes_back_bit_for_bit(url, tmp_path, contents) -> None:
    before, path = contents(url), planned(url, tmp_path)
    done = apply_plan(path)
    assert (done.n_deleted, done.n_left, done.resumed, done.already) == (6, 52, False, False)
    assert contents(url) == {k: v for k, v in before.items() if k not in GONE}
    back = undo(path)
    assert (back.n_restored, back.n_present, back.n_left, back.already) == (6, 0, 58, False)
    assert contents(url) == before


def test_doing_either_twice_does_it_once(jsonl_url, tmp_path, contents) -> None:
    before, path = contents(jsonl_url), planned(jsonl_url, tmp_path)
    apply_plan(path)
    after = contents(jsonl_url)
    again = apply_plan(path)
    assert (again.already, again.n_deleted) == (True, 6)
    assert contents(jsonl_url) == after
    undo(path)
    assert undo(path).already
    assert contents(jsonl_url) == before
    assert apply_plan(path).n_deleted == 6  # a new round
    assert contents(jsonl_url) == after


def test_review_items_go_only_when_included(jsonl_url, tmp_path, contents) -> None:
    path = planned(jsonl_url, tmp_path)
    before = set(contents(jsonl_url))
    assert apply_plan(path, include_review=True).n_deleted == 7
    assert before - set(contents(jsonl_url)) == GONE | {"para"}
    undo(path)
    assert set(contents(jsonl_url)) == before


def test_the_snapshot_is_private_and_holds_what_goes(jsonl_url, tmp_path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    done = apply_plan(planned(jsonl_url, tmp_path), snapshot_dir=folder)
    assert done.snapshot.resolve().parent == folder
    assert stat.S_IMODE(done.snapshot.stat().st_mode) == 0o600
    assert b"Tannow" not in done.snapshot.read_bytes()
    key = tmp_path / "plan.json.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    sha256 = hashlib.sha256(done.snapshot.read_bytes()).hexdigest()
    saved = read_snapshot(done.snapshot, sha256, read_keys(key).key)
    assert {p.id for p in saved.passages} == GONE
    undo(tmp_path / "plan.json")


def test_a_passage_that_changed_since_the_plan_stops_it(jsonl_url, tmp_path, contents) -> None:
    path = planned(jsonl_url, tmp_path)
    file = Path(jsonl_url.removeprefix("jsonl:"))
    file.write_text(file.read_text().replace("fill four boxes", "fill five boxes"))
    before = contents(jsonl_url)
    with pytest.raises(InputError, match=r"1 passages have changed since .*'ada-middle'; plan"):
        apply_plan(path)
    assert contents(jsonl_url) == before


def test_a_passage_that_is_gone_stops_it(jsonl_url, tmp_path) -> None:
    path = planned(jsonl_url, tmp_path)
    with open_store(jsonl_url, writable=True) as store:
        store.delete(["ada-2"])
    with pytest.raises(InputError, match=r"1 passages of the plan are no longer in .*'ada-2'"):
        apply_plan(path)


def test_a_plan_edited_between_two_runs_is_refused(jsonl_url, tmp_path) -> None:
    path = planned(jsonl_url, tmp_path)
    apply_plan(path)
    record = json.loads(path.read_text())
    record["items"][0]["selected"] = False
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="selects other passages than when it was first applied"):
        apply_plan(path)
    assert undo(path).n_restored == 6  # the snapshot decides, not the edited plan


def test_undo_without_apply_is_an_error(jsonl_url, tmp_path) -> None:
    path = planned(jsonl_url, tmp_path)
    with pytest.raises(UsageError, match=r"plan\.json was never applied"):
        undo(path)
    assert not (tmp_path / "plan.json.journal").exists()


def test_undo_refuses_ids_that_others_took_and_adds_nothing(
    jsonl_url, tmp_path, contents, word_encoder
) -> None:
    path = planned(jsonl_url, tmp_path)
    apply_plan(path)
    with open_store(jsonl_url, writable=True) as store:
        store.add(Batch((Passage("ada-2", "New text."),), word_encoder.encode(["New text."])))
    before = contents(jsonl_url)
    with pytest.raises(InputError, match=r"1 ids exist with other content .*'ada-2'"):
        undo(path)
    assert contents(jsonl_url) == before


def test_a_damaged_snapshot_restores_nothing(jsonl_url, tmp_path, contents) -> None:
    path = planned(jsonl_url, tmp_path)
    snapshot = apply_plan(path).snapshot
    content = bytearray(snapshot.read_bytes())
    content[len(content) // 2] ^= 1
    snapshot.write_bytes(content)
    before = contents(jsonl_url)
    with pytest.raises(InputError, match="is damaged"):
        undo(path)
    assert contents(jsonl_url) == before


def test_an_unwritable_snapshot_folder_deletes_nothing(jsonl_url, tmp_path, contents) -> None:
    path, before = planned(jsonl_url, tmp_path), contents(jsonl_url)
    with pytest.raises(UsageError, match=r"the folder .* does not exist"):
        apply_plan(path, snapshot_dir=tmp_path / "nowhere")
    assert contents(jsonl_url) == before


def test_a_plan_needs_a_file_a_selection_and_its_own_store(town, tmp_path) -> None:
    store = MutableMemoryStore("memory:town", town)
    plan = plan_forget(store, ids=TARGETS)
    with pytest.raises(UsageError, match="the plan has no file"):
        apply_plan(plan, store=store)
    plan = write_plan(plan, tmp_path / "p.json")
    with pytest.raises(UsageError, match="made for memory:town, not for memory:other"):
        apply_plan(plan, store=MutableMemoryStore("memory:other", town))
    record = json.loads((tmp_path / "p.json").read_text())
    for item in record["items"]:
        item["selected"] = False
    (tmp_path / "p.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="the plan selects nothing"):
        apply_plan(tmp_path / "p.json", store=store)


def test_an_applied_plan_file_is_not_overwritten(jsonl_url, tmp_path) -> None:
    path = planned(jsonl_url, tmp_path)
    apply_plan(path)
    with open_store(jsonl_url) as store:
        again = plan_forget(store, ids=["filler-1"])
    with pytest.raises(UsageError, match=r"was applied, and .* leads back"):
        write_plan(again, path)


def test_a_store_that_keeps_or_loses_too_much_is_incomplete(town, tmp_path) -> None:
    class Keeping(MutableMemoryStore):
        def delete(self, ids):
            return super().delete(list(ids)[1:])

    class Losing(MutableMemoryStore):
        def delete(self, ids):
            return super().delete([*ids, "brackwater"])

    keeping = Keeping("memory:town", town)
    plan = write_plan(plan_forget(keeping, ids=TARGETS), tmp_path / "keeping.json")
    with pytest.raises(IncompleteError, match="1 of 6 passages are still in the store: 'ada-1'"):
        apply_plan(plan, store=keeping)
    losing = Losing("memory:town", town)
    plan = write_plan(plan_forget(losing, ids=TARGETS), tmp_path / "losing.json")
    with pytest.raises(IncompleteError, match="the store holds 51 where 52 should be left"):
        apply_plan(plan, store=losing)
    assert undo(plan, store=losing).n_restored == 6


def test_a_snapshot_keeps_vectors_and_broken_text_exactly(tmp_path: Path) -> None:
    passages = (
        Passage(
            "a\u2028", "\ud800 \x00 line\r\nend", None, {"n": 1, "f": 0.1, "b": True, "z": None}
        ),
        Passage("b", "", "web"),
    )
    vectors = np.array([[1e-45, np.nan, -0.0], [np.inf, 1 / 3, 3.4e38]], dtype=np.float32)
    other = SavedPart("memory:b", Batch(passages[:1], None), 3, {"target": {"ids": ["x"]}})
    saved = Saved((SavedPart("memory:a", Batch(passages, vectors), 7), other), {"f": "content"})
    sha256 = write_snapshot(saved, tmp_path / "s", KEY)
    back = read_snapshot(tmp_path / "s", sha256, KEY)
    first, second = back.parts
    assert first.batch.passages == passages
    assert first.batch.vectors is not None
    assert first.batch.vectors.tobytes() == vectors.tobytes()
    assert (first.url, first.n_before, first.probes) == ("memory:a", 7, {})
    assert (second.batch.vectors, second.n_before, second.probes) == (None, 3, other.probes)
    assert back.files == {"f": "content"}


def old_snapshot(batch: Batch, path: Path) -> str:
    """A snapshot as ragshield 0.1 wrote it: unencrypted lines."""
    lines = [{"schema": "ragshield-snapshot", "version": 1, "n": len(batch), "dim": 64}]
    for p, row in zip(batch.passages, batch.vectors, strict=True):
        vector = base64.b64encode(row.astype("<f4").tobytes()).decode()
        one = {"id": p.id, "text": p.text, "source": p.source, "meta": dict(p.meta)}
        lines.append({**one, "vector": vector})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("deleted", [False, True])
def test_a_plan_that_an_older_version_applied_is_undone_or_finished(
    jsonl_url, tmp_path, contents, deleted
) -> None:
    before, path = contents(jsonl_url), planned(jsonl_url, tmp_path)
    with open_store(jsonl_url, writable=True) as store:
        batch = store.get(sorted(GONE))
        sha256 = old_snapshot(batch, tmp_path / "plan.json.snapshot")
        if deleted:
            store.delete(sorted(GONE))
    plan = read_plan(path)
    steps = [
        {"schema": "ragshield-forget-journal/1"},
        {"step": "begun", "selection": selection_digest(plan, plan.selected)},
        {"step": "snapshot", "path": "plan.json.snapshot", "sha256": sha256, "n_before": 58},
        *([{"step": "verified"}] if deleted else []),
    ]
    journal = tmp_path / "plan.json.journal"
    journal.write_text("".join(json.dumps(step) + "\n" for step in steps))
    done = apply_plan(path)
    assert (done.n_deleted, done.n_left) == (6, 52)
    # What nobody looked for before it was deleted cannot be shown to be gone.
    assert done.verdict != "ERASED" if deleted else done.verdict in ("ERASED", "UNSUPPORTED")
    assert undo(path).n_restored == 6
    assert contents(jsonl_url) == before


def test_likeness_tells_rounding_from_another_vector() -> None:
    passages = (Passage("a", "x"), Passage("b", "y"), Passage("c", "z"), Passage("d", "w"))
    vectors = np.full((4, 3), 0.5, dtype=np.float32)
    other = vectors.copy()
    other[1] = np.nextafter(other[1], np.float32(1))
    other[2, 0] = 0.51
    changed = (*passages[:3], Passage("d", "v"))
    assert likeness(Batch(passages, vectors), Batch(changed, other)) == {
        "a": "same",
        "b": "close",
        "c": "other",
        "d": "other",
    }


KILL = {
    "apply": {
        "before the snapshot": "applying.write_snapshot = die",
        "snapshot written, not recorded": "applying.write_snapshot = then_die(write_snapshot)",
        "half deleted": "deleting.STEP = 2; store.delete = nth(2, store.delete)",
        "deleted, not recorded": "applying.others_left = die",
    },
    "undo": {
        "half added": "undoing.STEP = 2; store.add = nth(2, store.add)",
        "added, not recorded": "undoing._verify = die",
    },
}
SCRIPT = """
import os, signal, sys
from pathlib import Path
from ragshield.forget import applying, undoing
from ragshield.forget.erasure import deleting
from ragshield.forget.saved.snapshot import write_snapshot
from ragshield.stores.url import open_store

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def then_die(function):
    return lambda *args: (function(*args), die())

def nth(n, function):
    calls = []
    def call(*args):
        calls.append(1)
        return die() if len(calls) == n else function(*args)
    return call

command, url, path, injection = sys.argv[1:]
with open_store(url, writable=True) as store:
    exec(injection)
    {"apply": applying.apply_plan, "undo": undoing.undo}[command](Path(path), store=store)
"""


def killed(command: str, url: str, path: Path, injection: str) -> None:
    script = [sys.executable, "-c", textwrap.dedent(SCRIPT), command, url, str(path), injection]
    child = subprocess.run(script, capture_output=True, text=True, env=dict(os.environ))
    assert child.returncode == -signal.SIGKILL, child.stderr


@pytest.mark.slow
@pytest.mark.parametrize("point", KILL["apply"])
def test_an_apply_killed_anywhere_can_be_finished_or_taken_back(
    url, tmp_path, contents, point
) -> None:
    before, path = contents(url), planned(url, tmp_path)
    killed("apply", url, path, KILL["apply"][point])
    halfway = contents(url)
    deleted = {"before the snapshot": 0, "snapshot written, not recorded": 0, "half deleted": 2}
    assert len(before) - len(halfway) == deleted.get(point, 6)
    if deleted.get(point) == 0:
        with pytest.raises(UsageError, match=r"nothing of .* was deleted"):
            undo(path)
    else:
        assert undo(path).n_restored == deleted.get(point, 6)
        assert contents(url) == before
        killed("apply", url, path, KILL["apply"][point])
    done = apply_plan(path)
    assert done.resumed
    assert contents(url) == {k: v for k, v in before.items() if k not in GONE}
    assert undo(path).n_restored == 6
    assert contents(url) == before


@pytest.mark.slow
@pytest.mark.parametrize("point", KILL["undo"])
def test_an_undo_killed_anywhere_can_be_finished(url, tmp_path, contents, point) -> None:
    before, path = contents(url), planned(url, tmp_path)
    apply_plan(path)
    killed("undo", url, path, KILL["undo"][point])
    with pytest.raises(UsageError, match="an undo of this plan broke off; finish it first"):
        apply_plan(path)
    there = {"half added": 2, "added, not recorded": 6}[point]
    back = undo(path)
    assert (back.n_present, back.n_restored) == (there, 6 - there)
    assert contents(url) == before
