"""LangChain's SQLite files: the record manager's table and the cache of answers."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ragshield.errors import IncompleteError, InputError
from ragshield.forget.artefacts.files import file_surface
from ragshield.forget.artefacts.target import Target
from ragshield.forget.closure.chosen import Why
from ragshield.forget.plans.records import EXCERPT_CHARS, Artefact
from ragshield.protocols import Surface

_WAIT_S = 10
_STEP = 500


class RecordManager:
    """`upsertion_record` of SQLRecordManager: which ids were written, for which source."""

    def find(self, path: Path, target: Target) -> list[Artefact]:
        """Records of selected passages and, for review, other records of their documents."""
        found = []
        with _reading(path) as database:
            _check_table(database, path, "upsertion_record", {"uuid", "key", "group_id"})
            rows = database.execute("SELECT uuid, key, namespace, group_id FROM upsertion_record")
            for uuid, key, namespace, group in rows:
                why = target.by_id(str(key))
                if (
                    why is None
                    and group is not None
                    and str(group) in target.files | target.parents
                ):
                    why = Why(False, 0.6, "recorded for the document of a selected passage")
                if why is not None:
                    found.append(
                        Artefact(
                            kind="record-manager",
                            place=str(path),
                            key=str(uuid),
                            reason=why.reason,
                            confidence=round(why.confidence, 2),
                            selected=why.selected,
                            sha256=_digest([key, namespace, group]),
                        )
                    )
        return found

    def remove(self, path: Path, artefacts: Sequence[Artefact]) -> tuple[str, ...]:
        """Delete the records and leave no free page with them."""
        changed = 0
        with _writing(path) as database:
            _check_table(database, path, "upsertion_record", {"uuid", "key", "group_id"})
            for artefact in artefacts:
                asked = "SELECT key, namespace, group_id FROM upsertion_record WHERE uuid = ?"
                row = database.execute(asked, (artefact.key,)).fetchone()
                if row is not None and _digest(list(row)) != artefact.sha256:
                    changed += 1
                elif row is not None:
                    database.execute("DELETE FROM upsertion_record WHERE uuid = ?", (artefact.key,))
        return _noted(path, changed)

    def surfaces(self, path: Path) -> tuple[Surface, ...]:
        """The database and the files that SQLite keeps beside it."""
        return _surfaces("record-manager", path)


class Cache:
    """SQLiteCache: `full_llm_cache`, or any table with a prompt and a response."""

    def find(self, path: Path, target: Target) -> list[Artefact]:
        """Entries whose prompt or answer carries the target; all are selected from 0.5 on.

        A cache only saves time: what is removed from it is asked again.
        """
        found = []
        with _reading(path) as database:
            for table, columns in _cache_tables(database, path):
                for row in database.execute(f"SELECT {_names(columns)} FROM {_quoted(table)}"):
                    entry = dict(zip(columns, row, strict=True))
                    text = f"{entry['prompt']}\n{_answer(entry['response'])}"
                    why = target.by_text(text)
                    if why is None:
                        continue
                    found.append(
                        Artefact(
                            kind="langchain-cache",
                            place=str(path),
                            key=_key(table, entry),
                            reason=f"a cached answer: {why.reason}",
                            confidence=round(why.confidence, 2),
                            selected=why.selected or why.confidence >= 0.5,
                            sha256=_digest(list(row)),
                            text=_answer(entry["response"])[:EXCERPT_CHARS],
                        )
                    )
        return found

    def remove(self, path: Path, artefacts: Sequence[Artefact]) -> tuple[str, ...]:
        """Delete the entries and leave no free page with them."""
        wanted = {artefact.key: artefact.sha256 for artefact in artefacts}
        changed = 0
        with _writing(path) as database:
            for table, columns in _cache_tables(database, path):
                asked = f"SELECT rowid, {_names(columns)} FROM {_quoted(table)}"
                gone = []
                for rowid, *row in database.execute(asked):
                    digest = wanted.get(_key(table, dict(zip(columns, row, strict=True))))
                    if digest is not None and digest != _digest(row):
                        changed += 1
                    elif digest is not None:
                        gone.append((rowid,))
                database.executemany(f"DELETE FROM {_quoted(table)} WHERE rowid = ?", gone)
        return _noted(path, changed)

    def surfaces(self, path: Path) -> tuple[Surface, ...]:
        """The database and the files that SQLite keeps beside it."""
        return _surfaces("langchain-cache", path)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_S)) as database:
            yield database
    except sqlite3.Error as error:
        raise InputError(f"{path} cannot be read as an SQLite file: {error}") from error


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction, and afterwards a file without free pages and an empty log."""
    try:
        uri = f"file:{quote(str(path.absolute()))}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, timeout=_WAIT_S, isolation_level=None)
        with closing(connection) as database:
            database.execute("PRAGMA secure_delete = ON")
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
            # Also after an earlier call that was cut off here, or deletions by others.
            database.execute("VACUUM")
            busy = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                raise IncompleteError(f"{path} is being read: its log still holds what went")
    except sqlite3.Error as error:
        raise IncompleteError(f"{path} could not be changed: {error}") from error


def _check_table(database: sqlite3.Connection, path: Path, table: str, wanted: set[str]) -> None:
    columns = {row[1] for row in database.execute(f"PRAGMA table_info({_quoted(table)})")}
    if not wanted <= columns:
        raise InputError(f"{path} holds no table '{table}' of a LangChain SQLRecordManager")


def _cache_tables(database: sqlite3.Connection, path: Path) -> list[tuple[str, list[str]]]:
    found = []
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({_quoted(table)})")]
        if {"prompt", "response"} <= set(columns):
            found.append((str(table), columns))
    if not found:
        raise InputError(
            f"{path} holds no table with a prompt and a response, as SQLiteCache makes"
        )
    return found


def _key(table: str, entry: dict[str, Any]) -> str:
    """The entry by its question, without quoting it: row numbers change when a file is packed."""
    asked = [value for name, value in sorted(entry.items()) if name != "response"]
    return f"{table}:{_digest(asked)[:32]}"


def _answer(response: Any) -> str:
    """The text of a cached generation, which LangChain keeps as JSON."""
    plain = str(response)
    try:
        value = json.loads(plain)
    except ValueError:
        return plain
    inner = value.get("kwargs", value) if isinstance(value, dict) else {}
    text = inner.get("text") if isinstance(inner, dict) else None
    return text if isinstance(text, str) else plain


def _digest(row: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps([str(value) for value in row]).encode("ascii")).hexdigest()


def _noted(path: Path, changed: int) -> tuple[str, ...]:
    if not changed:
        return ()
    return (f"{changed} entries of {path} have changed since and were left alone",)


def _surfaces(kind: str, path: Path) -> tuple[Surface, ...]:
    beside = [path.with_name(path.name + end) for end in ("", "-wal", "-journal")]
    names = ("", "-wal", "-journal")
    return tuple(
        file_surface(file, f"{kind}/database{end}")
        for file, end in zip(beside, names, strict=True)
        if file.is_file()
    )


def _names(columns: Sequence[str]) -> str:
    return ", ".join(map(_quoted, columns))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
