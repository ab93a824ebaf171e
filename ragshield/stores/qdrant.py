"""Qdrant's local mode: `qdrant:FOLDER#COLLECTION`, the folder given to `QdrantClient(path=)`."""

from __future__ import annotations

import difflib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from ragshield.errors import MissingExtraError, StoreError, UsageError
from ragshield.protocols import Neighbours
from ragshield.records import Action, Batch, Finding, Hit, Vector
from ragshield.stores.columns import split_options
from ragshield.stores.exact import (
    check_addition,
    check_question_vector,
    check_size,
    refuse_existing,
)
from ragshield.stores.keeping import keep, kept
from ragshield.stores.qdrant_contents import (
    Contents,
    Directions,
    Stamp,
    contents_of,
    directions_of,
    stamp_of,
)
from ragshield.stores.qdrant_keys import key_of, rows_by_key
from ragshield.stores.qdrant_points import foreign_names, point_id, write_point
from ragshield.stores.sqlite_file import connect, translated
from ragshield.vectors import unit_rows


class Place(NamedTuple):
    """What a URL names.

    Attributes:
        folder: of the client.
        collection: its name.
        vector: name of its dense vector; None for the unnamed one.
        width: of that vector, as configured; None where there is none.
        options: keys of the payload named by the user.
    """

    folder: Path
    collection: str
    vector: str | None
    width: int | None
    options: Mapping[str, str]

    @property
    def file(self) -> Path:
        """The SQLite file with the points."""
        return self.folder / "collection" / self.collection / "storage.sqlite"


class QdrantStore:
    """A collection of Qdrant's local mode, for reading only.

    Qdrant's own client unpickles whatever the folder holds, which runs code of whoever
    wrote it; this reads the pickles without calling anything they name. Payloads are
    recognised as LangChain, LlamaIndex and FastEmbed write them; otherwise name the keys:
    `qdrant:FOLDER#COLLECTION?text=body&metadata=extra&vector=dense`. Search is exact
    cosine. Vectors are float32, though Qdrant stores 64 bits.
    """

    def __init__(self, url: str, place: Place) -> None:
        self._url = url
        self._place = place
        self._loaded: Contents | None = None
        self._searched: Directions | None = None

    @property
    def url(self) -> str:
        """The URL it was opened with."""
        return self._url

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None while it is empty."""
        vectors = self._load().batch.vectors
        return None if vectors is None else int(vectors.shape[1])

    def count(self) -> int:
        """Number of passages."""
        return len(self._load().batch)

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        """All passages as they are now, in the order they were written in."""
        check_size(size)
        batch = self._load().batch
        for start in range(0, len(batch), size):
            part = slice(start, start + size)
            vectors = None if batch.vectors is None else batch.vectors[part]
            yield Batch(batch.passages[part], vectors)

    def get(self, ids: Sequence[str]) -> Batch:
        """The passages with these ids that exist, in the order asked."""
        loaded = self._load()
        rows = [loaded.position[i] for i in ids if i in loaded.position]
        vectors = None if loaded.batch.vectors is None else loaded.batch.vectors[rows]
        return Batch(tuple(loaded.batch.passages[i] for i in rows), vectors)

    def search(self, vector: Vector, k: int) -> Neighbours:
        """The k most similar passages by cosine; ties in stored order."""
        batch = self._load().batch
        question = check_question_vector(self._url, vector, k, self.dim)
        if batch.vectors is None:
            return Neighbours((), np.zeros((0, len(question)), dtype=np.float32))
        if self._searched is None:
            self._searched = directions_of(batch.vectors)
            keep(self._place.file, (self._place, self._loaded, self._searched))
        similarity = np.clip(self._searched.unit @ unit_rows(question), -1.0, 1.0)
        order = np.argsort(-similarity, kind="stable")[:k]
        rows = self._searched.rows[order]
        hits = (
            Hit(batch.passages[row], float(alike))
            for row, alike in zip(rows.tolist(), similarity[order], strict=True)
        )
        return Neighbours(tuple(hits), batch.vectors[rows])

    def configuration_findings(self) -> list[Finding]:
        """A finding if a point's pickle names what no Qdrant client stores."""
        names: set[str] = set()
        with _connected(self._url, self._place) as database:
            for (pickled,) in database.execute("SELECT point FROM points"):
                names.update(foreign_names(pickled))
        if not names:
            return []
        return [
            Finding(
                passage_id=self._url,
                suspicion=1.0,
                detector="pickled-points",
                action=Action.DROP,
                reason=(
                    f"a stored point names {', '.join(sorted(names)[:3])}: a Qdrant client that "
                    "opens this folder runs it"
                ),
                evidence={"names": sorted(names)},
            )
        ]

    def close(self) -> None:
        """Forget what was loaded."""
        self._loaded = self._searched = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _load(self) -> Contents:
        """What the file holds now; read again only if it has changed since last time."""
        file = self._place.file
        stamp = stamp_of(file, self._url)
        if self._loaded is not None and self._loaded.stamp == stamp:
            return self._loaded
        held: tuple[Place, Contents, Directions | None] | None = kept(file)
        place, loaded, searched = held or (None, None, None)
        if loaded is None or place != self._place or loaded.stamp != stamp:
            with _connected(self._url, self._place) as database:
                rows = database.execute("SELECT rowid, point FROM points ORDER BY rowid")
                loaded, searched = self._read(stamp, rows), None
            keep(file, (self._place, loaded, searched))
        self._loaded, self._searched = loaded, searched
        return loaded

    def _read(self, stamp: Stamp, rows: Iterable[tuple[int, bytes]]) -> Contents:
        place = self._place
        return contents_of(rows, stamp, self._url, vector=place.vector, options=place.options)


class MutableQdrantStore(QdrantStore):
    """A collection that can be changed while no Qdrant client has its folder open."""

    def add(self, batch: Batch) -> None:
        """Insert points; all or nothing. Ids that Qdrant does not allow become UUIDs."""
        if not batch.passages:
            return
        vectors = check_addition(batch, self._place.width or self.dim)
        with locked(self._url, self._place.folder):
            loaded = self._load()
            refuse_existing([p.id for p in batch.passages if p.id in loaded.position])
            rows = []
            for passage, vector in zip(batch.passages, vectors, strict=True):
                own = point_id(passage.id)
                payload = loaded.layout.payload(passage)
                rows.append((key_of(own), write_point(own, vector, self._place.vector, payload)))
            with _connected(self._url, self._place, writable=True) as database:
                database.executemany("INSERT INTO points VALUES (?, ?)", rows)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove points; returns how many there were."""
        wanted = set(ids)
        with locked(self._url, self._place.folder):
            with _connected(self._url, self._place, writable=True) as database:
                found = rows_by_key(database, self._url, wanted)
                if found is not None:
                    rows = [(row,) for own in found.values() for row in own]
                    database.executemany("DELETE FROM points WHERE rowid = ?", rows)
                    return len(found)
            loaded = self._load()
            gone = wanted & set(loaded.position)
            rows = [(row,) for passage_id in gone for row in loaded.row_ids[passage_id]]
            with _connected(self._url, self._place, writable=True) as database:
                database.executemany("DELETE FROM points WHERE rowid = ?", rows)
        return len(gone)


def open_qdrant(
    url: str, *, writable: bool = False, trust_collection_config: bool = False
) -> QdrantStore:
    """Open `qdrant:FOLDER#COLLECTION`: a collection of Qdrant's local mode.

    Raises:
        StoreError: no such folder or collection.
    """
    del trust_collection_config  # what is pickled is never called
    place = place_of(url)
    if not writable:
        return QdrantStore(url, place)
    if not (os.access(place.file, os.W_OK) and os.access(place.file.parent, os.W_OK)):
        raise StoreError(f"{url}: no permission to change {place.file}")
    with locked(url, place.folder):
        return MutableQdrantStore(url, place)


def place_of(url: str) -> Place:
    """What a URL names.

    Raises:
        UsageError: it names no folder, or an unknown option.
        StoreError: there is no such collection, or several dense vectors.
    """
    path, _, name = url.removeprefix("qdrant:").partition("#")
    collection, options = split_options(name, url)
    if not path:
        raise UsageError(f"store URL '{url}' names no folder; write qdrant:FOLDER#COLLECTION")
    folder = Path(path).expanduser()
    try:
        known = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["collections"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{url}: {folder} is no folder of Qdrant's local mode (meta.json: {error!s:.80})"
        ) from error
    if not collection and len(known) == 1:
        collection = next(iter(known))
    if collection not in known:
        near = difflib.get_close_matches(collection, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f" (there are: {', '.join(known)})"
        raise StoreError(f"{url}: no collection '{collection}' in {folder}{hint if known else ''}")
    vector, width = _dense(url, known[collection].get("vectors") or {}, options.get("vector"))
    return Place(folder, collection, vector, width, options)


@contextmanager
def locked(url: str, folder: Path) -> Iterator[None]:
    """Keep Qdrant clients out, by the lock that they take themselves.

    Raises:
        StoreError: a client has the folder open.
    """
    try:
        import portalocker
    except ImportError as error:
        raise MissingExtraError(
            "qdrant: needs qdrant-client: pip install 'ragshield[qdrant]'"
        ) from error
    flags = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
    try:
        with (folder / ".lock").open("a+") as file:
            portalocker.lock(file, flags)
            try:
                yield
            finally:
                portalocker.unlock(file)
    except portalocker.exceptions.LockException as error:
        raise StoreError(
            f"{url}: a Qdrant client has the folder open; close it, it would not see the change"
        ) from error
    except OSError as error:
        raise StoreError(f"{url}: cannot lock {folder}: {error.strerror}") from error


@contextmanager
def _connected(url: str, place: Place, *, writable: bool = False) -> Iterator[sqlite3.Connection]:
    """The file of points; what is written becomes one transaction."""
    with closing(connect(place.file, url, writable=writable)) as database, translated(url):
        if not writable:
            yield database
            return
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
            database.execute("COMMIT")
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")


def _dense(url: str, vectors: dict[str, Any], asked: str | None) -> tuple[str | None, int | None]:
    """Name and width of the collection's dense vector."""
    if "size" in vectors:
        return None, int(vectors["size"])
    names = {name: int(found["size"]) for name, found in vectors.items()}
    if asked is not None and asked not in names:
        raise StoreError(f"{url}: no vector '{asked}'; there are: {', '.join(names) or 'none'}")
    if asked is None and len(names) > 1:
        raise StoreError(
            f"{url}: points have several vectors ({', '.join(names)}); name one with "
            f"?vector={next(iter(names))}"
        )
    name = asked or next(iter(names), None)
    return name, None if name is None else names[name]
