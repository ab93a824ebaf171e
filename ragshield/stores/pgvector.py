"""PostgreSQL with pgvector: `pgvector:postgresql://USER@HOST/DATABASE#TABLE`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ragshield.errors import StoreError
from ragshield.protocols import Neighbours
from ragshield.records import Batch, Finding, Hit, Passage, Vector
from ragshield.stores.columns import as_json, check_unicode, is_unicode
from ragshield.stores.exact import (
    check_addition,
    check_question_vector,
    check_size,
    healthy,
    refuse_existing,
)
from ragshield.stores.passwords import without_password
from ragshield.stores.pgvector_table import connected, find_table, shown, translated
from ragshield.vectors import cosines

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable, Composed

_OPERATORS = {"cosine": "<=>", "l2": "<->", "ip": "<#>", "l1": "<+>"}
_MAX_EF = 1000
_JSON = frozenset({"json", "jsonb"})
_TEXTS = frozenset({"text", "character varying", "character"})


class PgvectorStore:
    """A table with a column of vectors, for reading only.

    The columns are recognised as LangChain (both of its layouts) and LlamaIndex name
    them, or named in the URL: `...#TABLE?id=key&text=body&vector=emb`. Of LangChain's
    `langchain_pg_embedding` one collection is read: `...?collection=NAME`. Passages come
    in the order of their ids. Search asks the table's own index, if it has one, by the
    distance that the index was made for, and by cosine otherwise.
    """

    def __init__(self, url: str, connection: Connection[Any]) -> None:
        self._url = without_password(url)
        self._open: Connection[Any] | None = connection
        try:
            self._table = find_table(connection, url)
        except BaseException:
            connection.close()
            raise

    @property
    def url(self) -> str:
        """The URL it was opened with, without its password."""
        return self._url

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None while it is empty."""
        name = self._table.columns.vector
        if name is None:
            return None
        query = self._sql(
            "SELECT vector_dims({v}::vector) FROM {t} WHERE {where} AND {v} IS NOT NULL LIMIT 1"
        )
        rows = self._rows(query)
        return int(rows[0][0]) if rows else None

    def count(self) -> int:
        """Number of passages."""
        return int(self._rows(self._sql("SELECT count(*) FROM {t} WHERE {where}"))[0][0])

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        """All passages as of now, in the order of their ids."""
        check_size(size)
        query = self._sql('{select} ORDER BY {id}::text COLLATE "C"', select=self._select())
        with closing(connected(self._url)) as connection, translated(self._url):
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            with connection.cursor(name="ragshield", withhold=False) as cursor:
                cursor.execute(query, self._of_collection())
                while rows := cursor.fetchmany(size):
                    yield self._batch(rows)

    def get(self, ids: Sequence[str]) -> Batch:
        """The passages with these ids that exist, in the order asked."""
        query = self._sql("{select} AND {match}", select=self._select(), match=self._match())
        rows = self._rows(query, [*self._of_collection(), _usable(ids)])
        found = self._batch(rows)
        position = {passage.id: i for i, passage in enumerate(found.passages)}
        order = [position[i] for i in ids if i in position]
        vectors = found.vectors
        if vectors is None and self.dim is not None:
            vectors = np.zeros((0, self.dim or 0), dtype=np.float32)
        return Batch(
            tuple(found.passages[i] for i in order), None if vectors is None else vectors[order]
        )

    def search(self, vector: Vector, k: int) -> Neighbours:
        """The k nearest passages; by cosine they are ordered by the stored vectors.

        Where the index finds fewer than there are, all vectors are compared instead.
        """
        question = check_question_vector(self._url, vector, k, self.dim)
        metric = self._metric()
        batch = self._nearest(question, k, metric, exactly=False)
        if len(batch) < k and len(batch) < self.count():
            batch = self._nearest(question, k, metric, exactly=True)
        if batch.vectors is None:
            return Neighbours((), np.zeros((0, len(question)), dtype=np.float32))
        rows = np.flatnonzero(healthy(batch.vectors))
        similarity = cosines(batch.vectors[rows], question)
        order = np.arange(len(rows))
        if metric == "cosine":
            order = np.argsort(-similarity, kind="stable")
        hits = tuple(Hit(batch.passages[rows[i]], float(similarity[i])) for i in order)
        return Neighbours(hits, batch.vectors[rows[order]])

    def configuration_findings(self) -> list[Finding]:
        """None: the table stores nothing that runs in a reader."""
        return []

    def close(self) -> None:
        """Close the connection."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    _writable = False

    def _connection(self) -> Connection[Any]:
        """The connection; a new one where the server dropped it."""
        if self._open is None or self._open.closed or self._open.broken:
            self._open = connected(self._url, writable=self._writable)
        return self._open

    def _rows(self, query: Composed, parameters: Sequence[Any] | None = None) -> list[Any]:
        """All rows of a query that changes nothing; asked again if the connection was lost."""
        from psycopg import OperationalError

        given = self._of_collection() if parameters is None else parameters
        try:
            return self._connection().execute(query, given).fetchall()
        except OperationalError:
            pass
        with translated(self._url):
            self.close()
            return self._connection().execute(query, given).fetchall()

    def _sql(self, text: str, **parts: Composable) -> Composed:
        """A query with names put in: `{t}` the table, `{id}`, `{v}` columns, `{where}`."""
        from psycopg.sql import SQL, Identifier

        where = SQL("true" if self._table.collection is None else "collection_id = %s::uuid")
        columns = self._table.columns
        named = {
            "t": self._table.identifier,
            "id": Identifier(columns.id),
            "v": Identifier(columns.vector or columns.id),
            "where": where,
        }
        return SQL(text).format(**{**named, **parts})

    def _of_collection(self) -> list[Any]:
        return [] if self._table.collection is None else [self._table.collection]

    def _names(self) -> list[str]:
        c = self._table.columns
        return [n for n in (c.id, c.text, c.source, c.metadata, *c.others) if n is not None]

    def _select(self) -> Composed:
        from psycopg.sql import SQL, Identifier

        names: list[Composable] = [Identifier(name) for name in self._names()]
        if self._table.columns.vector is not None:
            names.append(self._sql("vector_send({v}::vector)"))
        return self._sql("SELECT {names} FROM {t} WHERE {where}", names=SQL(", ").join(names))

    def _match(self) -> Composed:
        """The condition that an id is one of those given."""
        if self._table.kinds[self._table.columns.id] in _TEXTS:
            return self._sql("{id} = ANY(%s::text[])")
        return self._sql("{id}::text = ANY(%s::text[])")

    def _batch(self, rows: Sequence[Sequence[Any]]) -> Batch:
        names, columns = self._names(), self._table.columns
        passages = tuple(columns.passage(dict(zip(names, row, strict=False))) for row in rows)
        if columns.vector is None:
            return Batch(passages, None)
        found = [
            None if row[-1] is None else np.frombuffer(row[-1], ">f4", offset=4) for row in rows
        ]
        width = next((len(row) for row in found if row is not None), None)
        if width is None:
            return Batch(passages, None)
        missing = np.full(width, np.nan, dtype=np.float32)
        return Batch(
            passages,
            np.array([missing if row is None else row for row in found], dtype=np.float32),
        )

    def _metric(self) -> str:
        """What the table's index compares by; cosine where it has none."""
        query = self._sql(
            "SELECT o.opcname FROM pg_index i JOIN pg_opclass o ON o.oid = i.indclass[0] "
            "WHERE i.indrelid = %s AND i.indisvalid AND o.opcname LIKE '%%vec%%_ops' "
            "ORDER BY o.opcname"
        )
        names = [row[0] for row in self._rows(query, [self._table.oid])]
        metrics = [name.removesuffix("_ops").rpartition("_")[2] for name in names]
        return next((m for m in ["cosine", *metrics] if m in metrics and m in _OPERATORS), "cosine")

    def _nearest(self, question: Vector, k: int, metric: str, *, exactly: bool) -> Batch:
        from psycopg.sql import SQL

        query = self._sql(
            "{select} AND {v} IS NOT NULL ORDER BY {v} {op} %s::{kind} LIMIT %s",
            select=self._select(),
            op=SQL(_OPERATORS[metric]),
            kind=SQL(self._table.kinds[str(self._table.columns.vector)]),
        )
        with translated(self._url):
            connection = self._connection()
            with connection.transaction():
                if exactly:
                    connection.execute("SET LOCAL enable_indexscan = off")
                else:
                    self._look_widely(connection, k)
                rows = connection.execute(query, [*self._of_collection(), _text(question), k])
                return self._batch(rows.fetchall())

    def _look_widely(self, connection: Connection[Any], k: int) -> None:
        """Let an HNSW index return k rows: by default it looks at 40."""
        known = connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name LIKE 'hnsw.%'"
        ).fetchall()
        settings = dict(known)
        if "hnsw.ef_search" in settings:
            wide = min(max(k, int(settings["hnsw.ef_search"])), _MAX_EF)
            connection.execute(f"SET LOCAL hnsw.ef_search = {wide}")
        if settings.get("hnsw.iterative_scan") == "off":
            connection.execute("SET LOCAL hnsw.iterative_scan = 'strict_order'")


class MutablePgvectorStore(PgvectorStore):
    """A table that can be changed; each change is one transaction."""

    _writable = True

    def add(self, batch: Batch) -> None:
        """Insert passages with their vectors; all or nothing."""
        if not batch.passages:
            return
        vectors = check_addition(batch, self._table.width or self.dim)
        rows = [self._row(p, v) for p, v in zip(batch.passages, vectors, strict=True)]
        query = self._sql("SELECT {id}::text FROM {t} WHERE {match}", match=self._match())
        ids = [passage.id for passage in batch.passages]
        known = {row[0] for row in self._rows(query, [ids])}
        refuse_existing([passage_id for passage_id in ids if passage_id in known])
        with translated(self._url):
            connection = self._connection()
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(self._insert(), rows)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove passages; returns how many there were."""
        query = self._sql("DELETE FROM {t} WHERE {where} AND {match}", match=self._match())
        wanted = _usable(list(dict.fromkeys(ids)))
        with translated(self._url):
            return self._connection().execute(query, [*self._of_collection(), wanted]).rowcount

    def _written(self) -> list[str]:
        vector = self._table.columns.vector
        own = [*self._names(), *([vector] if vector else [])]
        return own if self._table.collection is None else [*own, "collection_id"]

    def _insert(self) -> Composed:
        from psycopg.sql import SQL, Identifier

        names = self._written()
        casts = [SQL("%s::{}").format(SQL(self._table.kinds[name])) for name in names]
        return self._sql(
            "INSERT INTO {t} ({names}) VALUES ({casts})",
            names=SQL(", ").join(map(Identifier, names)),
            casts=SQL(", ").join(casts),
        )

    def _row(self, passage: Passage, vector: Vector) -> list[Any]:
        check_unicode(passage, nul=False)
        columns, kinds = self._table.columns, self._table.kinds
        row = columns.row(passage)
        for name, value in row.items():
            if name == columns.metadata:
                row[name] = as_json(value, passage.id)
            elif kinds[name] in _JSON and value is not None:
                row[name] = json.dumps(value)
        values = [row[name] for name in self._names()]
        if columns.vector is not None:
            values.append(_text(vector))
        return [*values, *self._of_collection()]


def open_pgvector(
    url: str, *, writable: bool = False, trust_collection_config: bool = False
) -> PgvectorStore:
    """Open `pgvector:postgresql://USER@HOST/DATABASE#TABLE`.

    Raises:
        StoreError: the server or the table is not there, or may not be changed.
    """
    del trust_collection_config  # nothing is persisted that could be untrusted
    connection = connected(url, writable=writable)
    if not writable:
        return PgvectorStore(url, connection)
    store = MutablePgvectorStore(url, connection)
    query = (
        "SELECT has_table_privilege(%s::oid, 'INSERT') AND has_table_privilege(%s::oid, 'DELETE'), "
        "pg_is_in_recovery()"
    )
    with translated(url):
        found = connection.execute(query, [store._table.oid] * 2).fetchone()
    if found is not None and found[0] and not found[1]:
        return store
    store.close()
    why = "the server is a standby" if found is not None and found[1] else "no permission"
    raise StoreError(f"{shown(url)}: the table cannot be changed: {why}")


def create_pgvector(server: str, table: str, batch: Batch) -> MutablePgvectorStore:
    """Make a table, and the extension `vector` if the database has none.

    Its columns are id, text, source, metadata (JSON) and embedding.

    Args:
        server: `postgresql://...`.
        table: its name.
        batch: what to fill it with; fixes the width of the vectors.

    Raises:
        StoreError: the table exists, or the server refuses.
    """
    from psycopg.sql import SQL, Identifier

    url = f"pgvector:{server}#{table}"
    vectors = check_addition(batch, None)
    with closing(connected(url, writable=True)) as connection, translated(url):
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(
            SQL(
                "CREATE TABLE {} (id text PRIMARY KEY, text text NOT NULL, source text, "
                "metadata json, embedding vector({}))"
            ).format(Identifier(*table.split(".")), SQL(str(vectors.shape[1])))
        )
    store = MutablePgvectorStore(url, connected(url, writable=True))
    store.add(batch)
    return store


def _usable(ids: Sequence[str]) -> list[str]:
    """The ids that PostgreSQL can hold at all."""
    return [i for i in ids if is_unicode(i) and "\0" not in i]


def _text(vector: Vector) -> str:
    """A vector as pgvector reads it, exact to the bit."""
    return "[" + ",".join(str(number) for number in vector.tolist()) + "]"
