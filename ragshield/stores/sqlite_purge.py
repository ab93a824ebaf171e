"""SQLite loses the bytes of deleted rows: unused bytes of its pages are zeroed in place."""

from __future__ import annotations

import codecs
import mmap
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, StoreError
from ragshield.protocols import Cost, Purged, Surface
from ragshield.records import Vectors
from ragshield.stores.leftovers import blocks_of, decoded_surface, file_surface, leftovers
from ragshield.stores.sqlite import MutableSqliteStore
from ragshield.stores.sqlite_file import connect, parse, translated
from ragshield.stores.sqlite_mirrors import (
    clean_mirrors,
    is_settled,
    mirrors,
    rebuild_by_row_number,
)
from ragshield.stores.sqlite_pages import UnaccountedError, header, residues
from ragshield.stores.sqlite_table import DTYPES, Table, find_table, quoted

_READ_BYTES_A_SECOND = 400e6
_WRITE_BYTES_A_SECOND = 120e6
_SUFFIXES = ("-wal", "-shm", "-journal")


class SqlitePurge:
    """Zero what no row uses, page by page; merge full-text indexes; empty the logs.

    Under an exclusive lock: rows that are still there are deleted and full-text indexes
    merged in one transaction, the write-ahead log is emptied into the file, every page is
    walked and accounted for, and the bytes that belong to no row are overwritten with
    zeros: free pages, gaps between cells (where copies of rows that moved stay, which
    `secure_delete` does not reach), ends of overflow chains, free space behind the last
    page. Those bytes mean nothing to SQLite, so no moment of this can spoil a row, and a
    killed purge is simply run again. VACUUM does the same by copying all rows; it needs
    the whole file's size again and may number rows anew, which breaks full-text mirrors
    that go by row number. It is used only where the pages do not add up (a page belongs
    to nothing, or each keeps bytes for an extension, such as checksums).
    """

    name: ClassVar[str] = "sqlite"
    version: ClassVar[int] = 1

    def describe(self, url: str) -> Mapping[str, str]:
        """SQLite's version and the file's settings that matter here."""
        with _reading(url) as (database, _):
            settings = {
                name.replace("_", " "): str(database.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("journal_mode", "page_size", "auto_vacuum", "encoding")
            }
            kinds = sorted({mirror.module for mirror in mirrors(database)})
        return {
            "store": "sqlite",
            "recipe": f"sqlite {self.version}",
            "sqlite": sqlite3.sqlite_version,
            **settings,
            "virtual tables": ", ".join(kinds) or "none",
        }

    def files(self, url: str) -> tuple[Path, ...]:
        """The file, its write-ahead log with index, and its rollback journal."""
        path = parse(url).path.resolve()
        found = (path, *(path.with_name(path.name + suffix) for suffix in _SUFFIXES))
        return tuple(sorted(p for p in found if p.is_file()))

    def surfaces(self, url: str) -> tuple[Surface, ...]:
        """Its files, backups beside them, and what UTF-16 hides."""
        path = parse(url).path.resolve()
        files = dict.fromkeys((*self.files(url), *(p for f in _family(path) for p in leftovers(f))))
        # No connection here: closing one would empty the log that is to be looked at.
        found = [file_surface(p, p.name, may_vanish=p != path) for p in files]
        if (encoding := _encoding(path)).startswith("utf-16"):
            found += [
                decoded_surface(
                    f"{p.name}, UTF-16 from byte {start}",
                    lambda p=p, start=start: _from_utf16(p, encoding, start),  # type: ignore[misc]
                )
                for p in self.files(url)
                for start in (0, 1)
            ]
        return tuple(found)

    def untested(self, url: str) -> tuple[str, ...]:
        """Full-text indexes that may hold words of deleted rows, front-compressed."""
        with _reading(url) as (database, table):
            found = [m for m in mirrors(database) if not is_settled(database, table, m)]
        return tuple(
            f"words of full-text index '{mirror.name}': kept singly and front-compressed; the "
            "purge merges them away, a search of bytes cannot tell"
            if mirror.module.startswith("fts")
            else f"virtual table '{mirror.name}' ({mirror.module}), if it packs what it keeps"
            for mirror in found
        )

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """In 32, 64 and 16 bits."""
        with np.errstate(over="ignore"):
            return tuple(
                np.ascontiguousarray(vectors, dtype=dtype).view(np.uint8).reshape(len(vectors), -1)
                for dtype in DTYPES.values()
            )

    def cost(self, url: str, n: int) -> Cost:
        """Reading the file once, and writing the deleted rows and the full-text indexes."""
        with _reading(url) as (database, table):
            rows = database.execute(f"SELECT count(*) FROM {quoted(table.name)}").fetchone()[0]
            indexed = 0
            for mirror in mirrors(database):
                if mirror.module == "fts5" and mirror.content is not None:
                    data = quoted(mirror.name + "_data")
                    sql = f"SELECT sum(length(block)) FROM {data}"
                    indexed += int(database.execute(sql).fetchone()[0] or 0)
        n_bytes = sum(path.stat().st_size for path in self.files(url))
        touched = min(n_bytes, 3 * n * n_bytes // max(rows, 1)) + 3 * indexed
        seconds = 0.1 + n_bytes / _READ_BYTES_A_SECOND + touched / _WRITE_BYTES_A_SECOND
        return Cost(seconds, touched, "in place: unused bytes of the pages are zeroed")

    def purge(
        self,
        url: str,
        ids: Sequence[str],
        *,
        on_progress: Callable[[str], None] | None = None,
    ) -> Purged:
        """Delete what is left of `ids`, and zero what no row uses."""
        tell = on_progress or (lambda _: None)
        path = parse(url).path.resolve()
        with _alone(url, path) as held:
            tell("deleting what is still there, and merging full-text indexes")
            wrote, notes = _delete_rest(url, held, ids)
            tell("looking for bytes that no row uses")
            how, n_bytes = "in place", 0
            try:
                stretches = held.residues()
                if stretches:
                    tell(f"zeroing {len(stretches)} stretches")
                    n_bytes = held.zero(stretches)
            except UnaccountedError as error:
                tell("copying all rows (VACUUM)")
                notes += _copy(held, str(error))
                how, n_bytes = "copy", path.stat().st_size
        _remove_journal(path)
        for beside in (p for f in _family(path) for p in leftovers(f)):
            notes.append(f"{beside.name} lies beside the file and was left; delete it yourself")
        if not wrote and not n_bytes:
            return Purged("nothing", 0, tuple(notes))
        return Purged("copy" if how == "copy" else "in place", n_bytes, tuple(notes))


class _Held(NamedTuple):
    """A file that nobody else can use meanwhile.

    The descriptor stays open until after the connection is closed: closing any
    descriptor of a file drops all locks that the process has on it.
    """

    url: str
    database: sqlite3.Connection
    table: Table
    descriptor: int

    def residues(self) -> list[tuple[int, int]]:
        """Stretches of the file that no row uses and that are not zeros."""
        roots = self.database.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 0")
        with mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ) as data:
            if header(data, len(data)).reserved:
                raise UnaccountedError("an extension keeps bytes of its own on each page")
            return residues(data, [int(root) for (root,) in roots])

    def zero(self, stretches: Sequence[tuple[int, int]]) -> int:
        """Overwrite them; gives the number of bytes."""
        with translated(self.url):
            # A new change counter: others that come back drop pages from their caches
            # and cannot write the old bytes again.
            version = self.database.execute("PRAGMA user_version").fetchone()[0]
            self.database.execute(f"PRAGMA user_version = {version}")
            self.empty_log()
        try:
            for start, end in stretches:
                view = memoryview(bytes(end - start))
                while view:
                    n = os.pwrite(self.descriptor, view, end - len(view))
                    view = view[n:]
            os.fsync(self.descriptor)
        except OSError as error:
            raise IncompleteError(
                f"{self.url}: cannot overwrite unused bytes ({error.strerror or error}); all rows "
                "are intact, run it again"
            ) from error
        return sum(end - start for start, end in stretches)

    def empty_log(self) -> None:
        """Bring what waits in the write-ahead log into the file, and empty it."""
        busy = self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise StoreError(f"{self.url} is in use: its write-ahead log cannot be emptied")


@contextmanager
def _alone(url: str, path: Path) -> Iterator[_Held]:
    """The file under an exclusive lock, which lasts from transaction to transaction."""
    database = connect(path, url, writable=True)
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError as error:
        database.close()
        raise StoreError(f"{url}: cannot open {path}: {error.strerror or error}") from error
    try:
        with closing(database):
            with translated(url):
                database.execute("PRAGMA locking_mode = EXCLUSIVE")
                # Else the journal would keep the old pages until the file is closed.
                database.execute("PRAGMA journal_size_limit = 0")
                database.execute("BEGIN EXCLUSIVE")
                database.execute("COMMIT")
                table = find_table(database, url, parse(url).table, parse(url).columns)
            yield _Held(url, database, table, descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _reading(url: str) -> Iterator[tuple[sqlite3.Connection, Table]]:
    address = parse(url)
    with closing(connect(address.path, url, writable=False)) as database, translated(url):
        yield database, find_table(database, url, address.table, address.columns)


def _delete_rest(url: str, held: _Held, ids: Sequence[str]) -> tuple[bool, list[str]]:
    """Rows that are still there, and what mirrors them, in one transaction."""
    store = MutableSqliteStore(url, held.database, held.table)
    n_deleted = store.delete(ids)
    with translated(url):
        held.database.execute("BEGIN EXCLUSIVE")
        try:
            wrote, notes = clean_mirrors(held.database, held.table, ids)
            held.database.execute("COMMIT")
        except BaseException:
            if held.database.in_transaction:
                held.database.execute("ROLLBACK")
            raise
        held.empty_log()
    return wrote or n_deleted > 0, notes


def _copy(held: _Held, why: str) -> list[str]:
    """All rows written anew by SQLite itself, and what can be said about it."""
    with translated(held.url):
        held.database.execute("VACUUM")
        rebuild_by_row_number(held.database, held.table)
        held.empty_log()
    notes = [f"all rows were copied (VACUUM): {why}"]
    try:
        held.zero(held.residues())
    except UnaccountedError as error:
        notes.append(f"unused bytes after the copy could not be looked at: {error}")
    return notes


def _remove_journal(path: Path) -> None:
    """A rollback journal that a program kept (journal_mode PERSIST) holds old pages.

    One that is needed begins with SQLite's magic number; no such one is left once the
    file has been opened for writing.
    """
    journal = path.with_name(f"{path.name}-journal")
    if journal.is_file() and not any(next(blocks_of(journal), b"")[:8]):
        journal.unlink()


def _family(path: Path) -> tuple[Path, ...]:
    return (path, *(path.with_name(path.name + suffix) for suffix in _SUFFIXES))


def _encoding(path: Path) -> str:
    head = next(blocks_of(path), b"")[:100]
    return {2: "utf-16-le", 3: "utf-16-be"}.get(head[59] if len(head) > 59 else 1, "utf-8")


def _from_utf16(path: Path, encoding: str, start: int) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    skip = start
    for block in blocks_of(path):
        yield decoder.decode(block[skip:]).encode("utf-8", "replace")
        skip = 0
