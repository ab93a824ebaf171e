"""What a table of PostgreSQL keeps on disk, where the server's folder can be read from here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import StoreError
from ragshield.protocols import Surface
from ragshield.records import Vectors
from ragshield.stores.leftovers import blocks_of, decoded_surface
from ragshield.stores.pgvector import open_pgvector
from ragshield.stores.pgvector_table import Table

if TYPE_CHECKING:
    from psycopg import Connection

_CATALOGS = ("pg_statistic", "pg_statistic_ext_data")


def data_folder(connection: Connection[Any]) -> Path | None:
    """The folder of this very server, if it can be read from here; else None.

    A folder at the same path on this machine may belong to another server: its control
    file says whose it is.
    """
    import psycopg

    try:
        with connection.transaction():
            found = connection.execute(
                "SELECT current_setting('data_directory'), system_identifier "
                "FROM pg_control_system()"
            ).fetchone()
        if found is None:
            return None
        folder = Path(found[0])
        own = int.from_bytes((folder / "global" / "pg_control").read_bytes()[:8], "little")
        if own != int(found[1]) % 2**64 or not os.access(folder / "base", os.R_OK | os.X_OK):
            return None
    except (psycopg.Error, OSError):  # no permission: neither to ask nor to look
        return None
    return folder


def groups_of(
    connection: Connection[Any], table: Table, folder: Path
) -> Mapping[str, tuple[Path, ...]]:
    """The files that may hold rows of a table, by what they are."""
    groups = {name: _segments(folder, path) for name, path in _relations(connection, table.oid, "")}
    for catalog in _CATALOGS:
        oid = connection.execute("SELECT %s::regclass::oid", [catalog]).fetchone()
        if oid is not None:
            for name, path in _relations(connection, oid[0], f"{catalog}: "):
                groups[name] = _segments(folder, path)
    groups["files of no table"] = _orphans(connection, folder)
    groups["temporary files"] = _below(folder, "base/pgsql_tmp/**/*")
    groups["write-ahead log"] = _below(folder, "pg_wal/*")
    groups["replication"] = _below(folder, "pg_replslot/**/*", "pg_logical/**/*")
    groups["server's log"] = _below(folder, "log", "log/**/*", "pg_log/**/*", "*.log")
    return groups


def surfaces_of(url: str, groups: Mapping[str, Sequence[Path]]) -> tuple[Surface, ...]:
    """One surface for each group of files, and the rows as SQL gives them."""
    found = [
        Surface(name, "file", sum(map(_size, paths)), _reader(paths))
        for name, paths in groups.items()
    ]
    return (*found, decoded_surface("rows, as SQL reads them", partial(_rows, url)))


def vector_forms(vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
    """As `vector` and `halfvec` keep them, each as given and at length 1 (cosine indexes)."""
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    wide = rows.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    unit = (wide / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    with np.errstate(over="ignore"):
        forms = (rows, unit, rows.astype(np.float16), unit.astype(np.float16))
    return tuple(np.ascontiguousarray(f).view(np.uint8).reshape(len(rows), -1) for f in forms)


def _relations(connection: Connection[Any], oid: int, prefix: str) -> list[tuple[str, str]]:
    """A table, its overflow table and the indexes of both, each with the path of its file."""
    rows = connection.execute(
        "WITH own AS (SELECT oid, reltoastrelid FROM pg_class WHERE oid = %s) "
        "SELECT 'table', pg_relation_filepath(oid) FROM own "
        "UNION ALL SELECT 'overflow (TOAST)', pg_relation_filepath(reltoastrelid) FROM own "
        "WHERE reltoastrelid <> 0 "
        "UNION ALL SELECT 'index ' || c.relname, pg_relation_filepath(i.indexrelid) "
        "FROM own JOIN pg_index i ON i.indrelid = own.oid JOIN pg_class c ON c.oid = i.indexrelid",
        [oid],
    ).fetchall()
    return [(f"{prefix}{name}", path) for name, path in rows if path is not None]


def _segments(folder: Path, path: str) -> tuple[Path, ...]:
    """All files of one relation: its gigabytes, its free-space map, its visibility map."""
    first = folder / path
    return tuple(p for p in sorted(first.parent.glob(f"{first.name}*")) if _is_of(p, first.name))


def _is_of(path: Path, name: str) -> bool:
    rest = path.name.removeprefix(name)
    return rest == "" or rest[0] in "._"


def _orphans(connection: Connection[Any], folder: Path) -> tuple[Path, ...]:
    """Files in the database's folder that no relation owns: left by a server that crashed."""
    rows = connection.execute(
        "SELECT pg_relation_filenode(oid)::text FROM pg_class "
        "WHERE pg_relation_filenode(oid) IS NOT NULL"
    ).fetchall()
    known = {row[0] for row in rows}
    own = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()")
    number = own.fetchone()
    paths = sorted((folder / "base" / str(number[0] if number else 0)).glob("[0-9]*"))
    return tuple(p for p in paths if p.name.partition(".")[0].partition("_")[0] not in known)


def _below(folder: Path, *patterns: str) -> tuple[Path, ...]:
    found = {p for pattern in patterns for p in folder.glob(pattern) if p.is_file()}
    return tuple(sorted(found))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a running server renames and removes files as it likes
        return 0


def _reader(paths: Sequence[Path]) -> Callable[[], Iterator[bytes]]:
    def blocks() -> Iterator[bytes]:
        for path in paths:
            try:
                yield from blocks_of(path)
            except StoreError:
                if path.exists():
                    raise

    return blocks


def _rows(url: str) -> Iterator[bytes]:
    with open_pgvector(url) as store:
        for batch in store.batches(1000):
            lines = [
                json.dumps([p.id, p.source, dict(p.meta)], ensure_ascii=False, default=str)
                for p in batch.passages
            ]
            yield "\n".join([*lines, *(p.text for p in batch.passages)]).encode()
            if batch.vectors is not None:
                yield np.ascontiguousarray(batch.vectors).tobytes()
