"""A scan that is killed and resumed finds what an undisturbed one finds."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ragshield.errors import InputError, UsageError
from ragshield.records import Batch, Passage
from ragshield.scanning import scan
from ragshield.stores.memory import MemoryStore, MutableMemoryStore
from ragshield.stores.url import open_store

Run = Callable[..., subprocess.CompletedProcess[str]]


def result(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# Reading, the first cells, the last cells, the screens and their judgement.
@pytest.mark.parametrize("kill_at", [2, 9, 16, 18, 22, 26])
def test_killed_anywhere_and_resumed_it_finds_the_same(
    planted_store: str, scan_process: Run, tmp_path: Path, kill_at: int
) -> None:
    whole = result(scan_process(planted_store, tmp_path / "whole"))
    assert whole["n"] == 1500
    assert len(whole["findings"]) >= 40
    assert whole["steps"] > 26
    killed = scan_process(planted_store, tmp_path / "work", kill_at=kill_at)
    assert killed.returncode == -9
    resumed = result(scan_process(planted_store, tmp_path / "work", resume=True))
    assert resumed["complete"]
    assert resumed["n"] == 1500
    assert resumed["findings"] == whole["findings"]
    assert resumed["recall"] == whole["recall"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again_it_ends_with_the_same(
    planted_store: str, scan_process: Run, tmp_path: Path, seed: int
) -> None:
    whole = result(scan_process(planted_store, tmp_path / "whole"))
    rng = random.Random(seed)
    for resume in (False, True, True, True):
        kill_at = rng.randint(1, 28)
        done = scan_process(planted_store, tmp_path / "work", kill_at=kill_at, resume=resume)
        assert done.returncode in {0, -9}, done.stderr
    last = result(scan_process(planted_store, tmp_path / "work", resume=True))
    assert last["findings"] == whole["findings"]


def test_what_was_cut_off_in_the_middle_of_a_write_is_read_again(
    planted_store: str, scan_process: Run, tmp_path: Path
) -> None:
    whole = result(scan_process(planted_store, tmp_path / "whole"))
    work = tmp_path / "work"
    scan_process(planted_store, work, kill_at=8)
    for name, n_lost in (("rows.bin", 13), ("vectors.f32", 1000), ("passages.jsonl", 20_000)):
        with (work / name).open("r+b") as file:
            file.truncate((work / name).stat().st_size - n_lost)
    resumed = result(scan_process(planted_store, work, resume=True))
    assert resumed["findings"] == whole["findings"]
    assert resumed["n"] == 1500


def test_a_store_that_changed_since_is_read_anew_from_there(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(90, 8)).astype(np.float32)
    passages = [Passage(f"p{i}", f"text {i}") for i in range(90)]

    class Breaking(MutableMemoryStore):
        def batches(self, size: int = 1024):
            yield from list(super().batches(size))[:6]
            raise OSError("gone")

    before = Breaking("memory:one")
    before.add(Batch(tuple(passages), vectors))
    report = scan(before, ["near-duplicates"], batch_size=10, workspace=tmp_path / "work")
    assert not report.complete
    assert report.n_passages == 60
    after = MutableMemoryStore("memory:one")
    passages[41] = Passage("p41", "other text")
    del passages[20]
    after.add(Batch(tuple(passages), np.delete(vectors, 20, axis=0)))
    resumed = scan(
        after, ["near-duplicates"], batch_size=10, workspace=tmp_path / "work", resume=True
    )
    assert resumed.complete
    assert resumed.n_passages == 89
    assert resumed.snapshot.passages(range(89)) == tuple(passages)
    expected = np.delete(vectors, 20, axis=0)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(resumed.snapshot.unit(range(89)), expected, atol=1e-6)
    assert "the store changed since the earlier scan: 40 passages were read anew" in resumed.notes


def test_a_finished_scan_is_resumed_without_reading_and_says_what_is_missing(
    tmp_path: Path,
) -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    store = MutableMemoryStore("memory:one")
    store.add(Batch(tuple(Passage(f"p{i}", f"text {i}") for i in range(40)), vectors))
    first = scan(store, ["near-duplicates"], workspace=tmp_path / "work")
    store.batches = None  # type: ignore[assignment,method-assign]
    again = scan(store, ["near-duplicates"], workspace=tmp_path / "work", resume=True)
    assert again.findings == first.findings
    assert again.complete
    store.delete(["p3"])
    late = scan(store, ["near-duplicates"], workspace=tmp_path / "work", resume=True)
    assert not late.complete
    assert late.problem is not None
    assert late.problem.startswith("the store holds 39 passages now, and 40 when")


def test_a_workspace_is_not_taken_over_by_accident(planted_store: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with open_store(planted_store) as store:
        scan(store, ["question-echo"], workspace=work)
        with pytest.raises(UsageError, match=r"holds an earlier scan: go on .* \(--resume\)"):
            scan(store, ["question-echo"], workspace=work)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "thesis.doc").touch()
        with pytest.raises(UsageError, match=r"holds other files \(thesis.doc"):
            scan(store, ["question-echo"], workspace=tmp_path / "other")
    other = MutableMemoryStore("memory:two")
    other.add(Batch((Passage("a", "x"),), np.ones((1, 4), dtype=np.float32)))
    with pytest.raises(InputError, match=r"is of jsonl:.*, not of memory:two"):
        scan(other, ["question-echo"], workspace=work, resume=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("workspace.json", b"{not json"),
        ("workspace.json", b'{"schema": "ragshield-scan-workspace/99"}'),
        ("rows.bin", b""),
        ("vectors.f32", b"\0" * 100),
        ("passages.jsonl", b"x" * 100),
    ],
    ids=["not-json", "other-version", "no-rows", "short-vectors", "short-texts"],
)
def test_a_damaged_workspace_is_refused_in_one_line(
    planted_store: str, tmp_path: Path, name: str, content: bytes
) -> None:
    work = tmp_path / "work"
    with open_store(planted_store) as store:
        scan(store, ["question-echo"], workspace=work)
        (work / name).write_bytes(content)
        with pytest.raises(InputError, match="is damaged") as caught:
            scan(store, ["question-echo"], workspace=work, resume=True)
    assert "\n" not in str(caught.value)
    assert str(work) in str(caught.value)


def test_texts_that_were_overwritten_are_noticed(planted_store: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with open_store(planted_store) as store:
        scan(store, ["question-echo"], workspace=work)
        size = (work / "passages.jsonl").stat().st_size
        (work / "passages.jsonl").write_bytes(b"x" * size)
        report = scan(store, ["question-echo"], workspace=work, resume=True)
    assert not report.complete
    assert "damaged" in (report.problem or "")


def test_resume_needs_a_workspace() -> None:
    with pytest.raises(UsageError, match="resume needs the workspace"):
        scan(MemoryStore(), resume=True)
