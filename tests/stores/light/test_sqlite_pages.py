"""The walk over an SQLite file's pages: nothing that lives is ever called unused."""

from __future__ import annotations

import mmap
import os
import random
import sqlite3
import string
from contextlib import closing
from pathlib import Path

import pytest

from ragshield.stores.sqlite_pages import UnaccountedError, residues


def word(rng: random.Random, n: int) -> str:
    return "".join(rng.choices(string.ascii_letters, k=n))


def history(path: Path, rng: random.Random) -> tuple[dict[str, str], list[str]]:
    """A file with a random past: what lives in it, and texts that do not any more."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA secure_delete = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute(f"PRAGMA page_size = {rng.choice([512, 1024, 4096, 65536])}")
    database.execute(f"PRAGMA auto_vacuum = {rng.choice([0, 1, 2])}")
    database.execute(f"PRAGMA journal_mode = {rng.choice(['DELETE', 'WAL'])}")
    rowid = rng.choice(["", "WITHOUT ROWID"])
    database.execute(f"CREATE TABLE t (id TEXT PRIMARY KEY, text TEXT, n INT, v BLOB) {rowid}")
    database.execute("CREATE INDEX by_text ON t (text, n)")
    live: dict[str, str] = {}
    dead: list[str] = []
    for _ in range(rng.randint(60, 250)):
        choice, text = rng.random(), word(rng, rng.choice([16, 60, 600, 6000, 40_000]))
        if choice < 0.55 or not live:
            key = word(rng, 12)
            number = rng.getrandbits(rng.choice([3, 30, 63])) - 4
            row = (key, text, number, rng.randbytes(rng.choice([8, 1536, 6144])))
            database.execute("INSERT INTO t VALUES (?, ?, ?, ?)", row)
            live[key] = text
        elif choice < 0.85:
            key = rng.choice(sorted(live))
            database.execute("DELETE FROM t WHERE id = ?", (key,))
            dead.append(live.pop(key))
        else:
            key = rng.choice(sorted(live))
            database.execute("UPDATE t SET text = ? WHERE id = ?", (text, key))
            dead.append(live[key])
            live[key] = text
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return live, dead


def zero_residues(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        sql = "SELECT rootpage FROM sqlite_master WHERE rootpage > 0"
        roots = [root for (root,) in database.execute(sql)]
    descriptor = os.open(path, os.O_RDWR)
    try:
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            stretches = residues(data, roots)
        for start, end in stretches:
            os.pwrite(descriptor, bytes(end - start), start)
    finally:
        os.close(descriptor)
    return len(stretches)


def n_found(path: Path, texts: list[str]) -> int:
    data = path.read_bytes()
    return sum(any(t[at : at + 16].encode() in data for at in (0, len(t) - 16)) for t in texts)


@pytest.mark.parametrize("seed", range(12))
def test_zeroing_what_is_unused_removes_every_trace_and_touches_no_row(seed, tmp_path) -> None:
    path = tmp_path / "t.db"
    live, dead = history(path, random.Random(seed))
    with closing(sqlite3.connect(path)) as database:
        before = database.execute("SELECT * FROM t ORDER BY id").fetchall()
    found_before = n_found(path, dead)
    zero_residues(path)
    assert found_before > 0
    assert n_found(path, dead) == 0
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT * FROM t ORDER BY id").fetchall() == before
        assert {row[0]: row[1] for row in before} == live
    assert zero_residues(path) == 0


def test_secure_delete_alone_leaves_copies_of_rows_that_moved(tmp_path) -> None:
    """Why the walk is needed: half of a page that was split stays in its gap."""
    path, rng = tmp_path / "t.db", random.Random(1)
    texts = [word(rng, 40) for _ in range(3000)]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA secure_delete = ON")
        database.execute("CREATE TABLE t (id TEXT PRIMARY KEY) WITHOUT ROWID")
        for text in texts:
            database.execute("INSERT INTO t VALUES (?)", (text,))
        database.commit()
        database.executemany("DELETE FROM t WHERE id = ?", [(text,) for text in texts[::2]])
    assert n_found(path, texts[::2]) > 0
    zero_residues(path)
    assert n_found(path, texts[::2]) == 0
    assert n_found(path, texts[1::2]) == 1500


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, b"X", "no header of SQLite's"),
        (28, b"\x00\x00\xff\xff", "shorter than its header says"),
        (36, b"\x00\x00\x00\x00", "free list is shorter or longer"),
        (32, b"\x00\x00\x00\x00\x00\x00\x00\x00", "belong to nothing"),
        (4096, b"\x07", "of no known kind"),
        (4096 + 12, b"\x00\x01", "lies in the header of its page"),
        (4096 + 1, b"\xff\xff", "free block lies outside"),
    ],
)
def test_pages_that_do_not_add_up_are_never_touched(at, value, message, tmp_path) -> None:
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA auto_vacuum = NONE")
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
        database.executemany("INSERT INTO t VALUES (?, ?)", [(i, "x" * 3000) for i in range(9)])
        database.execute("DELETE FROM t WHERE id > 2")
    with path.open("r+b") as file:
        file.seek(at)
        file.write(value)
        file.flush()
        with (
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
            pytest.raises(UnaccountedError, match=message),
        ):
            residues(data, [2])
