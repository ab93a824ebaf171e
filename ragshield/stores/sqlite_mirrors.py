"""What copies an SQLite table's texts: full-text mirrors, samples of the query planner."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from ragshield.stores.sqlite_table import Table, is_unicode, quoted

_VIRTUAL = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*?\bUSING\s+(\w+)", re.I | re.S)
_CONTENT = re.compile(r"\bcontent\s*=\s*(?:'([^']*)'|\"([^\"]*)\"|([^\s,)]*))", re.I)
_FULL_TEXT = ("fts3", "fts4", "fts5")
_WITHOUT_ROWS = ("fts5vocab", "fts3tokenize", "fts4aux", "dbstat", "rtree", "rtree_i32", "geopoly")


class Mirror(NamedTuple):
    """A virtual table of the file.

    Attributes:
        name: of the table.
        module: what it is made by, in lower case.
        content: the table whose rows it indexes; empty = none, None = it keeps its own.
    """

    name: str
    module: str
    content: str | None


def mirrors(database: sqlite3.Connection) -> tuple[Mirror, ...]:
    """All virtual tables, by name."""
    found = []
    for name, sql in database.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"
    ):
        if made := _VIRTUAL.match(str(sql)):
            content = _CONTENT.search(str(sql))
            named = None if content is None else "".join(filter(None, content.groups()))
            found.append(Mirror(str(name), made[1].lower(), named))
    return tuple(found)


def clean_mirrors(
    database: sqlite3.Connection, table: Table, ids: Sequence[str]
) -> tuple[bool, list[str]]:
    """Make full-text indexes lose what they keep of deleted rows, inside a transaction.

    A full-text index answers a delete with a mark, and keeps the words until its parts
    are merged: `optimize` merges them. One that indexes the table without a trigger that
    keeps it in step is built anew from the rows there are. One that keeps texts of its
    own, with a column named like the table's id, loses the rows of these ids.

    Returns:
        Whether anything may have been written, and what a person should know.
    """
    notes: list[str] = []
    wrote = False
    triggers = _triggers(database, table)
    for mirror in mirrors(database):
        if mirror.module not in _FULL_TEXT:
            if mirror.module not in _WITHOUT_ROWS:
                notes.append(
                    f"virtual table '{mirror.name}' ({mirror.module}) keeps copies of its own, "
                    "which SQLite cannot clean: rebuild it if it mirrors the deleted rows"
                )
            continue
        name = quoted(mirror.name)
        kept = any(mirror.name.lower() in trigger for trigger in triggers)
        ours = (mirror.content or "").lower() == table.name.lower()
        if mirror.content is None:
            notes += _delete_by_id(database, mirror, table, ids)
        elif mirror.content == "" and not kept:
            notes.append(
                f"full-text index '{mirror.name}' keeps no texts and no trigger feeds it: words "
                "of deleted rows stay in it unless the program that fills it takes them out"
            )
        command = "rebuild" if ours and not kept else "optimize"
        if command == "optimize" and mirror.module == "fts5" and _is_one_part(database, mirror):
            continue
        database.execute(f"INSERT INTO {name} ({name}) VALUES (?)", (command,))
        wrote = True
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat4'").fetchone():
        # Samples of indexed values; without them the planner goes by averages.
        gone = database.execute("DELETE FROM sqlite_stat4 WHERE tbl = ?", (table.name,))
        if gone.rowcount:
            wrote = True
            notes.append("samples of ANALYZE (sqlite_stat4) removed; run ANALYZE to have new ones")
    return wrote, notes


def is_settled(database: sqlite3.Connection, table: Table, mirror: Mirror) -> bool:
    """Whether an index holds words of the rows that are there, and of no others.

    Known of an FTS5 index that takes its texts from the table, is kept in step by a trigger,
    and is merged into one part. Of any other it has to be said that it cannot be told.
    """
    return (
        mirror.module == "fts5"
        and (mirror.content or "").lower() == table.name.lower()
        and any(mirror.name.lower() in trigger for trigger in _triggers(database, table))
        and _is_one_part(database, mirror)
    )


def _triggers(database: sqlite3.Connection, table: Table) -> list[str]:
    query = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower(?)"
    return [str(sql).lower() for (sql,) in database.execute(query, (table.name,))]


def rebuild_by_row_number(database: sqlite3.Connection, table: Table) -> None:
    """Build full-text indexes of the table's rows anew, after row numbers may have changed."""
    for mirror in mirrors(database):
        if mirror.module in _FULL_TEXT and (mirror.content or "").lower() == table.name.lower():
            name = quoted(mirror.name)
            database.execute(f"INSERT INTO {name} ({name}) VALUES ('rebuild')")


def _delete_by_id(
    database: sqlite3.Connection, mirror: Mirror, table: Table, ids: Sequence[str]
) -> list[str]:
    columns = [row[0] for row in database.execute(_COLUMNS, (mirror.name,))]
    own = next((c for c in columns if c.lower() == table.id.lower()), None)
    if own is None:
        return []
    gone = database.executemany(
        f"DELETE FROM {quoted(mirror.name)} WHERE {quoted(own)} = ?",
        [(i,) for i in ids if is_unicode(i)],
    )
    if gone.rowcount < 1:
        return []
    return [f"full-text table '{mirror.name}' still held {gone.rowcount} of the rows; removed"]


_COLUMNS = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0"


def _is_one_part(database: sqlite3.Connection, mirror: Mirror) -> bool:
    """Whether nothing was added or deleted since the index was last merged into one.

    Its structure record (row 10 of the shadow table `_data`): a cookie of 4 bytes, then
    numbers of levels and of segments, below 128 in one byte each.
    """
    try:
        row = database.execute(
            f"SELECT block FROM {quoted(mirror.name + '_data')} WHERE id = 10"
        ).fetchone()
    except sqlite3.OperationalError:
        return False
    structure = b"" if row is None else bytes(row[0])
    return len(structure) > 5 and structure[4] < 128 and structure[5] <= 1
