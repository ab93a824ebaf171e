"""What an SQLite file holds besides its tables, and when its rows must be copied."""

from __future__ import annotations

import random
import sqlite3
import string
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import InputError, StoreError
from ragshield.records import Batch, Passage
from ragshield.stores.sqlite import create_sqlite
from ragshield.stores.sqlite_purge import SqlitePurge

KEEPS = "CREATE VIRTUAL TABLE words USING fts5(text, content=docs, content_rowid=rowid)"


def docs(n: int = 60) -> Batch:
    rng = random.Random(n)
    passages = tuple(
        Passage(f"doc-{i}", f"{''.join(rng.choices(string.ascii_lowercase, k=20))} is row {i}")
        for i in range(n)
    )
    vectors = np.random.default_rng(n).standard_normal((n, 8)).astype(np.float32)
    return Batch(passages, vectors)


def run(path: Path, *statements: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA secure_delete = OFF")
        for statement in statements:
            rows = database.execute(statement).fetchall()
    return rows


def filled(folder: Path, *statements: str) -> tuple[str, Path, str]:
    """A table of rows without a declared row number; its URL, file and a word that goes."""
    batch, path = docs(), folder / "docs.db"
    run(path, "CREATE TABLE docs (id TEXT PRIMARY KEY, text TEXT, vector BLOB)", *statements)
    url = f"sqlite:{path}#docs"
    with open_store(url, writable=True) as store:
        store.add(batch)
    return url, path, batch.passages[7].text.split()[0]


def test_an_index_without_a_trigger_is_built_anew_from_the_rows_there_are(tmp_path) -> None:
    url, path, word = filled(tmp_path, KEEPS)
    run(path, "INSERT INTO words (words) VALUES ('rebuild')")
    run(path, "DELETE FROM docs WHERE id = 'doc-7'")
    assert run(path, f"SELECT count(*) FROM words WHERE words MATCH '{word}'") == [(1,)]
    SqlitePurge().purge(url, ["doc-7"])
    assert word[8:].encode() not in path.read_bytes()
    assert run(path, f"SELECT count(*) FROM words WHERE words MATCH '{word}'") == [(0,)]
    assert run(path, "SELECT count(*) FROM words WHERE words MATCH 'row'") == [(59,)]


def test_a_full_text_table_with_texts_of_its_own_loses_the_rows_by_id(tmp_path) -> None:
    url, path, word = filled(tmp_path, "CREATE VIRTUAL TABLE words USING fts5(id UNINDEXED, text)")
    run(path, "INSERT INTO words (id, text) SELECT id, text FROM docs")
    done = SqlitePurge().purge(url, ["doc-7"])
    assert "full-text table 'words' still held 1 of the rows; removed" in done.notes
    assert word[8:].encode() not in path.read_bytes()
    assert run(path, "SELECT count(*) FROM words") == [(59,)]


def test_older_kinds_of_full_text_index_are_merged_too(tmp_path) -> None:
    url, path, word = filled(
        tmp_path,
        "CREATE VIRTUAL TABLE words USING fts4(content='docs', text)",
        "CREATE TRIGGER gone BEFORE DELETE ON docs BEGIN "
        "DELETE FROM words WHERE docid = old.rowid; END",
        "CREATE TRIGGER new AFTER INSERT ON docs BEGIN "
        "INSERT INTO words (docid, text) VALUES (new.rowid, new.text); END",
    )
    run(path, "DELETE FROM docs WHERE id = 'doc-7'")
    assert word[8:].encode() in path.read_bytes()
    SqlitePurge().purge(url, ["doc-7"])
    assert word[8:].encode() not in path.read_bytes()
    assert run(path, "SELECT count(*) FROM words WHERE words MATCH 'row'") == [(59,)]


def test_an_index_that_nobody_feeds_and_one_that_is_not_known_are_named(tmp_path) -> None:
    url, path, _ = filled(tmp_path, "CREATE VIRTUAL TABLE words USING fts5(text, content='')")
    run(path, "PRAGMA writable_schema = ON")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "INSERT INTO sqlite_master VALUES ('table', 'near', 'near', 0, "
            "'CREATE VIRTUAL TABLE near USING vec0(embedding float[8])')"
        )
    notes = SqlitePurge().purge(url, ["doc-7"]).notes
    assert any("'words' keeps no texts and no trigger feeds it" in note for note in notes)
    assert any("virtual table 'near' (vec0) keeps copies of its own" in note for note in notes)
    assert any("'near' (vec0)" in place for place in SqlitePurge().untested(url))


def test_pages_that_belong_to_nothing_make_it_copy_all_rows_and_say_why(tmp_path) -> None:
    url, path, word = filled(tmp_path, KEEPS)
    run(path, "INSERT INTO words (words) VALUES ('rebuild')")
    run(path, "CREATE TABLE junk AS SELECT * FROM docs", "DROP TABLE junk")
    run(path, "DELETE FROM docs WHERE id IN ('doc-1', 'doc-7')")
    before = run(path, "SELECT id, text, vector FROM docs ORDER BY id")
    with path.open("r+b") as file:  # as some crashes leave it: the free list is lost
        file.seek(32)
        file.write(bytes(8))
    done = SqlitePurge().purge(url, ["doc-7"])
    assert done.how == "copy"
    assert any("VACUUM" in note and "belong to nothing" in note for note in done.notes)
    assert word[8:].encode() not in path.read_bytes()
    assert run(path, "PRAGMA integrity_check") == [("ok",)]
    assert run(path, "SELECT id, text, vector FROM docs ORDER BY id") == before
    matched = "SELECT id FROM docs WHERE rowid IN (SELECT rowid FROM words WHERE words MATCH '9')"
    assert run(path, matched) == [("doc-9",)]


def test_row_numbers_stay_so_that_mirrors_by_row_number_fit(tmp_path) -> None:
    url, path, _ = filled(tmp_path, KEEPS)
    run(path, "INSERT INTO words (words) VALUES ('rebuild')")
    rows = run(path, "SELECT rowid, id FROM docs WHERE id <> 'doc-7' ORDER BY rowid")
    SqlitePurge().purge(url, ["doc-7"])
    assert run(path, "SELECT rowid, id FROM docs ORDER BY rowid") == rows


def test_a_journal_that_a_program_kept_is_removed(tmp_path) -> None:
    url, path, word = filled(tmp_path)
    run(path, "PRAGMA journal_mode = PERSIST", "DELETE FROM docs WHERE id = 'doc-7'")
    journal = tmp_path / "docs.db-journal"
    assert word.encode() in journal.read_bytes()
    assert [s.name for s in SqlitePurge().surfaces(url)] == ["docs.db", "docs.db-journal"]
    SqlitePurge().purge(url, ["doc-7"])
    assert list(tmp_path.iterdir()) == [path]
    assert word.encode() not in path.read_bytes()


def test_a_killed_writers_log_is_emptied_into_the_file(tmp_path) -> None:
    url, path, word = filled(tmp_path, "PRAGMA journal_mode = WAL")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DELETE FROM docs WHERE id = 'doc-7'")
        database.execute("UPDATE docs SET text = 'changed' WHERE id = 'doc-8'")
        saved = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for name, data in saved.items():  # as if the process had been killed before it closed
        (tmp_path / name).write_bytes(data)
    surfaces = {s.name: s for s in SqlitePurge().surfaces(url)}
    assert b"changed" in b"".join(surfaces["docs.db-wal"].blocks())
    SqlitePurge().describe(url)  # closes the file, so that its log is emptied into it
    assert b"".join(surfaces["docs.db-wal"].blocks()) == b""
    assert b"changed" in b"".join(surfaces["docs.db"].blocks())
    SqlitePurge().purge(url, ["doc-7"])
    assert list(tmp_path.iterdir()) == [path]
    assert word.encode() not in path.read_bytes()
    assert run(path, "SELECT text FROM docs WHERE id = 'doc-8'") == [("changed",)]


def test_other_programs_drop_their_old_pages_after_a_purge(tmp_path) -> None:
    """A program with a full cache must not write the old bytes again."""
    url, path, word = filled(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA secure_delete = OFF")
        other.execute("DELETE FROM docs WHERE id = 'doc-7'")
        other.execute("SELECT * FROM docs").fetchall()
        SqlitePurge().purge(url, ["doc-7"])
        other.execute("UPDATE docs SET text = 'changed' WHERE id IN ('doc-6', 'doc-8')")
    assert word.encode() not in path.read_bytes()


def test_texts_in_utf_16_are_seen(tmp_path) -> None:
    path = tmp_path / "docs.db"
    run(path, "PRAGMA encoding = 'UTF-16'", "CREATE TABLE x (y)")
    batch = docs(5)
    url = create_sqlite(path, "docs", batch).url
    decoded = [s for s in SqlitePurge().surfaces(url) if s.kind == "decoded"]
    assert [s.name for s in decoded] == [
        "docs.db, UTF-16 from byte 0",
        "docs.db, UTF-16 from byte 1",
    ]
    word = batch.passages[3].text.encode()
    assert word not in path.read_bytes()
    assert any(word in b"".join(s.blocks()) for s in decoded)
    SqlitePurge().purge(url, ["doc-3"])
    assert not any(word in b"".join(s.blocks()) for s in SqlitePurge().surfaces(url))


def test_foreign_keys_carry_a_deletion_to_other_tables_or_refuse_it(tmp_path) -> None:
    url, path, _ = filled(
        tmp_path,
        "CREATE TABLE notes (doc TEXT REFERENCES docs (id) ON DELETE CASCADE, note TEXT)",
        "CREATE TABLE pins (doc TEXT REFERENCES docs (id))",
    )
    run(path, "INSERT INTO notes VALUES ('doc-7', 'of the same person')")
    run(path, "INSERT INTO pins VALUES ('doc-8')")
    SqlitePurge().purge(url, ["doc-7"])
    assert b"of the same person" not in path.read_bytes()
    with pytest.raises(InputError, match="FOREIGN KEY"):
        SqlitePurge().purge(url, ["doc-8", "doc-9"])
    assert run(path, "SELECT count(*) FROM docs WHERE id IN ('doc-8', 'doc-9')") == [(2,)]


def test_a_damaged_file_is_refused_and_not_written_to(tmp_path) -> None:
    url, path, _ = filled(tmp_path)
    data = bytearray(path.read_bytes())
    data[4096 * 2 : 4096 * 2 + 4096] = bytes([255]) * 4096
    path.write_bytes(data)
    with pytest.raises(StoreError):
        SqlitePurge().purge(url, ["doc-7"])
    assert bytes([255]) * 4096 in path.read_bytes()


def test_an_index_that_a_trigger_keeps_in_step_is_untested_until_it_is_merged(tmp_path) -> None:
    path = tmp_path / "docs.db"
    batch = Batch(
        tuple(Passage(f"doc-{i}", f"Row {i} tells of river number {i}.") for i in range(40)),
        np.eye(40, 8, dtype=np.float32) + 1,
    )
    create_sqlite(path, "docs", batch, full_text=True).close()
    url = f"sqlite:{path}#docs"
    with open_store(url, writable=True) as store:
        store.delete(["doc-7"])
    assert any("full-text index" in place for place in SqlitePurge().untested(url))
    SqlitePurge().purge(url, ["doc-7"])
    assert SqlitePurge().untested(url) == ()
