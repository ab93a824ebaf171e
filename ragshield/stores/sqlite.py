"""A table of passages in an SQLite file: `sqlite:FILE#TABLE`."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError, StoreError
from ragshield.protocols import Neighbours
from ragshield.records import Batch, Finding, Hit, Vector, Vectors
from ragshield.stores.exact import (
    check_addition,
    check_question_vector,
    check_size,
    healthy,
    refuse_existing,
)
from ragshield.stores.sqlite_file import connect, parse, translated
from ragshield.stores.sqlite_table import Table, find_table, is_unicode, quoted
from ragshield.vectors import cosines

_PAGE = 500

_MIRROR = """
CREATE VIRTUAL TABLE {mirror} USING fts5(text, content={table}, content_rowid='row');
CREATE TRIGGER {mirror_in} AFTER INSERT ON {table} BEGIN
  INSERT INTO {mirror} (rowid, text) VALUES (new.row, new.text);
END;
CREATE TRIGGER {mirror_out} AFTER DELETE ON {table} BEGIN
  INSERT INTO {mirror} ({mirror}, rowid, text) VALUES ('delete', old.row, old.text);
END;
CREATE TRIGGER {mirror_changed} AFTER UPDATE ON {table} BEGIN
  INSERT INTO {mirror} ({mirror}, rowid, text) VALUES ('delete', old.row, old.text);
  INSERT INTO {mirror} (rowid, text) VALUES (new.row, new.text);
END;
"""


class SqliteStore:
    """Passages in a table of an SQLite file; search is exact cosine.

    Columns are told by their names (`sqlite_table.NAMES`), or given in the URL:
    `sqlite:app.db#chunks?id=chunk_no&text=body&vector=emb&dtype=float64`. Vectors are
    BLOBs of float32 (or as `dtype` says) or JSON lists. Further columns count as
    metadata where they hold text or numbers; other bytes are left alone.
    """

    def __init__(self, url: str, database: sqlite3.Connection, table: Table) -> None:
        self._url = url
        self._database = database
        self._table = table
        self._lock = threading.RLock()
        self._dim: tuple[int, int | None] | None = None
        self._vectors: tuple[int, NDArray[Any], Vectors] | None = None

    @property
    def url(self) -> str:
        """The URL it was opened with."""
        return self._url

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None if no row has one."""
        table = self._table
        if table.vector is None:
            return None
        with self._locked() as database:
            state = self._state()
            if self._dim is None or self._dim[0] != state:
                row = database.execute(
                    f"SELECT {quoted(table.vector)}, {quoted(table.id)} FROM {quoted(table.name)} "
                    f"WHERE length({quoted(table.vector)}) > 0 ORDER BY {table.order} LIMIT 1"
                ).fetchone()
                vector = None if row is None else table.decoded(*row)
                self._dim = (state, None if vector is None else len(vector))
            return self._dim[1]

    def count(self) -> int:
        """Number of passages."""
        with self._locked() as database:
            found = database.execute(f"SELECT count(*) FROM {quoted(self._table.name)}").fetchone()
            return int(found[0])

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        """All passages in the order of their row numbers; rows added meanwhile are left out."""
        check_size(size)
        table, name = self._table, quoted(self._table.name)
        with self._locked() as database:
            last = database.execute(f"SELECT max({table.order}) FROM {name}").fetchone()[0]
        if last is None:
            return
        after: tuple[Any, ...] = ()
        where = f"{table.order} <= ?1"
        while True:
            with self._locked() as database:
                rows = database.execute(
                    f"SELECT {self._columns()} FROM {name} WHERE {where} "
                    f"ORDER BY {table.order} LIMIT {int(size)}",
                    (last, *after),
                ).fetchall()
            if not rows:
                return
            yield self._batch(rows)
            after, where = (rows[-1][0],), f"{table.order} <= ?1 AND {table.order} > ?2"

    def get(self, ids: Sequence[str]) -> Batch:
        """The passages with these ids that exist, in the order asked."""
        found = {str(row[1]): row for row in self._rows(dict.fromkeys(ids), self._columns(), 1)}
        batch = self._batch([found[i] for i in ids if i in found])
        return batch

    def search(self, vector: Vector, k: int) -> Neighbours:
        """The k most similar passages by cosine; ties in the order of the rows."""
        if self._table.vector is None or (self.dim is None and self.count()):
            raise StoreError(
                f"{self._url} holds texts without vectors: nothing to search by; fill the vector "
                "column, or name it in the URL (...?vector=COLUMN)"
            )
        question = check_question_vector(self._url, vector, k, self.dim)
        keys, vectors = self._matrix()
        similarity = cosines(vectors, question)
        order = np.argsort(-similarity, kind="stable")[:k]
        found = {row[0]: row for row in self._by_key([keys[i] for i in order])}
        kept = [i for i in order if keys[i] in found]
        passages = [self._table.passage(found[keys[i]]) for i in kept]
        hits = (Hit(p, float(similarity[i])) for p, i in zip(passages, kept, strict=True))
        return Neighbours(tuple(hits), vectors[kept])

    def configuration_findings(self) -> list[Finding]:
        """None: there is no configuration."""
        return []

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._vectors = None
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        with self._lock, translated(self._url):
            yield self._database

    def _state(self) -> int:
        """Changes whenever anyone has written to the file."""
        foreign = self._database.execute("PRAGMA data_version").fetchone()[0]
        return hash((int(foreign), self._database.total_changes))

    def _columns(self) -> str:
        columns = self._table.columns()
        return ", ".join((self._table.order, *columns[1:]))

    def _rows(self, ids: Iterable[str], columns: str, position: int) -> list[tuple[Any, ...]]:
        """Rows whose id, at `position` among the columns, is exactly one of the `ids`."""
        wanted = {i for i in ids if i and is_unicode(i)}
        # A column that holds numbers is asked for numbers too: '7' finds nothing there
        # unless the column was declared to hold them.
        values: list[str | int] = sorted(wanted)
        values += [int(i) for i in wanted if _is_integer(i)]
        return [
            row
            for row in self._where(self._table.id, values, columns)
            if str(row[position]) in wanted
        ]

    def _by_key(self, keys: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._where(self._table.order, keys, self._columns())

    def _where(self, column: str, values: Sequence[Any], columns: str) -> list[tuple[Any, ...]]:
        name = column if column == self._table.order else quoted(column)
        rows: list[tuple[Any, ...]] = []
        with self._locked() as database:
            for start in range(0, len(values), _PAGE):
                part = values[start : start + _PAGE]
                marks = ", ".join("?" * len(part))
                rows += database.execute(
                    f"SELECT {columns} FROM {quoted(self._table.name)} WHERE {name} IN ({marks})",
                    [int(v) if isinstance(v, np.integer) else v for v in part],
                )
        return rows

    def _batch(self, rows: Sequence[tuple[Any, ...]]) -> Batch:
        passages = tuple(self._table.passage(row) for row in rows)
        dim = self.dim
        if dim is None:
            return Batch(passages, None)
        vectors = np.full((len(rows), dim), np.nan, dtype=np.float32)
        for i, row in enumerate(rows):
            vector = self._table.vector_of(row)
            if vector is not None:
                vectors[i] = self._of_width(vector, dim, str(row[1]))
        return Batch(passages, vectors)

    def _matrix(self) -> tuple[NDArray[Any], Vectors]:
        """Keys and vectors of all rows that have a direction, in order; kept until a change."""
        table, dim = self._table, self.dim or 0
        with self._locked() as database:
            state = self._state()
            if self._vectors is not None and self._vectors[0] == state:
                return self._vectors[1:]
            n_rows = self.count()
            keys = np.empty(n_rows, dtype=object)
            vectors = np.full((n_rows, dim), np.nan, dtype=np.float32)
            rows = database.execute(
                f"SELECT {table.order}, {quoted(table.id)}, {quoted(str(table.vector))} "
                f"FROM {quoted(table.name)} ORDER BY {table.order}"
            )
            n_read = 0
            for i, (key, passage_id, value) in enumerate(rows):
                if i == n_rows:  # someone added rows since they were counted
                    break
                keys[i], n_read = key, i + 1
                vector = table.decoded(value, str(passage_id))
                if vector is not None:
                    vectors[i] = self._of_width(vector, dim, str(passage_id))
            usable = np.flatnonzero(healthy(vectors[:n_read]))
            self._vectors = (state, keys[usable], vectors[usable])
            return self._vectors[1:]

    def _of_width(self, vector: Vector, dim: int, passage_id: str) -> Vector:
        if len(vector) != dim:
            raise InputError(
                f"{self._url}: the vector of '{passage_id}' has {len(vector)} dimensions, the "
                f"first has {dim}; embed all with one encoder"
            )
        return vector


class MutableSqliteStore(SqliteStore):
    """An SQLite table that can be changed: each change is one transaction.

    Triggers of the table run, so full-text mirrors that they feed stay in step, and
    foreign keys are kept. Bytes of deleted rows are overwritten by SQLite as far as its
    `secure_delete` goes; the recipe `sqlite` sees to the rest.
    """

    def add(self, batch: Batch) -> None:
        """Insert passages with their vectors; all or nothing."""
        if not batch.passages:
            return
        table = self._table
        vectors = check_addition(batch, self.dim)
        if table.vector is None:
            raise StoreError(f"{self._url}: '{table.name}' has no column for vectors")
        rows = [table.values(p, row) for p, row in zip(batch.passages, vectors, strict=True)]
        columns = ", ".join(map(quoted, table.written()))
        marks = ", ".join("?" * len(table.written()))
        with self._transaction() as database:
            refuse_existing(self._existing([passage.id for passage in batch.passages]))
            database.executemany(
                f"INSERT INTO {quoted(table.name)} ({columns}) VALUES ({marks})", rows
            )

    def delete(self, ids: Iterable[str]) -> int:
        """Remove passages; returns how many there were."""
        wanted = list(dict.fromkeys(ids))
        table = self._table
        with self._transaction() as database:
            rows = self._rows(wanted, f"{table.order}, {quoted(table.id)}", 1)
            database.executemany(
                f"DELETE FROM {quoted(table.name)} WHERE {table.order} = ?",
                [(row[0],) for row in rows],
            )
        return len(rows)

    def _existing(self, ids: Sequence[str]) -> list[str]:
        found = {str(row[0]) for row in self._rows(ids, quoted(self._table.id), 0)}
        return [passage_id for passage_id in ids if passage_id in found]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._locked() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise


def open_sqlite(
    url: str, *, writable: bool = False, trust_collection_config: bool = False
) -> SqliteStore:
    """Open `sqlite:FILE#TABLE`: a table with ids, texts and vectors.

    Raises:
        StoreError: no such file or table, it is locked, damaged or cannot be written to.
        InputError: an id occurs twice.
    """
    del trust_collection_config  # nothing is persisted that could be untrusted
    address = parse(url)
    database = connect(address.path, url, writable=writable)
    try:
        with translated(url):
            table = find_table(database, url, address.table, address.columns)
    except BaseException:
        database.close()
        raise
    kind = MutableSqliteStore if writable else SqliteStore
    return kind(url, database, table)


def create_sqlite(
    path: str | Path,
    table: str,
    batches: Batch | Iterable[Batch],
    *,
    replace: bool = False,
    full_text: bool = False,
) -> MutableSqliteStore:
    """Make a table of passages, and the file if there is none.

    Args:
        path: the file.
        table: its name.
        batches: what to fill it with.
        replace: drop a table of this name first.
        full_text: mirror the texts in an FTS5 table `TABLE_fts`, kept by triggers.

    Raises:
        StoreError: the table exists and `replace` is off, or SQLite refuses.
    """
    path = Path(path).expanduser()
    url = f"sqlite:{path}#{table}"
    name, mirror = quoted(table), quoted(f"{table}_fts")
    with translated(url):
        sqlite3.connect(path).close()
        path.touch()
    with translated(url), closing(connect(path, url, writable=True)) as database:
        if replace:
            database.execute(f"DROP TABLE IF EXISTS {mirror}")
            database.execute(f"DROP TABLE IF EXISTS {name}")
        database.execute(
            f"CREATE TABLE {name} (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
            "text TEXT NOT NULL, source TEXT, metadata TEXT, vector BLOB)"
        )
        if full_text:
            triggers = {f"mirror_{w}": quoted(f"{table}_fts_{w}") for w in ("in", "out", "changed")}
            database.executescript(_MIRROR.format(table=name, mirror=mirror, **triggers))
    database = connect(path, url, writable=True)
    store = MutableSqliteStore(url, database, find_table(database, url, table, {}))
    try:
        for batch in [batches] if isinstance(batches, Batch) else batches:
            store.add(batch)
    except BaseException:
        store.close()
        raise
    return store


def _is_integer(text: str) -> bool:
    """Whether it is the usual spelling of a number that SQLite can hold."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 19 and text == str(int(text))
