"""The values in an SQLite file: put together from the pages that they are torn over."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ragshield.errors import StoreError
from ragshield.residue.decoding import unpacked

_SEPARATOR = bytes(32)
_BLOCK = 1 << 20


def database_values(path: Path) -> Iterator[bytes]:
    """Every text and blob of every table, those of full-text indices included.

    A long value lies in pieces on several pages; here it is whole, and what is packed in
    it is unpacked. Rows that were deleted are not here: their bytes are on the pages
    themselves, which are looked at as they lie there. The file is read as it is, without
    its write-ahead log, and never written to.

    Raises:
        StoreError: it is damaged, or encrypted.
    """
    try:
        with closing(sqlite3.connect(_uri(path), uri=True)) as database:
            database.text_factory = bytes
            tables = database.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
            ).fetchall()
            for (name,) in tables:
                quoted = name.decode("utf-8", "replace").replace('"', '""')
                for row in database.execute(f'SELECT * FROM "{quoted}"'):
                    yield from _row(row)
    except sqlite3.Error as error:
        raise StoreError(f"cannot be read as SQLite: {error}") from error


def unmerged_indexes(path: Path) -> list[str]:
    """Full-text indexes (FTS5) that can still hold words of deleted rows, by name.

    FTS5 keeps words one by one, without what they share with the word before: no search
    for texts sees them. Deleted rows' words stay until segments are merged; an index of a
    single segment holds those of live rows alone.
    """
    try:
        with closing(sqlite3.connect(_uri(path), uri=True)) as database:
            names = database.execute(
                "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%fts5%'"
            ).fetchall()
            found = []
            for (name,) in names:
                quoted = f"{name}_idx".replace('"', '""')
                query = f'SELECT count(DISTINCT segid) FROM "{quoted}"'
                if database.execute(query).fetchone()[0] > 1:
                    found.append(str(name))
    except sqlite3.Error:
        return []  # reading its values says so
    return found


def _uri(path: Path) -> str:
    return f"{path.resolve().as_uri()}?mode=ro&immutable=1"


def _row(row: tuple[object, ...]) -> Iterator[bytes]:
    values = [value for value in row if isinstance(value, bytes) and value]
    if values:
        joined = _SEPARATOR.join(values) + _SEPARATOR
        for start in range(0, len(joined), _BLOCK):
            yield joined[start : start + _BLOCK]
    for value in values:
        yield from unpacked(value)
        yield _SEPARATOR
