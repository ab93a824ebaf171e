"""A purge that is cut off, refused, or disturbed: nothing is lost, and it says so."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from purged_stores import GONE, contents, delete_qdrant, docs, fill_jsonl, left, made

from ragshield.errors import IncompleteError, StoreError, UsageError
from ragshield.forget import purge_store
from ragshield.forget.purging import journal_path
from ragshield.journal import Journal


@pytest.mark.parametrize("kind", ["sqlite", "qdrant", "chroma"])
def test_on_a_full_disk_no_row_is_lost_and_the_next_call_finishes(
    kind, tmp_path, monkeypatch
) -> None:
    from ragshield.stores import chroma_purge_log

    url, batch, live = made(kind, tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        patch.setattr(chroma_purge_log, "pwrite", full)
        with pytest.raises(IncompleteError, match="No space left on device") as told:
            purge_store(url)
    assert "\n" not in str(told.value)
    assert contents(url) == live
    assert journal_path(url).exists()
    done = purge_store(url)
    assert done.resumed
    assert left(tmp_path, batch, GONE) == {"texts": 0, "vectors": 0}
    assert contents(url) == live
    assert not journal_path(url).exists()


def test_where_no_journal_can_be_written_nothing_is_touched(tmp_path, monkeypatch) -> None:
    url, _, live = made("sqlite", tmp_path)
    before = (tmp_path / "docs.sqlite").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(IncompleteError, match="No space left on device"):
            purge_store(url)
    assert (tmp_path / "docs.sqlite").read_bytes() == before
    assert contents(url) == live


def test_a_row_that_vanishes_meanwhile_is_noticed(tmp_path, monkeypatch) -> None:
    from ragshield.stores.qdrant_purge import QdrantPurge

    url, _, live = made("qdrant", tmp_path)
    purge = QdrantPurge.purge

    def spoiled(self: QdrantPurge, url: str, ids: object, **given: object) -> object:
        done = purge(self, url, (), **given)  # type: ignore[arg-type]
        delete_qdrant(tmp_path, [next(iter(live))])
        return done

    with monkeypatch.context() as patch:
        patch.setattr(QdrantPurge, "purge", spoiled)
        with pytest.raises(IncompleteError, match="295 before, 294 now; if another program wrote"):
            purge_store(url)
    done = purge_store(url)
    assert done.resumed
    assert "295 then, 294 now" in done.notes[0]
    assert not purge_store(url).resumed


def test_a_change_of_one_bit_of_a_vector_is_noticed(tmp_path) -> None:
    from ragshield.forget.purging import _live

    url = fill_jsonl(tmp_path, docs(9))
    before = _live([url], False)
    lines = (tmp_path / "docs.jsonl").read_text().splitlines()
    (tmp_path / "docs.jsonl").write_text("\n".join(lines[::-1]) + "\n")
    assert _live([url], False) == before
    row = json.loads(lines[4])
    row["vector"][3] = float(np.nextafter(np.float32(row["vector"][3]), np.float32(9)))
    lines[4] = json.dumps(row)
    (tmp_path / "docs.jsonl").write_text("\n".join(lines) + "\n")
    assert _live([url], False) != before


def test_a_store_in_use_a_strange_one_and_none_are_refused(tmp_path) -> None:
    url, _, live = made("qdrant", tmp_path)
    import qdrant_client

    client = qdrant_client.QdrantClient(path=str(tmp_path / "q"))
    with pytest.raises(StoreError, match="a Qdrant client has the folder open"):
        purge_store(url)
    assert not journal_path(url).exists()
    client.close()
    assert contents(url) == live
    for wrong in ("memory:docs", "docs", "oracle:db#docs"):
        with pytest.raises(UsageError, match="no store that can be purged"):
            purge_store(wrong)
    for missing in ("jsonl:none.jsonl", "chroma:none#docs", "chroma:none", "faiss:none"):
        with pytest.raises(StoreError):
            purge_store(missing.replace("none", f"{tmp_path}/none"))
    assert {path.name for path in tmp_path.iterdir()} == {"q"}


def test_the_journal_names_nothing_and_a_servers_lies_here(tmp_path, monkeypatch) -> None:
    kept: list[str] = []
    url, batch, _ = made("sqlite", tmp_path)
    path = journal_path(url)
    changing = Journal.changing

    def spy(self: Journal) -> object:
        kept.append(self.path.name)
        return changing(self)

    monkeypatch.setattr(Journal, "changing", spy)
    unlink = Path.unlink

    def keep(self: Path, **given: bool) -> None:
        if self == path:
            kept.append(self.read_text())
        unlink(self, **given)

    monkeypatch.setattr(Path, "unlink", keep)
    purge_store(url)
    name, content = kept
    assert name == ".docs.sqlite.ragshield-purge.journal"
    for private in (batch.passages[0].text, batch.passages[0].id, str(tmp_path)):
        assert private not in content
    server = "pgvector:postgresql://me:secret@host/db#docs"
    assert journal_path(server) == journal_path(server.replace("me:secret", "me"))
    assert journal_path(server).parent == Path()


SCRIPT = """
import os, signal, sys
from ragshield.forget import purge_store
from ragshield.registry import build
from ragshield.records import Spec
url, at, n = sys.argv[1], int(sys.argv[2]), 0
recipe = type(build(Spec("recipe", url.partition(":")[0])))
purge = recipe.purge
def watched(*given, **more):
    def watch(frame, event, argument):
        global n
        n += event == "c_call"
        if n == at > 0:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(watch)
    try:
        return purge(*given, **more)
    finally:
        sys.setprofile(None)
recipe.purge = watched
purge_store(url)
print(n)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("kind", ["chroma", "sqlite", "qdrant", "lancedb"])
def test_killed_anywhere_no_row_is_lost_and_the_next_call_finishes(kind, tmp_path) -> None:
    original = tmp_path / "original"
    original.mkdir()
    url, batch, live = made(kind, original)

    def run(name: str, at: int) -> tuple[Path, str, subprocess.CompletedProcess[str]]:
        folder = tmp_path / name
        shutil.copytree(original, folder)
        there = url.replace(str(original), str(folder))
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, there, str(at)],
            capture_output=True,
            text=True,
            env=dict(os.environ, OMP_NUM_THREADS="1"),
        )
        return folder, there, done

    whole = run("whole", 0)[2]
    assert whole.returncode == 0, whole.stderr
    n_calls = int(whole.stdout)
    for at in sorted(random.Random(3).sample(range(1, n_calls), 5)):
        folder, there, done = run(f"at-{at}", at)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert contents(there) == live, f"killed at call {at} of {n_calls}"
        again = purge_store(there)
        assert again.resumed
        assert left(folder, batch, GONE) == {"texts": 0, "vectors": 0}, f"killed at call {at}"
        assert contents(there) == live
        assert not journal_path(there).exists()
