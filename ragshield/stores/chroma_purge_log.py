"""Chroma's SQLite file: its log of changes, rows without an owner, and the text index.

The log (`embeddings_queue`) is what Chroma replays over the saved index when it opens a
collection: nobody may take out a row that the replay needs, nor the last row, because
Chroma numbers new changes after it and skips numbers that an index has seen.
"""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Iterable, Mapping
from contextlib import closing
from mmap import ACCESS_READ, mmap
from os import fsync, pwrite
from pathlib import Path
from typing import NamedTuple

from ragshield.stores.chroma_purge_place import Place, Segments
from ragshield.stores.sqlite_pages import residues

_DELETE = 3
_USUAL_THRESHOLD = 1000
_THRESHOLD = re.compile(r'"sync_threshold": *(\d{1,7})\b')
_ERASED = "erased-"
_FULL_TEXT = "embedding_fulltext_search"
_AT_ONCE = 1 << 20


class Removed(NamedTuple):
    """What was taken out of the SQLite file.

    Attributes:
        changes: rows of the log.
        strays: rows of texts or metadata that belong to no live row of any collection.
        merged: bytes of the text index that were written anew.
    """

    changes: int
    strays: int
    merged: int


def connect(place: Place) -> sqlite3.Connection:
    """Open the file for this process alone, until the connection is closed."""
    database = sqlite3.connect(place.database, isolation_level=None, timeout=5)
    database.execute("pragma locking_mode = exclusive")
    database.execute("pragma secure_delete = off")  # free bytes are zeroed all at once, later
    database.execute("begin immediate")
    database.execute("commit")
    return database


def behind(database: sqlite3.Connection, segments: Segments) -> bool:
    """Whether the log holds changes that the table of texts has not seen."""
    last = database.execute(
        "select max(seq_id) from embeddings_queue where topic = ?", (segments.topic,)
    ).fetchone()[0]
    return last is not None and last > _seen(database, segments.metadata)


def live_ids(database: sqlite3.Connection, segments: Segments) -> set[str]:
    """Ids of all live rows."""
    rows = database.execute(
        "select embedding_id from embeddings where segment_id = ?", (segments.metadata,)
    )
    return {str(i) for (i,) in rows}


def forgotten(
    database: sqlite3.Connection, segments: Segments, live: set[str], indexed: Iterable[str]
) -> set[str]:
    """Ids in the saved index whose vectors there no live row owns."""
    deletions = _deletions(database, segments, since=_seen(database, segments.vector))
    return {i for i in indexed if i not in live or i in deletions}


def nameless(database: sqlite3.Connection, segments: Segments, ids: set[str]) -> dict[str, str]:
    """A new name without meaning for each id but those that have such a name and need none."""
    deletions = _deletions(database, segments, since=_seen(database, segments.vector))
    return {i: new_name() for i in sorted(ids) if not (i.startswith(_ERASED) and i in deletions)}


def new_name() -> str:
    """An id without meaning."""
    return _ERASED + uuid.uuid4().hex


def changes_before_saving(database: sqlite3.Connection, segments: Segments) -> int:
    """How many changes make Chroma save the collection's index."""
    found = database.execute(
        "select config_json_str, schema_str from collections where id = ?", (segments.collection,)
    ).fetchone()
    settings = [int(n) for n in _THRESHOLD.findall(" ".join(text or "" for text in found))]
    settings += [
        int(n or 0)
        for (n,) in database.execute(
            "select int_value from collection_metadata where key = 'hnsw:sync_threshold'"
        )
    ]
    return max(settings, default=_USUAL_THRESHOLD)


def log_deletions(database: sqlite3.Connection, segments: Segments, ids: Iterable[str]) -> None:
    """Append deletions, which mean nothing until the index knows these ids."""
    database.execute("begin immediate")
    database.executemany(
        "insert into embeddings_queue (operation, topic, id, metadata) values (?, ?, ?, '{}')",
        [(_DELETE, segments.topic or _topic(segments), i) for i in ids],
    )
    database.execute(
        "update max_seq_id set seq_id = (select max(seq_id) from embeddings_queue) "
        "where segment_id = ?",
        (segments.metadata,),
    )
    database.execute("commit")


def remove_rows(
    database: sqlite3.Connection, segments: Segments, live: set[str], keep: set[str]
) -> Removed:
    """Take out of every table what belongs to no live row, in one transaction.

    Args:
        database: the file.
        segments: the collection's.
        live: ids of all live rows.
        keep: ids whose deletion the saved index still has to be told.
    """
    database.execute("begin immediate")
    return _removed(database, _superfluous(database, segments, live, keep))


def remove_ownerless(database: sqlite3.Connection) -> Removed:
    """The same for a database without collections: what deleted ones left."""
    database.execute("begin immediate")
    return _removed(database, [])


def _removed(database: sqlite3.Connection, superfluous: list[int]) -> Removed:
    superfluous = superfluous + _of_no_collection(database)
    last = database.execute("select max(seq_id) from embeddings_queue").fetchone()[0]
    changes = [(n,) for n in set(superfluous) if n != last]
    database.executemany("delete from embeddings_queue where seq_id = ?", changes)
    if last in superfluous and not _is_bare(database, last):
        changes.append((last,))
        database.execute(
            "update embeddings_queue set operation = ?, id = ?, vector = null, encoding = null, "
            "metadata = '{}' where seq_id = ?",
            (_DELETE, new_name(), last),
        )
    strays = _remove_strays(database)
    merged = _merge_text_index(database)
    database.execute("commit")
    return Removed(len(changes), strays, merged)


def zero_unused(database: sqlite3.Connection, place: Place) -> int:
    """Zero every byte of the file that holds nothing that lives; gives how many.

    SQLite never reads these bytes, so a write that is cut short does no harm.

    Raises:
        UnaccountedError: the pages do not add up; nothing was written.
    """
    if database.execute("pragma journal_mode").fetchone()[0] == "wal":
        database.execute("pragma wal_checkpoint(truncate)")
    roots = [n for (n,) in database.execute("select rootpage from sqlite_master") if n]
    n_bytes = 0
    # Closing any handle on the file drops this process's locks on it (POSIX), so both are
    # closed last; see https://www.sqlite.org/howtocorrupt.html, section 2.2.
    with place.database.open("r+b", buffering=0) as file:
        database.execute("begin exclusive")
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            for start, end in _joined(residues(data, roots)):
                for at in range(start, end, _AT_ONCE):
                    n_bytes += pwrite(file.fileno(), bytes(min(_AT_ONCE, end - at)), at)
        if n_bytes:
            fsync(file.fileno())
        database.execute("rollback")
        # What this connection remembers of the file is what it was.
        database.close()
    return n_bytes


def remove_journal(place: Place) -> None:
    """Remove a rollback journal that a killed program left and that nobody needs.

    SQLite undoes a half-done change when it opens the file, but lets a journal lie that
    has no beginning, with whole pages of old rows in it.
    """
    journal = place.database.with_name(f"{place.database.name}-journal")
    with closing(sqlite3.connect(place.database, isolation_level=None, timeout=5)) as database:
        database.execute("begin exclusive")  # nobody else has one now
        journal.unlink(missing_ok=True)
        database.execute("rollback")


def _superfluous(
    database: sqlite3.Connection, segments: Segments, live: set[str], keep: set[str]
) -> list[int]:
    """Changes of rows that are gone, also of earlier rows with the id of a live one."""
    if segments.topic is None:
        return []
    deletions = _deletions(database, segments, since=0)
    rows = database.execute(
        "select seq_id, id from embeddings_queue where topic = ?", (segments.topic,)
    )
    return [n for n, i in rows if i not in keep and (i not in live or n <= deletions.get(i, 0))]


def _of_no_collection(database: sqlite3.Connection) -> list[int]:
    known = {i for (i,) in database.execute("select id from collections")}
    topics = database.execute("select distinct topic from embeddings_queue").fetchall()
    gone = [topic for (topic,) in topics if topic.rpartition("/")[2] not in known]
    return [
        n
        for topic in gone
        for (n,) in database.execute(
            "select seq_id from embeddings_queue where topic = ?", (topic,)
        )
    ]


def _is_bare(database: sqlite3.Connection, number: int) -> bool:
    operation, name = database.execute(
        "select operation, id from embeddings_queue where seq_id = ?", (number,)
    ).fetchone()
    return bool(operation == _DELETE and name.startswith(_ERASED))


def _remove_strays(database: sqlite3.Connection) -> int:
    """Remove rows that deleted collections, or a killed deletion, left in other tables."""
    n = database.total_changes
    owned = "select id from embeddings"
    database.execute("delete from embeddings where segment_id not in (select id from segments)")
    tables = {name for (name,) in database.execute("select name from sqlite_master")}
    for table in ("embedding_metadata", "embedding_metadata_array"):
        if table in tables:  # the latter only since chromadb 1.3
            database.execute(f"delete from {table} where id not in ({owned})")
    n = database.total_changes - n
    texts = f"select id from {_FULL_TEXT}_content where id not in ({owned})"
    stray = database.execute(texts).fetchall()
    database.executemany(f"delete from {_FULL_TEXT} where rowid = ?", stray)
    return n + len(stray)


def _merge_text_index(database: sqlite3.Connection) -> int:
    """Merge the text index into one segment, which is when it loses deleted rows."""
    ((structure,),) = database.execute(f"select block from {_FULL_TEXT}_data where id = 10")
    if _n_segments(structure) <= 1:
        return 0
    database.execute(f"insert into {_FULL_TEXT} ({_FULL_TEXT}) values ('optimize')")
    (size,) = database.execute(f"select sum(length(block)) from {_FULL_TEXT}_data").fetchone()
    return int(size)


def is_text_index_merged(file: Path) -> bool:
    """Whether FTS5 keeps the text index in one segment, without traces of deleted rows."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
            query = f"select block from {_FULL_TEXT}_data where id = 10"
            return all(_n_segments(structure) <= 1 for (structure,) in database.execute(query))
    except sqlite3.Error:
        return False


def _n_segments(structure: bytes) -> int:
    """Second number of FTS5's structure record: 4 bytes of cookie, then levels, segments."""
    numbers, value = [], 0
    start = 8 if structure[4:8] == b"\xff\x00\x00\x01" else 4  # a second form, since 3.43
    for byte in structure[start : start + 10]:
        value = value << 7 | byte & 127
        if byte < 128:
            numbers.append(value)
            value = 0
    return numbers[1]


def _deletions(
    database: sqlite3.Connection, segments: Segments, *, since: int
) -> Mapping[str, int]:
    """Number of the last deletion of each id in the log."""
    rows = database.execute(
        "select id, max(seq_id) from embeddings_queue "
        "where topic = ? and operation = ? and seq_id > ? group by id",
        (segments.topic, _DELETE, since),
    )
    return {str(i): int(n) for i, n in rows}


def _seen(database: sqlite3.Connection, segment: str) -> int:
    """Number of the last change that a segment has saved."""
    found = database.execute("select seq_id from max_seq_id where segment_id = ?", (segment,))
    row = found.fetchone()
    if row is None or row[0] is None:
        return 0
    return int.from_bytes(row[0], "big") if isinstance(row[0], bytes) else int(row[0])


def _topic(segments: Segments) -> str:
    return f"persistent://default/default/{segments.collection}"


def _joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if joined and joined[-1][1] == start:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined
