"""A Chroma server: its files where they can be reached, else a copy through its interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple
from urllib.parse import parse_qs, urlsplit

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, StoreError
from ragshield.protocols import Cost, Purged, Surface
from ragshield.records import Vectors
from ragshield.stores.chroma_client import ServerConnection, find, translated
from ragshield.stores.chroma_copy import holders
from ragshield.stores.chroma_purge import ChromaPurge
from ragshield.stores.chroma_purge_surfaces import vector_forms

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

_PAGE = 500
_NEW, _OLD = ".ragshield-new", ".ragshield-old"
_ROWS_A_SECOND = 900.0


class Server(NamedTuple):
    """What a URL says.

    Attributes:
        address: of the server, as `ServerConnection` takes it.
        collection: its name.
        folder: the server's folder, where `?files=FOLDER` gives it.
    """

    address: str
    collection: str
    folder: Path | None


class _Schema(NamedTuple):
    """A collection's schema as JSON: nothing that it names is built."""

    content: dict[str, Any]

    def serialize_to_json(self) -> dict[str, Any]:
        return self.content


class ChromaServerPurge:
    """Purge the files of a stopped server, or copy live rows within a running one.

    With `?files=FOLDER` in the URL, the folder that `chroma run --path` was given, the
    server's files are searched, and purged as those of an embedded database, for which
    the server must be stopped.

    Without, only its interface can be reached: live rows are copied into a new
    collection, which takes the old one's name, and the old one is deleted. That takes
    the deleted rows out of the log and the index in use, but not from the disk: Chroma
    leaves the folder of a deleted collection's index behind with every vector, and texts
    in free bytes of its SQLite file. Vectors in cosine space are brought to length 1
    again, which can change their last bit; the collection's id is another one, and the
    index is built anew. A copy that was interrupted is thrown away by the next call, a
    change of names completed.
    """

    name: ClassVar[str] = "chroma+http"
    version: ClassVar[int] = 1

    def describe(self, url: str) -> Mapping[str, str]:
        """Versions of the server, if it answers, and of the client."""
        facts = {
            "store": "chroma server",
            "recipe": f"{self.name} {self.version}",
            "chromadb": version("chromadb"),
        }
        server = server_of(url)
        try:
            with closing(ServerConnection(url, server.address, "")) as connection:
                facts["server"] = str(connection.client().get_version())
        except StoreError:
            facts["server"] = "not running"
        return facts

    def files(self, url: str) -> tuple[Path, ...]:
        """The server's files; none without `?files=FOLDER`."""
        inner = _inner(server_of(url))
        return ChromaPurge().files(inner) if inner else ()

    def surfaces(self, url: str) -> tuple[Surface, ...]:
        """As of an embedded database; none without `?files=FOLDER`."""
        inner = _inner(server_of(url))
        return ChromaPurge().surfaces(inner) if inner else ()

    def untested(self, url: str) -> tuple[str, ...]:
        """All files of the server, unless `?files=FOLDER` says where they are."""
        inner = _inner(server_of(url))
        if inner:
            return ChromaPurge().untested(inner)
        return (
            "every file of the server: its SQLite file with log and text index, and the index "
            "folders of this and of deleted collections (name its folder with ?files=FOLDER)",
        )

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """As given, and at length 1."""
        return vector_forms(vectors)

    def cost(self, url: str, n: int) -> Cost:
        """In place with `?files=FOLDER`; else all live rows are copied."""
        server = server_of(url)
        if inner := _inner(server):
            return ChromaPurge().cost(inner, n)
        with translated(url), closing(ServerConnection(url, server.address, "")) as connection:
            collection = find(connection.client(), server.collection, url)
            n_rows = collection.count()
            row = collection.get(limit=1, include=["embeddings"])["embeddings"]
        dim = len(row[0]) if row is not None and len(row) else 0
        return Cost(
            seconds=1 + n_rows / _ROWS_A_SECOND,
            disk_bytes=n_rows * (8 * dim + 3000),
            how="copy: the server's files cannot be reached; name its folder with ?files=FOLDER",
        )

    def purge(
        self,
        url: str,
        ids: Sequence[str],
        *,
        on_progress: Callable[[str], None] | None = None,
    ) -> Purged:
        """Purge the files of a stopped server, or copy all live rows of a running one."""
        tell = on_progress or (lambda _: None)
        server = server_of(url)
        if inner := _inner(server):
            assert_stopped(server, url)
            return ChromaPurge().purge(inner, ids, on_progress=on_progress)
        with translated(url), closing(ServerConnection(url, server.address, "")) as connection:
            client = connection.client()
            _finish_renaming(client, server.collection)
            old = find(client, server.collection, url)
            for start in range(0, len(ids), _PAGE):
                old.delete(ids=list(ids[start : start + _PAGE]))
            new, n_bytes = _copied(client, old, url, tell)
            tell("changing names")
            old.modify(name=server.collection + _OLD)
            new.modify(name=server.collection)
            client.delete_collection(server.collection + _OLD)
        return Purged(
            "copy",
            n_bytes,
            (
                "the server keeps the old index files and free bytes with deleted rows on its "
                "disk: stop it and purge with ?files=FOLDER to erase them",
                "the collection has a new id, and its index was built anew",
            ),
        )


class ChromaTlsServerPurge(ChromaServerPurge):
    """Purge the files of a stopped server, or copy live rows within one behind TLS."""

    name: ClassVar[str] = "chroma+https"


def server_of(url: str) -> Server:
    """Read `chroma+http://HOST:PORT[?files=FOLDER]#COLLECTION`."""
    address, _, name = url.removeprefix("chroma+").partition("#")
    folder = parse_qs(urlsplit(address).query).get("files", [""])[0]
    return Server(address, name, Path(folder).expanduser() if folder else None)


def assert_stopped(server: Server, url: str) -> None:
    """Refuse a folder that a server uses.

    Raises:
        StoreError: a process has it open.
    """
    if server.folder and (others := holders(server.folder)):
        raise StoreError(
            f"{url}: process {others[0]} serves {server.folder}; stop it, purge, and start it "
            "again, or leave out ?files= to copy within the running server"
        )


def _inner(server: Server) -> str | None:
    return f"chroma:{server.folder}#{server.collection}" if server.folder else None


def _find(client: ClientAPI, name: str) -> Collection | None:
    from chromadb.errors import NotFoundError

    try:
        return client.get_collection(name, embedding_function=None)
    except NotFoundError:
        return None


def _finish_renaming(client: ClientAPI, name: str) -> None:
    """Complete or throw away what an interrupted purge left."""
    new, old = _find(client, name + _NEW), _find(client, name + _OLD)
    if _find(client, name) is None and old is not None:
        (new or old).modify(name=name)  # the old name is given up only for a complete copy
        new, old = None, None if new is None else old
    for left in (new, old):
        if left is not None:
            client.delete_collection(left.name)


def _copied(
    client: ClientAPI, old: Collection, url: str, tell: Callable[[str], None]
) -> tuple[Collection, int]:
    """A complete copy of a collection, and about how many bytes it has."""
    model: Any = old.get_model()
    created = old._client.create_collection(
        name=old.name + _NEW,
        schema=_Schema(model.serialized_schema) if model.serialized_schema else None,  # type: ignore[arg-type]
        metadata=model.metadata,
        tenant=old.tenant,
        database=old.database,
    )
    new = _find(client, created.name)
    if new is None:
        raise StoreError(f"{url}: the server lost the new collection '{created.name}'")
    ids, n_bytes = old.get(include=[])["ids"], 0
    for start in range(0, len(ids), _PAGE):
        tell(f"copying rows: {start} of {len(ids)}")
        part = ids[start : start + _PAGE]
        rows: Any = old.get(ids=part, include=["embeddings", "documents", "metadatas"])
        if len(rows["ids"]):
            new._client._add(
                ids=rows["ids"],
                collection_id=new.id,
                embeddings=list(np.asarray(rows["embeddings"], dtype=np.float32)),
                metadatas=rows["metadatas"],
                documents=rows["documents"],
                tenant=new.tenant,
                database=new.database,
            )
            n_bytes += 2 * np.asarray(rows["embeddings"]).nbytes
            n_bytes += sum(3 * len(text or "") for text in rows["documents"])
    if set(new.get(include=[])["ids"]) != set(old.get(include=[])["ids"]):
        client.delete_collection(new.name)
        raise IncompleteError(
            f"{url}: rows were added or deleted while live rows were copied; nothing was changed, "
            "do this again when nobody writes"
        )
    return new, n_bytes
