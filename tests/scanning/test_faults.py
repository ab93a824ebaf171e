"""What goes wrong around a scan is said, and what was read before is judged."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ragshield.errors import IncompleteError, StoreError
from ragshield.records import Batch, Passage
from ragshield.scanning import scan
from ragshield.snapshot import neighbours, spool
from ragshield.stores.chroma import create_chroma
from ragshield.stores.memory import MutableMemoryStore
from ragshield.stores.url import open_store

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def batch_of(n: int, start: int = 0) -> Batch:
    rng = np.random.default_rng(start)
    passages = tuple(Passage(f"p{i}", f"text number {i}") for i in range(start, start + n))
    return Batch(passages, rng.normal(size=(n, 16)).astype(np.float32))


@pytest.fixture
def store() -> MutableMemoryStore:
    store = MutableMemoryStore("memory:docs")
    store.add(batch_of(60))
    return store


def temporary_folders() -> set[str]:
    import tempfile

    return {p.name for p in Path(tempfile.gettempdir()).glob("ragshield-scan-*")}


def test_a_disk_that_fills_up_keeps_what_was_read(store, monkeypatch) -> None:
    real = spool._write_all
    written = 0

    def write(file, data: bytes) -> None:
        nonlocal written
        written += len(data)
        if written > 4000:
            real(file, data[: len(data) // 2])
            raise FULL
        real(file, data)

    monkeypatch.setattr(spool, "_write_all", write)
    report = scan(store, ["near-duplicates"], batch_size=10)
    assert not report.complete
    assert report.n_passages == 20
    assert report.problem is not None
    assert report.problem.startswith("only 20 of 60 passages could be kept: the workspace")
    assert "No space left on device" in report.problem
    assert report.snapshot is not None
    assert [p.id for p in report.snapshot.passages(range(20))] == [f"p{i}" for i in range(20)]


def test_a_disk_that_is_full_from_the_start_is_an_error_and_leaves_nothing(
    store, monkeypatch
) -> None:
    def write(file, data: bytes) -> None:
        raise FULL

    before = temporary_folders()
    monkeypatch.setattr(spool, "_write_all", write)
    with pytest.raises(IncompleteError, match=r"No space left .* make room there"):
        scan(store, ["near-duplicates"])
    assert temporary_folders() <= before


def test_without_room_for_neighbours_the_other_screens_still_judge(store, monkeypatch) -> None:
    def refuse(*args: object) -> None:
        raise FULL

    store.add(Batch((Passage("q", "Who built it? Per built it."),), np.ones((1, 16), np.float32)))
    monkeypatch.setattr(neighbours, "_table", refuse)
    report = scan(store, ["near-duplicates", "instructions"])
    assert not report.complete
    assert report.screens == ("instructions",)
    assert "the neighbours could not be found" in (report.problem or "")
    assert "near-duplicates did not run" in (report.problem or "")


LIMITED = """
import resource, signal, sys
from pathlib import Path
from ragshield.scanning import scan
from ragshield.stores.url import open_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
with open_store(sys.argv[1]) as store:
    report = scan(store, ["question-echo"], batch_size=100, workspace=Path(sys.argv[2]))
print(report.n_passages, report.complete, report.problem)
"""


def test_a_limit_on_file_size_is_met_the_same_way(planted_store: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, planted_store, str(tmp_path / "work")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("400 False only 400 of 1500 passages could be kept")
    with open_store(planted_store) as store:
        resumed = scan(store, ["question-echo"], workspace=tmp_path / "work", resume=True)
    assert (resumed.complete, resumed.n_passages) == (True, 1500)


def test_passages_that_come_during_the_scan_are_counted_as_not_judged(store) -> None:
    class Busy(MutableMemoryStore):
        def batches(self, size: int = 1024) -> Iterator[Batch]:
            yield from super().batches(size)
            self.add(batch_of(7, start=100))

    busy = Busy("memory:docs")
    busy.add(batch_of(60))
    report = scan(busy, ["near-duplicates"])
    assert not report.complete
    assert report.n_passages == 60
    assert report.problem is not None
    assert report.problem.startswith("7 passages came while the store was read and were not judged")


def test_a_chroma_store_whose_index_is_damaged_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "db"
    create_chroma(path, "docs", [batch_of(1100, start=1100 * i) for i in range(3)]).close()
    segments = [p for p in path.iterdir() if p.is_dir()]
    assert segments
    for file in segments[0].iterdir():
        file.write_bytes(b"\x00\xff" * 50)
    with open_store(f"chroma:{path}#docs") as store, pytest.raises(StoreError) as caught:
        scan(store, ["near-duplicates"])
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    shutil.rmtree(path)


def test_a_screen_that_fails_does_not_lose_the_others(store) -> None:
    class Broken:
        name = "broken"

        def screen(self, batch: Batch) -> list[object]:
            raise ValueError("no such colour\nsecond line")

    report = scan(store, [Broken(), "question-echo", "near-duplicates"])
    assert not report.complete
    assert report.screens == ("question-echo", "near-duplicates")
    assert report.problem == "screen 'broken' failed: ValueError: no such colour"


def test_two_scans_do_not_share_a_workspace(store, tmp_path: Path) -> None:
    from ragshield.errors import UsageError
    from ragshield.scanning.reading import held

    (tmp_path / "work").mkdir()
    with held(tmp_path / "work"), pytest.raises(UsageError, match="is in use by another scan"):
        scan(store, ["near-duplicates"], workspace=tmp_path / "work")


def test_a_temporary_workspace_is_gone_when_the_report_is_closed(store) -> None:
    with scan(store, ["near-duplicates"]) as report:
        assert report.snapshot is not None
        folder = report.snapshot.folder
        assert folder.is_dir()
        assert report.snapshot.rows_of(["p7", "nobody"]) == [7, None]
    assert not folder.exists()
    report.close()


def test_a_forgotten_report_leaves_no_workspace(store) -> None:
    report = scan(store, ["near-duplicates"])
    assert report.snapshot is not None
    folder = report.snapshot.folder
    del report
    assert not folder.exists()
