"""PostgreSQL with pgvector loses the bytes of deleted rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, StoreError
from ragshield.protocols import Cost, Purged, Surface
from ragshield.records import Vectors
from ragshield.stores.pgvector import open_pgvector
from ragshield.stores.pgvector_files import data_folder, groups_of, surfaces_of, vector_forms
from ragshield.stores.pgvector_table import Table, connected, find_table, shown, translated
from ragshield.stores.pgvector_wal import empty_wal, may_empty_wal

if TYPE_CHECKING:
    from psycopg import Connection

_BYTES_A_SECOND = 25e6
_ROWS_A_SECOND_OF_HNSW = 1500
_PATIENCE_S = 10.0
_MEMORY = "512MB"


class PgvectorPurge:
    """Write the table and its indexes anew (VACUUM FULL), then its statistics and the log.

    Measured on PostgreSQL 18 with pgvector 0.8.5. After DELETE every byte is still there.
    Plain VACUUM takes deleted rows out of the indexes (pgvector zeroes them in its own)
    but leaves a third of them in the free space of the table's pages, and ids in that of
    the primary key: PostgreSQL moves live rows together and does not clear what they leave,
    and offers no command that would. ANALYZE copies texts and vectors into `pg_statistic`.
    The write-ahead log holds all of it again, also in segments that were recycled under
    new names. So:

    1. rows that are still there are deleted, and old snapshots waited for, since VACUUM
       keeps what they may see;
    2. VACUUM FULL writes the live rows and all indexes into new files, as one transaction;
    3. as superuser, the table's statistics are dropped and made anew, and their catalogs
       written anew;
    4. where the role may, the log is switched until every old segment is overwritten.

    So an HNSW graph is built anew though plain VACUUM has zeroed the deleted vectors in it:
    it names rows by their place in the table, and whatever writes the table anew moves all
    of them. To leave the table in place its pages would have to be cleared: PostgreSQL
    gives no program the means to, no recipe can tell a deleted row's bytes in free space
    from those of rows that moved, and filling the space with updates that are taken back
    writes to live pages and indexes, fires triggers and covers a page only by luck. Where
    that time is too much, IVFFlat is built many times faster.

    Each step is safe to be cut off and repeats when called again. Readers wait for the
    table while step 2 lasts. An index of pgvector is built anew, and it is approximate: a
    search through it may rank a few rows otherwise than before.
    """

    name: ClassVar[str] = "pgvector"
    version: ClassVar[int] = 1

    def describe(self, url: str) -> Mapping[str, str]:
        """Versions of the server and of pgvector, and the kinds of the table's indexes."""
        with _looking(url) as (connection, table):
            server = connection.execute("SHOW server_version").fetchone()
            extension = connection.execute(
                "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
            ).fetchone()
            kinds = sorted({kind for _, kind in _indexes(connection, table)})
        return {
            "store": "pgvector",
            "recipe": f"pgvector {self.version}",
            "postgresql": str(server[0]) if server else "unknown",
            "pgvector": str(extension[0]) if extension else "unknown",
            "indexes": ", ".join(kinds) or "none",
        }

    def files(self, url: str) -> tuple[Path, ...]:
        """Files of the table, its indexes, statistics and logs; none if they are elsewhere."""
        with _looking(url) as (connection, table):
            folder = data_folder(connection)
            if folder is None:
                return ()
            groups = groups_of(connection, table, folder)
        return tuple(sorted({path for paths in groups.values() for path in paths}))

    def surfaces(self, url: str) -> tuple[Surface, ...]:
        """The server's files, where they can be read from here, and the rows by SQL."""
        with _looking(url) as (connection, table):
            folder = data_folder(connection)
            if folder is None:
                return surfaces_of(url, {})
            _write_out(connection)
            return surfaces_of(url, groups_of(connection, table, folder))

    def untested(self, url: str) -> tuple[str, ...]:
        """Backups and standbys, and the server's files where they are elsewhere."""
        with _looking(url) as (connection, table):
            found = ["base backups and dumps of the database"]
            if data_folder(connection) is None:
                found.append(
                    "the server's own files (table, indexes, statistics, write-ahead log), which "
                    "cannot be read from here"
                )
            standbys = connection.execute("SELECT count(*) FROM pg_stat_replication").fetchone()
            if standbys is not None and standbys[0]:
                found.append(f"{standbys[0]} standby servers that replicate this one")
            archiving = connection.execute("SHOW archive_mode").fetchone()
            if archiving is not None and archiving[0] != "off":
                found.append("the archive of the write-ahead log")
            if _has_compressed(connection, table):
                found.append("copies of long texts that PostgreSQL compressed within its files")
        return tuple(found)

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """In 32 and in 16 bits, as given and at length 1."""
        return vector_forms(vectors)

    def cost(self, url: str, n: int) -> Cost:
        """The whole table and its indexes, written once to new files and once to the log."""
        with _looking(url) as (connection, table):
            found = connection.execute(
                "SELECT pg_total_relation_size(%s::oid), greatest(reltuples, 0) FROM pg_class "
                "WHERE oid = %s",
                [table.oid, table.oid],
            ).fetchone()
            kinds = [kind for _, kind in _indexes(connection, table)]
        size, rows = (int(found[0]), int(found[1])) if found is not None else (0, 0)
        seconds = 1 + size / _BYTES_A_SECOND + kinds.count("hnsw") * rows / _ROWS_A_SECOND_OF_HNSW
        how = "copy: PostgreSQL cannot clear the free space of its pages, so VACUUM FULL"
        return Cost(seconds, 2 * size, how)

    def purge(
        self,
        url: str,
        ids: Sequence[str],
        *,
        on_progress: Callable[[str], None] | None = None,
    ) -> Purged:
        """Write the table, its indexes, its statistics and the log anew."""
        tell = on_progress or (lambda _: None)
        with open_pgvector(url, writable=True) as store:
            store.delete(ids)  # type: ignore[attr-defined]
        notes: list[str] = []
        with closing(connected(url, writable=True)) as connection, _resumable(url, connection):
            table = find_table(connection, url)
            tell("waiting for transactions that may still see the deleted rows")
            _wait_for_old_snapshots(url, connection)
            tell("writing the table and its indexes anew (VACUUM FULL)")
            _rewrite(url, connection, table)
            notes += _rebuilt(connection, table)
            tell("writing its statistics anew")
            notes += _clear_statistics(connection, table)
            if may_empty_wal(connection):
                tell("overwriting the write-ahead log")
                empty_wal(url, connection)
            else:
                notes.append(
                    "this role may not switch the write-ahead log, so old segments keep the rows "
                    "until the server overwrites them; it needs pg_checkpoint and pg_switch_wal"
                )
            size = connection.execute("SELECT pg_total_relation_size(%s::oid)", [table.oid])
            found = size.fetchone()
        return Purged("copy", int(found[0]) if found else 0, tuple(notes))


@contextmanager
def _looking(url: str) -> Iterator[tuple[Connection[Any], Table]]:
    with closing(connected(url)) as connection, translated(url):
        yield connection, find_table(connection, url)


@contextmanager
def _resumable(url: str, connection: Connection[Any]) -> Iterator[None]:
    """A connection that breaks in the middle leaves the work to be done again."""
    try:
        with translated(url):
            yield
    except StoreError as error:
        if not connection.closed:
            raise
        raise IncompleteError(
            f"{shown(url)}: the connection was lost while purging; no live row is lost, do this "
            "again"
        ) from error


def _indexes(connection: Connection[Any], table: Table) -> list[tuple[str, str]]:
    """Name and kind of each index."""
    return connection.execute(
        "SELECT c.relname, a.amname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "JOIN pg_am a ON a.oid = c.relam WHERE i.indrelid = %s ORDER BY c.relname",
        [table.oid],
    ).fetchall()


def _write_out(connection: Connection[Any]) -> None:
    """Bring what the server holds in memory into its files, where the role may."""
    from psycopg import errors

    try:
        connection.execute("CHECKPOINT")
    except errors.InsufficientPrivilege:
        return


def _has_compressed(connection: Connection[Any], table: Table) -> bool:
    from psycopg.sql import SQL, Identifier

    found = connection.execute(
        SQL("SELECT EXISTS (SELECT FROM {} WHERE pg_column_compression({}) IS NOT NULL)").format(
            table.identifier, Identifier(table.columns.text)
        )
    ).fetchone()
    return found is not None and bool(found[0])


def _wait_for_old_snapshots(url: str, connection: Connection[Any]) -> None:
    """Wait until nobody can see the deleted rows any more: VACUUM keeps them for those.

    Raises:
        StoreError: someone still can, after ten seconds.
    """
    mark = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
    holders = (
        "SELECT 'process ' || pid || ' (' || coalesce(nullif(application_name, ''), backend_type) "
        "|| ')' FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND coalesce(datname, current_database()) = current_database() "
        # A plain vacuum sees no rows, and the server does not wait for it either.
        "AND NOT (backend_type = 'autovacuum worker' AND query NOT LIKE '%%ANALYZE%%') "
        "AND greatest(age(backend_xmin), age(backend_xid)) > age(%(mark)s::xid8::xid) "
        "UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts "
        "WHERE database = current_database() "
        "UNION ALL SELECT 'replication slot ' || slot_name FROM pg_replication_slots "
        "WHERE greatest(age(xmin), age(catalog_xmin)) > age(%(mark)s::xid8::xid)"
    )
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        found = connection.execute(holders, {"mark": mark[0] if mark else "0"}).fetchall()
        if not found:
            return
        if time.monotonic() > deadline:
            raise StoreError(
                f"{shown(url)} is in use: {found[0][0]} may still see the deleted rows, so "
                "PostgreSQL keeps them; end it, and do this again"
            )
        time.sleep(0.1)


def _rewrite(url: str, connection: Connection[Any], table: Table) -> None:
    from psycopg.sql import SQL

    def file_number() -> Any:
        query = "SELECT pg_relation_filenode(%s::oid)"
        return connection.execute(query, [table.oid]).fetchone()

    before = file_number()
    connection.execute(f"SET lock_timeout = '{_PATIENCE_S:.0f}s'")
    memory = "SELECT pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes(%s)"
    small = connection.execute(memory, [_MEMORY]).fetchone()
    if small is not None and small[0]:  # a graph that does not fit is built far slower
        connection.execute(f"SET maintenance_work_mem = '{_MEMORY}'")
    connection.execute(SQL("VACUUM (FULL) {}").format(table.identifier))
    if file_number() == before:  # it only warns where the role does not own the table
        raise IncompleteError(
            f"{shown(url)}: the table was not written anew; only its owner may do that"
        )


def _rebuilt(connection: Connection[Any], table: Table) -> list[str]:
    return [
        f"index '{name}' ({kind}) was built anew: an approximate search through it may rank a "
        "few live rows otherwise than before"
        for name, kind in _indexes(connection, table)
        if kind in ("hnsw", "ivfflat")
    ]


def _clear_statistics(connection: Connection[Any], table: Table) -> list[str]:
    """ANALYZE keeps samples of texts and vectors: forget them, and take new ones."""
    from psycopg.sql import SQL

    found = connection.execute(
        "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    ).fetchone()
    is_superuser = found is not None and bool(found[0])
    if is_superuser:
        connection.execute("DELETE FROM pg_statistic WHERE starelid = %s", [table.oid])
        connection.execute(
            "DELETE FROM pg_statistic_ext_data WHERE stxoid IN "
            "(SELECT oid FROM pg_statistic_ext WHERE stxrelid = %s)",
            [table.oid],
        )
    connection.execute(SQL("ANALYZE {}").format(table.identifier))
    if not is_superuser:
        return [
            "this role is no superuser: samples of rows may be left in the free space of "
            "pg_statistic, where ANALYZE put them"
        ]
    connection.execute("VACUUM (FULL) pg_statistic")
    connection.execute("VACUUM (FULL) pg_statistic_ext_data")
    return []
