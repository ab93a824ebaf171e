"""Old segments of PostgreSQL's write-ahead log, overwritten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragshield.errors import IncompleteError
from ragshield.stores.pgvector_table import shown

if TYPE_CHECKING:
    from psycopg import Connection

_MANY = 4096
"""Segments that are switched through at most: 64 GB of the usual ones."""


def may_empty_wal(connection: Connection[Any]) -> bool:
    """Whether this role may switch the log, list its files and make checkpoints."""
    found = connection.execute(
        "SELECT has_function_privilege('pg_switch_wal()', 'EXECUTE') "
        "AND has_function_privilege('pg_ls_waldir()', 'EXECUTE') "
        "AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) "
        "OR EXISTS (SELECT FROM pg_roles WHERE rolname = 'pg_checkpoint' "
        "AND pg_has_role(oid, 'USAGE') "
        "AND has_function_privilege('pg_switch_wal()', 'EXECUTE') "
        "AND has_function_privilege('pg_ls_waldir()', 'EXECUTE'))"
    ).fetchone()
    return found is not None and bool(found[0])


def empty_wal(url: str, connection: Connection[Any]) -> None:
    """Overwrite or remove every segment that was written until now.

    After the log is switched and a checkpoint is made, the server needs none of them: it
    removes some and gives others a new name, with their old bytes, for later use.
    Switching fills the rest of a segment with zeros, so the log is then switched through
    all that are laid out.

    Raises:
        IncompleteError: the server keeps old segments, for a replication slot or because
            of `wal_keep_size`.
    """
    last_old = _current(connection)
    connection.execute("SELECT pg_switch_wal()")
    _current(connection)
    connection.execute("CHECKPOINT")
    names = _names(connection)
    if names[0] > last_old:
        for _ in range(_MANY):
            passed = _current(connection)
            connection.execute("SELECT pg_switch_wal()")
            if passed >= names[-1]:
                _current(connection)
                return
    why = connection.execute(
        "SELECT 'replication slot ' || slot_name FROM pg_replication_slots "
        "WHERE restart_lsn IS NOT NULL UNION ALL "
        "SELECT 'wal_keep_size' WHERE current_setting('wal_keep_size') <> '0' UNION ALL "
        "SELECT 'its archiver' WHERE current_setting('archive_mode') <> 'off'"
    ).fetchone()
    raise IncompleteError(
        f"{shown(url)}: the table is purged, but the server keeps old segments of its write-ahead "
        f"log ({why[0] if why else 'for a reason that it does not tell'}); let it go on, and do "
        "this again"
    )


def _current(connection: Connection[Any]) -> str:
    """The segment that is being written; it is not empty afterwards."""
    connection.execute("SELECT pg_logical_emit_message(false, 'ragshield', '')")
    found = connection.execute("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").fetchone()
    return str(found[0]) if found else ""


def _names(connection: Connection[Any]) -> list[str]:
    """All segments, old to new."""
    rows = connection.execute(
        "SELECT name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' ORDER BY name"
    ).fetchall()
    return [str(row[0]) for row in rows]
