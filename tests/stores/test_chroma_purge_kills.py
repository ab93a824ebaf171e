from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.records import Batch, Passage
from ragshield.stores.chroma import create_chroma
from ragshield.stores.chroma_purge import ChromaPurge

DIM = 16
GONE = (3, 400, 1290)
IDS = [f"doc-{i}" for i in GONE]

# Kills itself before the n-th write to disk or statement of SQLite, so that every step
# of a purge is cut off somewhere; 0 = never, and says how many there were.
PURGE = """
import os, signal, sqlite3, sys
from ragshield.stores import chroma_purge_index as index, chroma_purge_log as log
from ragshield.stores.chroma_purge import ChromaPurge
url, last, ids = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
n = 0
def step(*_):
    global n
    n += 1
    if n == last:
        os.kill(os.getpid(), signal.SIGKILL)
def counted(call):
    return lambda *args: (step(), call(*args))[1]
os.fsync, os.pwrite, os.replace = map(counted, (os.fsync, os.pwrite, os.replace))
log.fsync, log.pwrite = os.fsync, os.pwrite
connect = sqlite3.connect
def traced(*args, **kwargs):
    database = connect(*args, **kwargs)
    database.set_trace_callback(step)
    return database
sqlite3.connect = traced
print("go", flush=True)
ChromaPurge().purge(url, ids)
print(n)
"""


def _docs(n: int) -> Batch:
    rng = np.random.default_rng(1)
    passages = tuple(
        Passage(f"doc-{i}", f"row {i}: {rng.bytes(25).hex()}", None, {"n": i}) for i in range(n)
    )
    return Batch(passages, rng.standard_normal((n, DIM)).astype(np.float32))


def _read(url: str) -> tuple[dict[str, Passage], bytes]:
    with open_store(url) as store:
        parts = list(store.batches())
    rows = {p.id: p for part in parts for p in part.passages}
    vectors = {p.id: v for part in parts for p, v in zip(part.passages, part.vectors, strict=True)}
    return rows, b"".join(vectors[i].tobytes() for i in sorted(rows))


def _run(url: str, last: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PURGE, url, str(last), *IDS],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Batch]:
    """Three of 1,300 rows deleted: two in the saved index, one in the log only."""
    folder = tmp_path_factory.mktemp("kills") / "db"
    docs = _docs(1300)
    with create_chroma(folder, "docs", Batch(docs.passages[:1200], docs.vectors[:1200])) as made:
        made.add(Batch(docs.passages[1200:], docs.vectors[1200:]))
        made.delete(IDS)
    return folder, docs


def _assert_whole_and_clean(db: Path, docs: Batch, tmp_path: Path) -> None:
    url = f"chroma:{db}#docs"
    live = {p.id: p for i, p in enumerate(docs.passages) if i not in GONE}
    shutil.copytree(db, tmp_path / "reader")  # what a reader finds before the next purge
    rows, vectors = _read(f"chroma:{tmp_path / 'reader'}#docs")
    assert rows == live
    with open_store(f"chroma:{tmp_path / 'reader'}#docs") as reader:
        assert {h.id for h in reader.search(docs.vectors[0], len(live)).hits} == set(live)
    shutil.rmtree(tmp_path / "reader")
    ChromaPurge().purge(url, IDS)
    everything = b"".join(p.read_bytes() for p in db.rglob("*") if p.is_file())
    for i in GONE:
        assert docs.passages[i].text[-30:].encode() not in everything
        assert docs.vectors[i, :6].tobytes() not in everything
        assert docs.passages[i].id.encode() + b'"' not in everything
    assert _read(url) == (live, vectors)
    assert ChromaPurge().purge(url, IDS).how == "nothing"


def test_killed_at_any_step_all_live_rows_are_there_and_the_next_call_finishes(
    store, tmp_path
) -> None:
    folder, docs = store
    shutil.copytree(folder, tmp_path / "whole")
    whole = _run(f"chroma:{tmp_path}/whole#docs", 0)
    n_steps = int(whole.stdout.split()[-1])
    assert n_steps > 30
    for last in sorted(random.Random(5).sample(range(1, n_steps + 1), 8)):
        db = tmp_path / f"db-{last}"
        shutil.copytree(folder, db)
        killed = _run(f"chroma:{db}#docs", last)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        _assert_whole_and_clean(db, docs, tmp_path)


def test_killed_at_any_moment_all_live_rows_are_there_and_the_next_call_finishes(
    store, tmp_path
) -> None:
    folder, docs = store
    rng = random.Random(6)
    for number in range(3):
        db = tmp_path / f"db-{number}"
        shutil.copytree(folder, db)
        process = subprocess.Popen(
            [sys.executable, "-c", PURGE, f"chroma:{db}#docs", "0", *IDS], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        process.communicate(timeout=20)
        _assert_whole_and_clean(db, docs, tmp_path)
