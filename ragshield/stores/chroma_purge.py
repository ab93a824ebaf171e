"""An embedded Chroma database loses the bytes of deleted rows, in place."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, StoreError
from ragshield.protocols import Cost, Purged, Surface
from ragshield.records import Vectors
from ragshield.stores import chroma_purge_index as index
from ragshield.stores import chroma_purge_log as log
from ragshield.stores.chroma import open_embedded
from ragshield.stores.chroma_client import check_database
from ragshield.stores.chroma_purge_lengths import blank_lengths, space_of
from ragshield.stores.chroma_purge_place import (
    INDEX_FILES,
    Place,
    Segments,
    place_of,
    refuse_if_open,
    segment_folders,
    segments_of,
    store_files,
    translated,
)
from ragshield.stores.chroma_purge_surfaces import surfaces_of, vector_forms
from ragshield.stores.sqlite_pages import UnaccountedError

_SECONDS_A_BYTE = 1.5e-8
"""Of the SQLite file, most of it for merging the text index; on one core."""

_TEXT_INDEX = 0.45
"""Its share of the SQLite file, with English texts of some 300 characters."""


class ChromaPurge:
    """Overwrite deleted vectors, clean the log, merge the text index, zero free bytes.

    What Chroma 1.5.9 keeps of a deleted row: its vector in the index, for ever; its id
    there and its text and vector in the log, until 1,000 more changes were made; its
    three-letter sequences in the text index; and all of it in free bytes of the SQLite
    file. What is done, and why each step may be interrupted:

    1. The row's id in the saved index is exchanged for a random one. The deletion of the
       random id is logged before, so Chroma replays it over the old maps and the new.
    2. Its vector is moved to the mean direction of its live neighbours. The row is dead
       to every search already, and the graph stays as navigable as it was: no row is
       inserted anew. A deleted row only serves as a waypoint.
    3. Its changes are taken out of the log, strays of deleted collections with them, and
       the text index is merged: one transaction of SQLite.
    4. Index files lose what was never the index's: unused memory of Chroma's process,
       which it saves behind the last row and, in another space than cosine, as the
       lengths of vectors; of all collections.
    5. Unused bytes of the SQLite file are zeroed. Where its pages do not add up, SQLite's
       VACUUM writes the file anew instead.
    6. Folders of index files that belong to no collection are removed.

    Ids, texts, metadata and vectors of live rows stay bit for bit, and their order in
    answers; which rows an approximate index finds can change as if waypoints had been
    elsewhere. Measured with 300 questions to 100,000 rows of 384 numbers: with 20 rows of
    one subject deleted, all first ten hits were the same, in order, and 296 of the first
    hundred; with 40,000 deleted, 298 and 231. The recall of the nearest rows did not fall
    by more than 0.0003, so there is no share from which on building the index anew pays.

    Deleted rows of other collections are left to a purge of their own, as far as they
    are in their index and log.
    """

    name: ClassVar[str] = "chroma"
    version: ClassVar[int] = 2

    def describe(self, url: str) -> Mapping[str, str]:
        """Versions of Chroma and SQLite."""
        del url
        return {
            "store": "chroma",
            "recipe": f"{self.name} {self.version}",
            "chromadb": version("chromadb"),
            "sqlite": sqlite3.sqlite_version,
        }

    def files(self, url: str) -> tuple[Path, ...]:
        """The SQLite file, its journals and all index files, of other collections, too."""
        return store_files(place_of(url).path)

    def surfaces(self, url: str) -> tuple[Surface, ...]:
        """All files; the log and the vectors of each index decoded."""
        return surfaces_of(place_of(url))

    def untested(self, url: str) -> tuple[str, ...]:
        """The text index while it has several segments: those may hold deleted rows' letters.

        A search for texts cannot see its sequences of three letters. Merged into one
        segment, as a purge leaves it, it holds those of the rows that are there alone.
        """
        if log.is_text_index_merged(place_of(url).database):
            return ()
        return ("three-letter sequences in the unmerged full-text index of chroma.sqlite3",)

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """As given, and at length 1."""
        return vector_forms(vectors)

    def cost(self, url: str, n: int) -> Cost:
        """Mostly the merging of the text index, whose size does not depend on `n`."""
        place = place_of(url)
        check_database(place.path, url)
        database = place.database.stat().st_size
        maps = sum((f / "index_metadata.pickle").stat().st_size for f in _saved(place.path))
        return Cost(
            seconds=0.3 + database * _SECONDS_A_BYTE + n * 5e-5,
            disk_bytes=int(2 * _TEXT_INDEX * database) + maps,
            how="in place: dead vectors are overwritten, the text index is merged",
        )

    def purge(
        self,
        url: str,
        ids: Sequence[str],
        *,
        on_progress: Callable[[str], None] | None = None,
    ) -> Purged:
        """Erase deleted rows of the collection from every file of the database.

        A URL without a collection stands for a database that has none any more: what
        deleted collections have left in it is erased.
        """
        tell = on_progress or (lambda _: None)
        place = place_of(url)
        check_database(place.path, url)
        _check_writable(place)
        refuse_if_open(place)
        with translated(url):
            if not place.collection and _is_empty(place):
                return _purge_leftovers(place, tell)
            _bring_up_to_date(place, ids)
            _let_chroma_save(place)
            tell("erasing vectors and ids from the index")
            with closing(log.connect(place)) as database:
                segments = segments_of(database, place)
                n_folders = _remove_orphans(place, database)
                n_index = _purge_index(place, database, segments) + _zero_memory(place, database)
                tell("erasing the log and merging the text index")
                removed = _purge_tables(place, database, segments)
                empty = not log.live_ids(database, segments)
                space = space_of(database, segments.vector)
                tell("zeroing unused bytes")
                n_bytes, notes = _zero(place, database)
            log.remove_journal(place)
        notes = (*notes, *_left(removed, n_folders))
        if empty:
            notes += (
                "the collection is empty: whenever a client opens it, Chroma fills unused parts "
                "of its index files with that client's memory",
            )
        elif space != "cosine":
            notes += (
                f"the index compares by {space}: with rows added later, Chroma saves unused "
                "memory of the program that adds them; end programs that have read deleted rows",
            )
        return _summed(n_index + n_bytes, removed, n_folders, notes)


def _left(removed: log.Removed, n_folders: int) -> tuple[str, ...]:
    """What was there of rows and collections that nobody has any more, in words."""
    said = []
    if removed.strays:
        said.append(f"rows that belonged to no collection, removed: {removed.strays}")
    if n_folders:
        said.append(f"index folders of deleted collections, removed: {n_folders}")
    return tuple(said)


def _purge_leftovers(place: Place, tell: Callable[[str], None]) -> Purged:
    """Take out what deleted collections left, where no other one is there."""
    with closing(log.connect(place)) as database:
        n_folders = _remove_orphans(place, database)
        tell("erasing the log and merging the text index")
        removed = log.remove_ownerless(database)
        tell("zeroing unused bytes")
        n_bytes, notes = _zero(place, database)
    log.remove_journal(place)
    notes = (*notes, *_left(removed, n_folders))
    return _summed(n_bytes, removed, n_folders, notes)


def _summed(n_bytes: int, removed: log.Removed, n_folders: int, notes: tuple[str, ...]) -> Purged:
    written = n_bytes + removed.merged
    if not written and not removed.changes and not n_folders:
        return Purged("nothing", 0, notes)
    return Purged("copy" if any("VACUUM" in n for n in notes) else "in place", written, notes)


def _is_empty(place: Place) -> bool:
    with closing(log.connect(place)) as database:
        return database.execute("select 1 from collections limit 1").fetchone() is None


def _check_writable(place: Place) -> None:
    for path in (place.path, place.database, *segment_folders(place.path)):
        if not os.access(path, os.W_OK):
            raise StoreError(f"{place.url}: no permission to change {path}")


def _bring_up_to_date(place: Place, ids: Sequence[str]) -> None:
    """Delete ids that are there, and let Chroma apply changes that were only logged."""
    with closing(log.connect(place)) as database:
        segments = segments_of(database, place)
        left = log.live_ids(database, segments).intersection(ids)
        if not left and not log.behind(database, segments):
            return
    with closing(open_embedded(place.url, writable=True)) as store:
        store.count()  # this is when Chroma applies what was logged
        store.delete(ids)  # type: ignore[attr-defined]
    refuse_if_open(place)
    with closing(log.connect(place)) as database:
        if log.behind(database, segments_of(database, place)):
            raise IncompleteError(
                f"{place.url}: Chroma did not apply all changes that it had logged; open the "
                "collection once, close it, and do this again"
            )


def _purge_index(place: Place, database: sqlite3.Connection, segments: Segments) -> int:
    """Take ids and vectors of dead rows out of the index files; gives bytes written."""
    folder = place.path / segments.vector
    if not folder.is_dir():
        return 0
    index.remove_temporaries(folder)
    graph = index.open_graph(folder, place.url)
    if graph is None:
        return 0
    n_bytes = 0
    maps = index.read_maps(folder, place.url)
    gone: set[str] = set()
    if maps is not None:
        live = log.live_ids(database, segments)
        gone = log.forgotten(database, segments, live, maps["id_to_label"])
        names = log.nameless(database, segments, gone)
        if names:
            log.log_deletions(database, segments, names.values())
            n_bytes += index.rename_ids(folder, maps, names)
            gone = {names.get(i, i) for i in gone}
    n_bytes += index.overwrite(graph, index.dead_rows(graph, maps, gone))
    return n_bytes


def _zero_memory(place: Place, database: sqlite3.Connection) -> int:
    """Take unused memory out of the index files of all collections; gives bytes written."""
    n_bytes = 0
    known = {str(i) for (i,) in database.execute("select id from segments")}
    for folder in segment_folders(place.path):
        with suppress(StoreError):  # another collection's index may be damaged
            header = index.read_header(folder, place.url)
            if header is None:
                continue
            n_bytes += index.zero_slack(folder, header)
            if folder.name in known and space_of(database, folder.name) != "cosine":
                n_bytes += blank_lengths(folder, header)
    return n_bytes


def _let_chroma_save(place: Place) -> None:
    """Make Chroma save an index that it never saved, which it does after so many changes.

    Until then it makes the files of that index anew whenever it opens the collection,
    and fills them with unused memory of its process: whatever that process has read,
    deleted texts too, may land there after the purge. The changes are deletions of ids
    that do not exist.
    """
    with closing(log.connect(place)) as database:
        segments = segments_of(database, place)
        maps = index.read_maps(place.path / segments.vector, place.url)
        if (maps and maps["id_to_label"]) or not log.live_ids(database, segments):
            return
        n = log.changes_before_saving(database, segments)
        log.log_deletions(database, segments, [log.new_name() for _ in range(n)])
    with closing(open_embedded(place.url, writable=True)) as store:
        store.count()
    refuse_if_open(place)


def _purge_tables(place: Place, database: sqlite3.Connection, segments: Segments) -> log.Removed:
    maps = index.read_maps(place.path / segments.vector, place.url)
    live = log.live_ids(database, segments)
    indexed = maps["id_to_label"] if maps else ()
    keep = log.forgotten(database, segments, live, indexed)
    segments = segments_of(database, place)  # the log may only now have a topic
    return log.remove_rows(database, segments, live, keep)


def _zero(place: Place, database: sqlite3.Connection) -> tuple[int, tuple[str, ...]]:
    try:
        return log.zero_unused(database, place), ()
    except UnaccountedError as error:
        database.execute("rollback")
        database.execute("pragma secure_delete = on")
        database.execute("vacuum")
        database.execute("pragma wal_checkpoint(truncate)")
        note = f"the SQLite file was written anew (VACUUM): {error}"
        return place.database.stat().st_size, (note,)


def _remove_orphans(place: Place, database: sqlite3.Connection) -> int:
    """Remove folders of index files that belong to no segment; gives how many."""
    known = {str(i) for (i,) in database.execute("select id from segments")}
    n = 0
    for folder in segment_folders(place.path):
        files = list(folder.iterdir())
        if folder.name in known or not {f.name for f in files} <= INDEX_FILES:
            continue
        for file in files:
            file.unlink()
        folder.rmdir()
        n += 1
    if n:
        index.sync_folder(place.path)
    return n


def _saved(path: Path) -> list[Path]:
    return [f for f in segment_folders(path) if (f / "index_metadata.pickle").is_file()]
