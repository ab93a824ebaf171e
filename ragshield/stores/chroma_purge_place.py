"""Where an embedded Chroma database keeps things, and which collection a URL names."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ragshield.errors import IncompleteError, RagshieldError, StoreError, UsageError
from ragshield.stores.chroma_copy import holders

DATABASE = "chroma.sqlite3"
HEADER, ROWS, LENGTHS, LINKS, MAPS = (
    "header.bin",
    "data_level0.bin",
    "length.bin",
    "link_lists.bin",
    "index_metadata.pickle",
)
INDEX_FILES = frozenset({HEADER, ROWS, LENGTHS, LINKS, MAPS})

_PATIENCE_S = 2.0
"""Chroma closes files in the background when a client is closed."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Place(NamedTuple):
    """An embedded database and one of its collections.

    Attributes:
        url: as it was given, for messages.
        path: the folder.
        collection: the collection's name; empty if the URL names none.
    """

    url: str
    path: Path
    collection: str

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / DATABASE


class Segments(NamedTuple):
    """Ids under which a collection's parts are kept.

    Attributes:
        collection: the collection's own id.
        topic: what the log calls it; None if the log has nothing of it.
        vector: its index, also the name of the folder of the index files.
        metadata: its texts and metadata.
    """

    collection: str
    topic: str | None
    vector: str
    metadata: str


def place_of(url: str) -> Place:
    """Read `chroma:PATH#COLLECTION`.

    Raises:
        UsageError: no folder is named.
    """
    place, hash_sign, name = url.removeprefix("chroma:").rpartition("#")
    path = place if hash_sign else name
    if not path:
        raise UsageError(f"store URL '{url}' names no folder; write chroma:PATH#COLLECTION")
    return Place(url, Path(path).expanduser(), name if hash_sign else "")


def is_segment(name: str) -> bool:
    """Whether a folder's name is the id of a segment."""
    return _UUID.fullmatch(name) is not None


def segment_folders(path: Path) -> list[Path]:
    """Folders of index files, also of collections that are gone, sorted."""
    with suppress(OSError):
        return sorted(f for f in path.iterdir() if is_segment(f.name) and f.is_dir())
    return []


def store_files(path: Path) -> tuple[Path, ...]:
    """The SQLite file, what SQLite keeps beside it, and all index files, sorted."""
    found = [f for f in path.glob(f"{DATABASE}*") if f.is_file()]
    for folder in segment_folders(path):
        found += [f for f in folder.rglob("*") if f.is_file() and not f.is_symlink()]
    return tuple(sorted(found))


def segments_of(database: sqlite3.Connection, place: Place) -> Segments:
    """The segments of the named collection.

    Raises:
        StoreError: no such collection, or it keeps its vectors in a way not known here.
    """
    found = database.execute(
        "select c.id from collections c join databases d on d.id = c.database_id "
        "where c.name = ? and d.name = 'default_database' and d.tenant_id = 'default_tenant'",
        (place.collection,),
    ).fetchone()
    if found is None:
        names = [str(n) for (n,) in database.execute("select name from collections order by name")]
        listing = ", ".join(names[:20]) or "none"
        raise StoreError(f"{place.url}: no collection '{place.collection}' (there are: {listing})")
    collection = str(found[0])
    rows = database.execute("select scope, type, id from segments where collection = ?", found)
    kinds = {scope: (kind, segment) for scope, kind, segment in rows}
    vector, metadata = kinds.get("VECTOR"), kinds.get("METADATA")
    if vector is None or metadata is None or not is_segment(str(vector[1])):
        raise StoreError(f"{place.url}: the collection's segments are not all there; it is damaged")
    if vector[0] != "urn:chroma:segment/vector/hnsw-local-persisted":
        raise StoreError(
            f"{place.url}: its vectors are in a segment of type '{vector[0]}', which cannot be "
            "purged; copy the live rows into a new folder and delete this one"
        )
    topics = database.execute("select distinct topic from embeddings_queue").fetchall()
    topic = next((str(t) for (t,) in topics if t.rpartition("/")[2] == collection), None)
    return Segments(collection, topic, str(vector[1]), str(metadata[1]))


def refuse_if_open(place: Place) -> None:
    """Refuse a database that any process has open, this one included.

    Raises:
        StoreError: it is open; Chroma keeps its index in memory and would write it back.
    """
    if others := holders(place.path):
        raise StoreError(
            f"{place.url}: process {others[0]} has this database open and would write deleted "
            "vectors back; stop it first"
        )
    deadline = time.monotonic() + _PATIENCE_S
    while _open_here(place):
        if time.monotonic() > deadline:
            raise StoreError(
                f"{place.url}: this process has the database open itself and would write deleted "
                "vectors back; close the store, or the client that holds it, first"
            )
        time.sleep(0.02)


def _open_here(place: Place) -> bool:
    wanted = os.path.realpath(place.database)
    for handle in Path("/proc/self/fd").glob("*"):  # none where there is no /proc
        with suppress(OSError):  # closed meanwhile
            if os.path.realpath(handle) == wanted:
                return True
    return False


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn what the disk and SQLite raise into one line that names the store."""
    try:
        yield
    except RagshieldError:
        raise
    except sqlite3.Error as error:
        text = str(error)
        if "full" in text or "I/O" in text:
            raise IncompleteError(_unfinished(url, text)) from error
        if "readonly" in text or "unable to open" in text:
            raise StoreError(f"{url}: no permission to change it ({text})") from error
        if "fts5" in text or "tokenizer" in text:
            raise StoreError(
                f"{url}: SQLite {sqlite3.sqlite_version} of this Python cannot read the text "
                f"index ({text}); use a Python with a newer one"
            ) from error
        if "locked" in text or "busy" in text:
            raise StoreError(f"{url}: in use by another program ({text}); stop it") from error
        raise StoreError(f"{url}: the database is damaged ({text})") from error
    except OSError as error:
        text = error.strerror or str(error)
        if error.errno in _FULL:
            raise IncompleteError(_unfinished(url, text)) from error
        raise StoreError(f"{url}: {text}: {error.filename}") from error


def _unfinished(url: str, cause: str) -> str:
    return (
        f"{url}: purging did not finish ({cause}); every live row is there: make room, then do "
        "this again"
    )
