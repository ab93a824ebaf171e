"""An SQLite file: its URL, a connection to it, and what can go wrong, in one line each."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

from ragshield.errors import IncompleteError, InputError, StoreError, UsageError

PATIENCE_S = 5.0
"""How long to wait for another process to end its transaction."""

_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_REFUSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


class Address(NamedTuple):
    """What `sqlite:FILE#TABLE?column=NAME` names.

    Attributes:
        path: the file.
        table: the table; empty if the URL names none.
        columns: which columns are what, as far as the URL says; see `find_table`.
    """

    path: Path
    table: str
    columns: dict[str, str]


def parse(url: str) -> Address:
    """Take a URL apart.

    Raises:
        UsageError: it names no file, or its settings cannot be read.
    """
    place, hash_sign, fragment = url.removeprefix("sqlite:").rpartition("#")
    if not hash_sign:
        place, fragment = fragment, ""
    table, _, settings = fragment.partition("?")
    if not place:
        raise UsageError(f"store URL '{url}' names no file; write sqlite:FILE#TABLE")
    try:
        columns = dict(parse_qsl(settings, strict_parsing=True)) if settings else {}
    except ValueError as error:
        raise UsageError(f"store URL '{url}': {error}; write ...#TABLE?text=COLUMN") from error
    return Address(Path(place).expanduser(), table, columns)


def connect(path: Path, url: str, *, writable: bool) -> sqlite3.Connection:
    """Open a file that exists; transactions are begun and ended by the caller.

    Where a writer was killed, SQLite must undo its half-done transaction before anything
    can be read, so the file is opened for writing wherever that is allowed; a connection
    for reading still refuses every statement that would change it.

    Raises:
        StoreError: not there, no SQLite file, or asked to be writable and is not.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise StoreError(f"{url}: {path} {what}; name an SQLite file")
    allowed = may_write(path)
    if writable and not allowed:
        raise StoreError(f"{url}: no permission to write {path} and its folder")
    uri = f"{path.resolve().as_uri()}?mode={'rw' if allowed else 'ro'}"
    with translated(url):
        database = sqlite3.connect(
            uri, uri=True, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False
        )
        try:
            database.execute("PRAGMA secure_delete = ON")
            database.execute("PRAGMA foreign_keys = ON")
            database.execute(f"PRAGMA query_only = {'OFF' if writable else 'ON'}")
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            database.close()
            raise
    return database


def may_write(path: Path) -> bool:
    """Whether the file can be changed: SQLite needs its folder too, for the journal."""
    return os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK)


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn whatever SQLite raises into one line that names the store."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise InputError(f"{url}: the table refuses it: {error}") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _LOCKED:
            raise StoreError(
                f"{url} is in use by another process ({error}); stop it or try again"
            ) from error
        if code in _FULL:
            raise IncompleteError(
                f"{url}: cannot write ({error}); nothing was changed; make room and try again"
            ) from error
        if code in _REFUSED:
            raise StoreError(f"{url} cannot be written to or opened ({error})") from error
        if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
            raise StoreError(f"{url} is closed; open it again") from error
        raise StoreError(f"{url}: SQLite failed: {error}") from error
