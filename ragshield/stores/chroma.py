"""Chroma: `chroma:PATH#COLLECTION` and `chroma+http://HOST:PORT#COLLECTION`.

Only calls that were measured never to build a collection's persisted embedding function
are made: `get`, `query` with vectors, `count`, `delete`, and `configuration_json`.
Chroma's public `add` builds it even when vectors are given, so rows are added one layer
below, through the client's server interface, after the same checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from ragshield.errors import StoreError, UsageError
from ragshield.protocols import Neighbours
from ragshield.records import Action, Batch, Finding, Hit, Passage, Vector, Vectors
from ragshield.stores import chroma_rows
from ragshield.stores.chroma_client import (
    Connection,
    EmbeddedConnection,
    ServerConnection,
    check_database,
    translated,
)
from ragshield.stores.chroma_trust import suspicious_settings
from ragshield.stores.exact import (
    check_addition,
    check_question_vector,
    check_size,
    refuse_existing,
)
from ragshield.vectors import cosines

if TYPE_CHECKING:
    from chromadb.api.models.Collection import Collection

Space = Literal["cosine", "l2", "ip"]

_PAGE = 2000
_ALL: Any = ["embeddings", "documents", "metadatas"]
_IDS_ONLY: Any = []


class ChromaStore:
    """A Chroma collection, for reading only."""

    def __init__(self, url: str, connection: Connection) -> None:
        self._url = url
        self._connection = connection
        self._dim: int | None = None
        try:
            self._connection.read(lambda collection: collection.name)
        except BaseException:
            connection.close()
            raise

    @property
    def url(self) -> str:
        """The URL it was opened with."""
        return self._url

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None while it is empty."""
        if self._dim is None:
            found = self._connection.read(lambda c: c.get(limit=1, include=["embeddings"]))
            rows = chroma_rows.vectors_of(found["embeddings"])
            self._dim = None if rows is None else int(rows.shape[1])
        return self._dim

    def count(self) -> int:
        """Number of passages."""
        return int(self._connection.read(lambda c: c.count()))

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        """All passages that exist when the first batch is asked for, in Chroma's order.

        The ids are noted first and rows fetched by id, so that rows which someone adds
        or deletes meanwhile neither shift nor repeat others. Deleted ones are left out.
        """
        check_size(size)
        ids = self._connection.read(lambda c: c.get(include=_IDS_ONLY))["ids"]
        step = min(size, _PAGE)
        for start in range(0, len(ids), step):
            batch = self._fetch(ids[start : start + step])
            if batch.passages:
                yield batch

    def get(self, ids: Sequence[str]) -> Batch:
        """The passages with these ids that exist, in the order asked."""
        wanted = [i for i in dict.fromkeys(ids) if i and chroma_rows.is_unicode(i)]
        parts = [self._fetch(wanted[s : s + _PAGE]) for s in range(0, len(wanted), _PAGE)]
        passages = [passage for part in parts for passage in part.passages]
        rows = [part.vectors for part in parts if part.vectors is not None]
        position = {passage.id: i for i, passage in enumerate(passages)}
        order = [position[passage_id] for passage_id in ids if passage_id in position]
        vectors: Vectors | None = None
        if rows:
            vectors = np.vstack(rows)[order]
        elif self.dim is not None and not passages:
            vectors = np.zeros((0, self.dim), dtype=np.float32)
        return Batch(tuple(passages[i] for i in order), vectors)

    def search(self, vector: Vector, k: int) -> Neighbours:
        """The k nearest passages as Chroma's index finds them.

        In a collection with cosine space they are ordered by similarity, which is
        computed from the stored vectors; with another space, Chroma's order stays. The
        index is approximate: where it finds fewer than there are, which happens in small
        or degenerate collections, all vectors are compared instead.
        """
        question = check_question_vector(self._url, vector, k, self.dim)
        asked: Any = [question]
        found: Any = self._connection.read(
            lambda c: c.query(query_embeddings=asked, n_results=k, include=_ALL)
        )
        row = {key: found[key][0] for key in ("ids", *_ALL) if found[key]}
        passages = chroma_rows.passages_of(row) if row["ids"] else ()
        vectors = chroma_rows.vectors_of(row.get("embeddings"))
        if len(passages) < k and len(passages) < self.count():
            batch = self._search_all(question, k)
            passages, vectors = batch.passages, batch.vectors
        if vectors is None:
            return Neighbours((), np.zeros((0, len(question)), dtype=np.float32))
        similarity = cosines(vectors, question)
        order = np.arange(len(passages))
        if self._space() == "cosine":
            order = np.argsort(-similarity, kind="stable")
        hits = tuple(Hit(passages[i], float(similarity[i])) for i in order)
        return Neighbours(hits, vectors[order])

    def configuration_findings(self) -> list[Finding]:
        """A finding if the collection persists an embedding function that is not plain."""
        oddities = self._oddities()
        if not oddities:
            return []
        return [
            Finding(
                passage_id=self._url,
                suspicion=1.0,
                detector="collection-configuration",
                action=Action.DROP,
                reason=(
                    f"{'; '.join(oddities)}: a client that adds to this collection or queries "
                    "it by text builds that function, which can run code of whoever set it"
                ),
                evidence={"oddities": oddities},
            )
        ]

    def close(self) -> None:
        """Release the connection; safe to call twice."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _oddities(self) -> list[str]:
        def look(collection: Collection) -> list[str]:
            schema = collection.get_model().serialized_schema
            return suspicious_settings(collection.configuration_json, schema)

        return self._connection.read(look, fresh=True)

    def _space(self) -> str:
        configuration = self._connection.read(lambda c: c.configuration_json)
        index = configuration.get("hnsw") or configuration.get("spann") or {}
        return str(index.get("space", "l2"))

    def _fetch(self, ids: list[str]) -> Batch:
        """The rows with these distinct ids, in their order; those that are gone left out."""
        found: Any = self._connection.read(lambda c: c.get(ids=ids, include=_ALL))
        passages = chroma_rows.passages_of(found)
        vectors = chroma_rows.vectors_of(found["embeddings"])
        position = {passage.id: i for i, passage in enumerate(passages)}
        order = [position[i] for i in ids if i in position]
        return Batch(tuple(passages[i] for i in order), None if vectors is None else vectors[order])

    def _search_all(self, question: Vector, k: int) -> Batch:
        """What Chroma's index should have found: the k nearest in the collection's space."""
        space = self._space()
        passages: tuple[Passage, ...] = ()
        vectors = np.zeros((0, len(question)), dtype=np.float32)
        for batch in self.batches(_PAGE):
            if batch.vectors is None:
                continue
            passages, vectors = passages + batch.passages, np.vstack([vectors, batch.vectors])
            order = np.argsort(_distances(vectors, question, space), kind="stable")[:k]
            passages, vectors = tuple(passages[i] for i in order), vectors[order]
        return Batch(passages, vectors)


class MutableChromaStore(ChromaStore):
    """A Chroma collection that can be changed."""

    def __init__(self, url: str, connection: Connection, *, trusted: bool = False) -> None:
        super().__init__(url, connection)
        self._trusted = trusted

    def add(self, batch: Batch) -> None:
        """Insert passages with their vectors; all or nothing.

        Cosine collections keep unit vectors, so what is read back can differ in the last
        bit from what was added.

        Raises:
            StoreError: the collection persists a suspicious embedding function and was
                not opened with trust_collection_config=True.
            InputError: see `MutableStore.add`; also ids, texts or metadata that Chroma
                cannot hold.
        """
        if not batch.passages:
            return
        if not self._trusted and (oddities := self._oddities()):
            raise StoreError(
                f"{self._url}: refused to add: {oddities[0]}; if you know who set it, "
                "open the store with trust_collection_config=True (--trust-collection-config)"
            )
        vectors = check_addition(batch, self.dim)
        chroma_rows.check_texts(batch.passages)
        metadatas = [chroma_rows.metadata_of(passage) for passage in batch.passages]
        ids = [passage.id for passage in batch.passages]
        texts = [passage.text for passage in batch.passages]
        refuse_existing(self._existing(ids))
        n_max = self._connection.write(lambda c: c._client.get_max_batch_size())
        added: list[str] = []
        try:
            for part in chroma_rows.write_chunks(batch.passages, vectors.shape[1], n_max):
                added += ids[part]
                self._connection.write(
                    lambda c, part=part: c._client._add(  # type: ignore[misc]
                        ids=ids[part],
                        collection_id=c.id,
                        embeddings=list(vectors[part]),
                        metadatas=metadatas[part],
                        documents=texts[part],
                        tenant=c.tenant,
                        database=c.database,
                    )
                )
        except BaseException as error:
            try:
                self.delete(added)
            except StoreError as second:
                raise StoreError(
                    f"{self._url}: adding failed ({error}), and taking back what was added failed "
                    f"too ({second}); up to {len(added)} of {len(ids)} rows may be there"
                ) from error
            raise

    def delete(self, ids: Iterable[str]) -> int:
        """Remove passages, and make sure that they are gone.

        Raises:
            StoreError: rows are still there after deleting.
        """
        existing = self._existing(list(dict.fromkeys(ids)))
        for start in range(0, len(existing), _PAGE):
            part = existing[start : start + _PAGE]
            self._connection.write(lambda c, part=part: c.delete(ids=part))  # type: ignore[misc]
        if left := self._existing(existing):
            raise StoreError(
                f"{self._url}: {len(left)} of {len(existing)} rows are still there after deleting "
                f"them ('{left[0]}'); something else writes to the collection"
            )
        self._dim = None
        return len(existing)

    def _existing(self, ids: Sequence[str]) -> list[str]:
        """Those of the distinct `ids` that the collection has, in their order."""
        wanted = [i for i in ids if i and chroma_rows.is_unicode(i)]
        found: set[str] = set()
        for start in range(0, len(wanted), _PAGE):
            part = wanted[start : start + _PAGE]
            rows = self._connection.write(  # the database itself, never a copy
                lambda c, part=part: c.get(ids=part, include=_IDS_ONLY)  # type: ignore[misc]
            )
            found.update(rows["ids"])
        return [i for i in wanted if i in found]


def open_embedded(
    url: str, *, writable: bool = False, trust_collection_config: bool = False
) -> ChromaStore:
    """Open `chroma:PATH#COLLECTION`, a database in a folder.

    A database that another process has open is read as it is at this moment, from a
    private copy, and cannot be opened as writable.
    """
    path, name = _parse(url.removeprefix("chroma:"), url)
    check_database(path, url)
    return _open(url, EmbeddedConnection(url, path, name), writable, trust_collection_config)


def open_server(
    url: str, *, writable: bool = False, trust_collection_config: bool = False
) -> ChromaStore:
    """Open `chroma+http://HOST:PORT#COLLECTION`, a running `chroma run`."""
    address, _, name = url.removeprefix("chroma+").partition("#")
    return _open(url, ServerConnection(url, address, name), writable, trust_collection_config)


def create_chroma(
    path: str | Path,
    collection: str,
    batches: Batch | Iterable[Batch],
    *,
    replace: bool = False,
    space: Space = "cosine",
) -> MutableChromaStore:
    """Make a collection in an embedded database, and the database if there is none.

    No embedding function is persisted with it.

    Args:
        path: folder of the database.
        collection: its name: 3 to 512 letters, digits, `.`, `_` or `-`.
        batches: what to fill it with.
        replace: delete a collection of this name first.
        space: what Chroma's index compares by.

    Raises:
        StoreError: the collection exists and `replace` is off, or Chroma refuses.
    """
    path = Path(path).expanduser()
    url = f"chroma:{path}#{collection}"
    connection = EmbeddedConnection(url, path, collection)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with translated(url):
            client = connection.client()
            if collection in {known.name for known in client.list_collections()}:
                if not replace:
                    raise StoreError(f"{url} exists already; pass replace=True to make it anew")
                client.delete_collection(collection)
            client.create_collection(
                collection, embedding_function=None, configuration={"hnsw": {"space": space}}
            )
        store = MutableChromaStore(url, connection)
        for batch in [batches] if isinstance(batches, Batch) else batches:
            store.add(batch)
    except OSError as error:
        raise StoreError(f"cannot make {path}: {error.strerror}") from error
    except BaseException:
        connection.close()
        raise
    return store


def _open(url: str, connection: Connection, writable: bool, trusted: bool) -> ChromaStore:
    if writable:
        try:
            connection.client()
        except BaseException:
            connection.close()
            raise
        return MutableChromaStore(url, connection, trusted=trusted)
    return ChromaStore(url, connection)


def _parse(place: str, url: str) -> tuple[Path, str]:
    path, hash_sign, name = place.rpartition("#")
    if not hash_sign:
        path, name = place, ""
    if not path:
        raise UsageError(f"store URL '{url}' names no folder; write chroma:PATH#COLLECTION")
    return Path(path).expanduser(), name


def _distances(vectors: Vectors, question: Vector, space: str) -> Vector:
    if space == "l2":
        return np.asarray(((vectors - question) ** 2).sum(axis=1), dtype=np.float32)
    if space == "ip":
        return np.asarray(-(vectors @ question), dtype=np.float32)
    return -cosines(vectors, question)
