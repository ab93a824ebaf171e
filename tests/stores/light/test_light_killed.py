"""Purges that are killed (SIGKILL), starved of disk, refused or not alone."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from light_stores import KINDS, bytes_left, contents, delete_elsewhere, docs, make

from ragshield.errors import IncompleteError, StoreError
from ragshield.records import Spec
from ragshield.registry import build

pytest.importorskip("faiss", reason="faiss is not installed")
SCRIPT = Path(__file__).with_name("kill_purge.py")
FILES = {
    "jsonl": ["docs.jsonl"],
    "sqlite": ["docs.sqlite"],
    "sqlite-wal": ["docs.sqlite"],
    "faiss": ["index.faiss", "index.pkl"],
    "faiss-hnsw": ["index.faiss", "index.pkl"],
}


def purge(url: str, gone: list[str]) -> object:
    return build(Spec("recipe", url.partition(":")[0])).purge(url, gone)


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """Writing beyond this size fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)


@pytest.mark.parametrize("kind", list(FILES))
def test_killed_anywhere_no_live_row_is_lost_and_the_next_call_finishes(kind, tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, kind, tmp_path, os.environ.get("KILL_POINTS", "8"), "7"],
        check=True,
        capture_output=True,
        text=True,
    )
    results = json.loads(done.stdout)
    assert sum(result["died"] for result in results) >= 4
    for result in results:
        seen = {key: result[key] for key in ("lost", "strangers", "left", "same", "files")}
        expected = {"lost": [], "strangers": [], "left": 0, "same": True, "files": FILES[kind]}
        assert seen == expected, f"killed at call {result['at']}"


@pytest.mark.parametrize("kind", KINDS)
def test_on_a_full_disk_nothing_is_lost_and_it_says_so(kind, tmp_path) -> None:
    batch = docs(300)
    gone = [p.id for p in batch.passages[::3]]
    url = make(kind, tmp_path, batch)
    before = contents(url)
    delete_elsewhere(kind, url, gone[:50])
    with largest_file(4096), pytest.raises(IncompleteError, match="cannot write"):
        purge(url, gone)
    after = contents(url)
    assert {i: row for i, row in before.items() if i not in gone}.items() <= after.items()
    purge(url, gone)
    assert bytes_left(tmp_path, batch, gone) == 0
    assert contents(url) == {i: row for i, row in before.items() if i not in gone}


@pytest.mark.parametrize("kind", ["jsonl", "sqlite", "faiss"])
def test_a_read_only_store_is_refused_in_one_line(kind, tmp_path, monkeypatch) -> None:
    url = make(kind, tmp_path, docs(20))
    before = contents(url)
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: mode != os.W_OK and allowed(p, mode))
    with pytest.raises(StoreError, match="no permission to write") as refused:
        purge(url, ["doc-00001"])
    assert "\n" not in str(refused.value)
    monkeypatch.undo()
    assert contents(url) == before


@pytest.mark.parametrize("kind", ["jsonl", "sqlite", "faiss"])
def test_a_store_that_is_not_there_is_refused(kind, tmp_path) -> None:
    url = make(kind, tmp_path, docs(20))
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(StoreError):
        purge(url, ["doc-00001"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["sqlite", "sqlite-wal"])
@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "BEGIN; SELECT count(*) FROM docs"])
def test_sqlite_in_a_transaction_of_another_is_in_use(
    kind, statement, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("ragshield.stores.sqlite_file.PATIENCE_S", 0.1)
    batch = docs(30)
    url = make(kind, tmp_path, batch)
    before = contents(url)
    path = url.removeprefix("sqlite:").partition("#")[0]
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for s in sys.argv[2].split(';'): c.execute(s).fetchall()\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, path, statement],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StoreError, match="in use"):
            purge(url, ["doc-00001"])
        assert contents(url) == before
        other.communicate("")
    purge(url, ["doc-00001"])
    assert bytes_left(tmp_path, batch, ["doc-00001"]) == 0
    with closing(sqlite3.connect(path)) as database:
        mode = database.execute("PRAGMA journal_mode").fetchone()[0]
    assert mode == ("wal" if kind == "sqlite-wal" else "delete")


@pytest.mark.parametrize(("kind", "name"), [("jsonl", "docs.jsonl"), ("faiss", "index.pkl")])
def test_a_file_that_another_process_writes_to_is_in_use(kind, name, tmp_path) -> None:
    url = make(kind, tmp_path, docs(20))
    before = contents(url)
    program = (
        "import sys; f = open(sys.argv[1], 'ab'); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StoreError, match=f"process {other.pid} has {name} open for writing"):
            purge(url, ["doc-00001"])
        other.communicate("")
    assert contents(url) == before


@pytest.mark.parametrize("kind", ["jsonl", "faiss"])
def test_two_purges_of_one_folder_keep_out_of_each_others_way(kind, tmp_path) -> None:
    from ragshield.stores.leftovers import alone_in

    url = make(kind, tmp_path, docs(20))
    with (
        alone_in(tmp_path, "another"),
        pytest.raises(StoreError, match="in use: another purge works"),
    ):
        purge(url, ["doc-00001"])
