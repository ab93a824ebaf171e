"""SQLite tables that somebody else made, and what they must look like to be read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import InputError, StoreError, UsageError
from ragshield.records import Batch, Passage
from ragshield.stores.sqlite import create_sqlite

ROWS = np.array([[1, 0], [0.25, 2]], dtype=np.float32)


def script(folder: Path, *statements: object) -> str:
    """Run SQL in a new file; a tuple is a statement with its values."""
    path = folder / "app.db"
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            sql, values = statement if isinstance(statement, tuple) else (statement, ())
            database.execute(str(sql), values)
    return f"sqlite:{path}"


def only(passage: Passage) -> Batch:
    return Batch((passage,), ROWS[:1])


def test_columns_are_told_by_their_usual_names_and_others_are_metadata(tmp_path) -> None:
    url = script(
        tmp_path,
        "CREATE TABLE chunks (chunk_id TEXT PRIMARY KEY, Content TEXT, url TEXT, title TEXT, "
        "page INT, embedding BLOB, thumb BLOB, meta TEXT)",
        (
            "INSERT INTO chunks VALUES ('a', 'x', 'u', 'T', 3, ?, x'00', '{\"n\": 1}')",
            (ROWS[0].tobytes(),),
        ),
        ("INSERT INTO chunks VALUES ('b', NULL, NULL, NULL, NULL, ?, NULL, NULL)", (ROWS[1],)),
    )
    with open_store(f"{url}#chunks", writable=True) as store:
        read = store.get(["a", "b"])
        assert read.passages == (
            Passage("a", "x", "u", {"title": "T", "page": 3, "n": 1}),
            Passage("b", ""),
        )
        np.testing.assert_array_equal(read.vectors, ROWS)
        store.add(only(Passage("c", "y", None, {"page": 7, "colour": "red"})))
        assert store.get(["c"]).passages == (Passage("c", "y", None, {"page": 7, "colour": "red"}),)
    with closing(sqlite3.connect(tmp_path / "app.db")) as database:
        row = database.execute("SELECT page, meta FROM chunks WHERE chunk_id = 'c'").fetchone()
    assert (row[0], json.loads(row[1])) == (7, {"colour": "red"})


def test_columns_can_be_named_in_the_url(tmp_path) -> None:
    url = script(
        tmp_path,
        "CREATE TABLE t (no INTEGER PRIMARY KEY, title TEXT, text TEXT, v BLOB)",
        ("INSERT INTO t VALUES (7, 'T', 'x', ?)", (np.array([1, 2], dtype=np.float64).tobytes(),)),
    )
    with open_store(f"{url}#t?text=title&vector=v&dtype=float64") as store:
        read = store.get(["7", "07", " 7", "7.0"])
        assert read.passages == (Passage("7", "T", None, {"text": "x"}),)
        assert read.vectors.tolist() == [[1, 2]]
    with open_store(f"{url}#t?text=title&vector=v&dtype=float64", writable=True) as store:
        assert store.delete(["07", "7.0"]) == 0
        assert store.delete(["7"]) == 1


def test_json_lists_are_read_as_vectors_and_rows_without_one_are_never_found(tmp_path) -> None:
    url = script(
        tmp_path,
        "CREATE TABLE t (id TEXT UNIQUE, text TEXT, vector TEXT)",
        "INSERT INTO t VALUES ('a', 'x', '[1.0, 0.5]'), ('b', 'y', NULL), ('c', 'z', '[0, 1]')",
    )
    with open_store(f"{url}#t") as store:
        (batch,) = store.batches()
        nan = float("nan")
        np.testing.assert_array_equal(batch.vectors, np.array([[1, 0.5], [nan, nan], [0, 1]]))
        assert [hit.id for hit in store.search(ROWS[0], 5).hits] == ["a", "c"]


@pytest.mark.parametrize("kind", ["INTEGER", "TEXT", "", "REAL"])
def test_ids_of_every_declared_kind_are_found_and_deleted(kind, tmp_path) -> None:
    url = script(
        tmp_path,
        f"CREATE TABLE t (id {kind} PRIMARY KEY, text TEXT) WITHOUT ROWID",
        "INSERT INTO t VALUES (1, 'x'), (20, 'y'), (3, 'z')",
    )
    with open_store(f"{url}#t", writable=True) as store:
        ids = [p.id for part in store.batches(2) for p in part.passages]
        assert len(ids) == 3
        assert [p.id for p in store.get(ids).passages] == ids
        assert store.delete(ids[:2]) == 2
        assert store.count() == 1


def test_texts_without_vectors_say_what_to_do_when_searched(tmp_path) -> None:
    url = script(tmp_path, "CREATE TABLE t (id, text)", "INSERT INTO t VALUES ('a', 'x')")
    with open_store(f"{url}#t", writable=True) as store:
        (batch,) = store.batches()
        assert (batch.vectors, store.dim) == (None, None)
        with pytest.raises(StoreError, match=r"texts without vectors.*\?vector=COLUMN"):
            store.search(ROWS[0], 1)
        with pytest.raises(StoreError, match="no column for vectors"):
            store.add(only(Passage("b", "y")))


@pytest.mark.parametrize(
    ("table", "rest", "error", "message"),
    [
        ("t (id, text)", "", StoreError, r"names no table; add #TABLE \(there are: t\)"),
        ("t (id, text)", "#u", StoreError, r"no table 'u' \(there are: t\)"),
        ("t (id, a, b)", "#t", StoreError, r"hold the text \(there are: id, a, b\).*\?text=COLUMN"),
        ("t (a, text)", "#t", StoreError, "hold the id"),
        ("t (id, text)", "#t?text=body", UsageError, "no column 'body'"),
        ("t (id, text)", "#t?body=text", UsageError, "'body' is no setting"),
        ("t (id, text)", "#t?text", UsageError, "text=COLUMN"),
        ("t (id, text)", "#t?dtype=int8", UsageError, "dtype is 'int8'"),
        ("t (id, x)", "#t?source=x&text=x", UsageError, "one column is named for two things"),
    ],
)
def test_says_what_cannot_be_told(table, rest, error, message, tmp_path) -> None:
    url = script(tmp_path, f"CREATE TABLE {table}")
    with pytest.raises(error, match=message):
        open_store(f"{url}{rest}")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("('a', 'x', NULL, NULL), ('a', 'y', NULL, NULL)", "id 'a' is on 2 rows"),
        ("(NULL, 'x', NULL, NULL)", "a row's id is None"),
        ("('a', x'ff', NULL, NULL)", "row 'a': column 'text' holds bytes"),
        ("('a', 'x', '[1]', NULL)", "row 'a': metadata is"),
        ("('a', 'x', '{', NULL)", "row 'a': metadata is"),
        ("('a', 'x', NULL, x'000000')", "holds 3 bytes, no whole number of float32"),
        ("('a', 'x', NULL, 'none')", "expected numbers"),
        ("('a', 'x', NULL, '[1]'), ('b', 'x', NULL, '[1, 2]')", "'b' has 2 dimensions"),
    ],
)
def test_names_the_row_of_every_fault(values, message, tmp_path) -> None:
    url = script(
        tmp_path, "CREATE TABLE t (id, text, meta, vector)", f"INSERT INTO t VALUES {values}"
    )
    with pytest.raises(InputError, match=message), open_store(f"{url}#t") as store:
        list(store.batches())


def test_views_and_virtual_tables_are_refused(tmp_path) -> None:
    url = script(
        tmp_path,
        "CREATE TABLE t (id, text)",
        "CREATE VIEW v AS SELECT * FROM t",
        "CREATE VIRTUAL TABLE f USING fts5(id, text)",
    )
    with pytest.raises(StoreError, match="'v' is a view"):
        open_store(f"{url}#v")
    with pytest.raises(StoreError, match="'f' is a virtual table"):
        open_store(f"{url}#f")


def test_files_that_are_none_are_refused_in_one_line(tmp_path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to look like one" * 50)
    for place, message in {
        f"{tmp_path}/text.db": "file is not a database",
        f"{tmp_path}/none.db": "does not exist",
        f"{tmp_path}": "is a folder",
    }.items():
        with pytest.raises(StoreError, match=message) as refused:
            open_store(f"sqlite:{place}#t")
        assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="names no file"):
        open_store("sqlite:#t")


def test_what_the_table_refuses_leaves_it_as_it_was(tmp_path) -> None:
    url = script(tmp_path, "CREATE TABLE t (id, text, vector BLOB, CHECK (length(text) < 5))")
    with open_store(f"{url}#t", writable=True) as store:
        two = Batch((Passage("a", "x"), Passage("b", "too long")), ROWS)
        with pytest.raises(InputError, match="the table refuses it"):
            store.add(two)
        with pytest.raises(InputError, match="metadata 'n' has no place"):
            store.add(only(Passage("a", "x", None, {"n": 1})))
        with pytest.raises(InputError, match="has a source; table 't' has no column for it"):
            store.add(only(Passage("a", "x", "s")))
        assert store.count() == 0


def test_changes_by_another_program_are_seen_by_an_open_store(tmp_path) -> None:
    batch = Batch((Passage("a", "x"), Passage("b", "y")), ROWS)
    with create_sqlite(tmp_path / "docs.db", "docs", batch) as store:
        assert [hit.id for hit in store.search(ROWS[0], 2).hits] == ["a", "b"]
        with closing(sqlite3.connect(tmp_path / "docs.db")) as other, other:
            other.execute("DELETE FROM docs WHERE id = 'a'")
        assert [hit.id for hit in store.search(ROWS[0], 2).hits] == ["b"]
        assert store.count() == 1
    with pytest.raises(StoreError, match="is closed"):
        store.count()


def test_a_table_is_made_once_unless_it_is_to_be_replaced(tmp_path) -> None:
    batch = Batch((Passage("a", "x"),), ROWS[:1])
    create_sqlite(tmp_path / "docs.db", "my docs", batch, full_text=True).close()
    with pytest.raises(StoreError, match="already exists"):
        create_sqlite(tmp_path / "docs.db", "my docs", batch)
    with create_sqlite(tmp_path / "docs.db", "my docs", [batch], replace=True) as store:
        assert store.count() == 1
