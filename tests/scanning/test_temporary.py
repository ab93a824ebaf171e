from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ragshield.records import Batch, Passage
from ragshield.scanning import scan, temporary
from ragshield.stores.memory import MemoryStore

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no locks that end with a process")

HOLD = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from ragshield.scanning.temporary import temporary_folder
folder, alive = temporary_folder()
print(folder, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_scan_left_is_deleted_and_what_a_running_one_uses_is_not(
    place: Path,
) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout is not None
    left = Path(other.stdout.readline().strip())
    (left / "texts").write_text("stored passages")
    temporary.delete_leftovers()
    assert (left / "texts").is_file()
    other.send_signal(signal.SIGKILL)
    other.wait()
    foreign = place / f"{temporary.PREFIX}without-a-lock"
    foreign.mkdir()
    folder, alive = temporary.temporary_folder()
    with alive:
        assert not left.exists()
        assert foreign.is_dir()
        assert folder.is_dir()


def test_a_report_keeps_its_folder_until_it_is_closed(place: Path, word_encoder) -> None:
    texts = [f"passage number {i} about a bridge and a mill" for i in range(5)]
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(texts))
    store = MemoryStore("memory:", Batch(passages, word_encoder.encode(texts)))
    with scan(store, ["question-echo"]) as report:
        temporary.delete_leftovers()
        (folder,) = place.glob(f"{temporary.PREFIX}*")
        assert report.snapshot is not None
        assert len(report.snapshot.passages([0, 4])) == 2
    assert not folder.exists()
