"""Connections to Chroma: an embedded database or a server, opened with care.

chromadb is imported inside the functions: it takes a second.
"""

from __future__ import annotations

import difflib
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from ragshield.errors import RagshieldError, StoreError, UsageError
from ragshield.stores.chroma_copy import copy_of, holders

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

Result = TypeVar("Result")


class Connection(Protocol):
    """A way to one collection; each call is given the collection to work on."""

    def read(self, call: Callable[[Collection], Result], *, fresh: bool = False) -> Result:
        """Run a call that changes nothing; it may run more than once.

        With `fresh`, the collection's configuration is fetched again first.
        """
        ...

    def write(self, call: Callable[[Collection], Result]) -> Result:
        """Run a call that changes the collection, once."""
        ...

    def client(self) -> ClientAPI:
        """The client itself, checked to be one that may write."""
        ...

    def close(self) -> None:
        """Release it; safe to call twice."""
        ...


class EmbeddedConnection:
    """A database in a folder.

    Three cases, told apart before each call: this process has the folder open already
    (a vector store of langchain-chroma, say): that client is shared, since two clients
    in one process do not see each other's index. Another process has it open: reading
    goes to a private copy as of now, writing is refused. Otherwise: a client of our own,
    under a spelling of the path that nobody else uses, because Chroma refuses a second
    client with other settings on the same spelling.
    """

    def __init__(self, url: str, path: Path, name: str) -> None:
        self._url, self._path, self._name = url, path, name
        self._client: ClientAPI | None = None
        self._collection: Collection | None = None
        self._shared_with: Any = None
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._state: tuple[int, ...] = ()
        self._closed = False

    def read(self, call: Callable[[Collection], Result], *, fresh: bool = False) -> Result:
        """Run a reading call; once more, on a private copy, if the index fell behind."""
        with translated(self._url):
            try:
                return self._run(call, for_writing=False, fresh=fresh)
            except Exception as error:
                if not _fell_behind(error):
                    raise
            self._use_copy()
            return self._run(call, for_writing=False, fresh=fresh)

    def write(self, call: Callable[[Collection], Result]) -> Result:
        """Run a writing call, unless another process has the database open."""
        with translated(self._url):
            return self._run(call, for_writing=True, fresh=False)

    def client(self) -> ClientAPI:
        """The client, with the checks of a writing call."""
        with translated(self._url):
            return self._connect(for_writing=True)

    def close(self) -> None:
        """Release the client (a shared one stays open for its owner) and the copy."""
        self._release()
        self._closed = True

    def _run(
        self, call: Callable[[Collection], Result], *, for_writing: bool, fresh: bool
    ) -> Result:
        client = self._connect(for_writing=for_writing)
        if fresh or self._collection is None:
            self._collection = find(client, self._name, self._url)
        try:
            return call(self._collection)
        except Exception as error:
            if not _replaced(error):
                raise
        finally:
            self._state = _state(self._path)
        self._collection = find(client, self._name, self._url)
        return call(self._collection)

    def _connect(self, *, for_writing: bool) -> ClientAPI:
        if self._closed:
            raise StoreError(f"{self._url} is closed; open it again")
        if for_writing and (others := holders(self._path)):
            raise StoreError(
                f"{self._url}: process {others[0]} has this database open, and writing from two "
                "processes damages Chroma's index; stop it, or serve the database with "
                "`chroma run` and use chroma+http://HOST:PORT#COLLECTION"
            )
        if self._copy is not None and for_writing:
            self._release()
        if self._client is not None and self._copy is not None:
            return self._client
        shared = self._open_in_this_process()
        # Written to by others since the last call, a client of our own is out of date.
        current = shared is not None or self._state == _state(self._path)
        if self._client is not None and shared is self._shared_with and current:
            return self._client
        self._release()
        if shared is not None:
            from chromadb.api.client import Client

            self._client, self._shared_with = Client.from_system(shared), shared
        elif not for_writing and (holders(self._path) or not _may_write(self._path)):
            self._use_copy()
        else:
            self._client = _embedded_client(self._own_spelling())
            self._state = _state(self._path)
        if self._client is None:
            raise StoreError(f"{self._url} could not be opened")
        return self._client

    def _use_copy(self) -> None:
        self._release()
        self._copy = copy_of(self._path, self._url)
        self._client = _embedded_client(f"{self._copy.name}/db")

    def _release(self) -> None:
        client, self._client = self._client, None
        self._collection = self._shared_with = None
        if client is not None:
            client.close()  # type: ignore[attr-defined]
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    def _own_spelling(self) -> str:
        return f"{os.path.realpath(self._path)}/."

    def _open_in_this_process(self) -> Any:
        """The running Chroma system that someone else in this process has on the folder."""
        from chromadb.api.shared_system_client import SharedSystemClient

        own, wanted = self._own_spelling(), os.path.realpath(self._path)
        for spelling, system in list(SharedSystemClient._identifier_to_system.items()):
            settings = system.settings
            if spelling == own or not settings.is_persistent:
                continue
            if os.path.realpath(settings.persist_directory) == wanted:
                return system
        return None


class ServerConnection:
    """A Chroma server. Servers see to it that clients do not get in each other's way."""

    def __init__(self, url: str, address: str, name: str) -> None:
        self._url, self._name = url, name
        self._collection: Collection | None = None
        parts = urlsplit(address)
        try:
            host, port, tls = parts.hostname, parts.port, parts.scheme == "https"
        except ValueError as error:
            raise UsageError(f"store URL '{url}': {error}") from error
        if not host:
            raise UsageError(f"store URL '{url}' names no host; write chroma+http://HOST:PORT#NAME")
        with translated(url):
            import chromadb

            self._client = chromadb.HttpClient(
                host, port or (443 if tls else 8000), ssl=tls, settings=_settings()
            )

    def read(self, call: Callable[[Collection], Result], *, fresh: bool = False) -> Result:
        """Run a reading call."""
        with translated(self._url):
            if fresh or self._collection is None:
                self._collection = find(self._client, self._name, self._url)
            try:
                return call(self._collection)
            except Exception as error:
                if not _replaced(error):
                    raise
            self._collection = find(self._client, self._name, self._url)
            return call(self._collection)

    def write(self, call: Callable[[Collection], Result]) -> Result:
        """Run a writing call."""
        return self.read(call)

    def client(self) -> ClientAPI:
        """The client."""
        return self._client

    def close(self) -> None:
        """Close the connections to the server."""
        self._client.close()  # type: ignore[attr-defined]


def check_database(path: Path, url: str) -> None:
    """Look at the file before Chroma does, which would make or alter a database.

    Raises:
        StoreError: no folder, no `chroma.sqlite3` in it, no SQLite file, or no Chroma's.
    """
    file = path / "chroma.sqlite3"
    if not path.is_dir():
        raise StoreError(f"{url}: there is no folder {path}; name one that holds chroma.sqlite3")
    if not file.is_file():
        raise StoreError(f"{url}: {path} holds no chroma.sqlite3, so it is no Chroma database")
    try:
        # Where a writer was killed, SQLite must first undo its half-done transaction.
        mode = "rw" if _may_write(path) else "ro"
        uri = f"{file.resolve().as_uri()}?mode={mode}"
        with closing(sqlite3.connect(uri, uri=True, timeout=30)) as database:
            tables = database.execute("select name from sqlite_master where name = 'collections'")
            found = tables.fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{url}: {file} is damaged or no database ({error})") from error
    if found is None:
        raise StoreError(f"{url}: {file} is a database, but not one of Chroma's")


def find(client: ClientAPI, name: str, url: str) -> Collection:
    """The named collection; its embedding function is neither built nor looked at.

    Raises:
        StoreError: no such collection, or none named; the message lists those there are.
    """
    from chromadb.errors import NotFoundError

    if name:
        try:
            return client.get_collection(name, embedding_function=None)
        except NotFoundError:
            pass
    names = sorted(collection.name for collection in client.list_collections())
    listing = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "") if names else "none"
    if not name:
        raise StoreError(f"{url} names no collection; add #NAME (there are: {listing})")
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise StoreError(f"{url}: no collection '{name}'{hint} (there are: {listing})")


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn whatever Chroma raises into one line that names the store."""
    try:
        yield
    except (RagshieldError, KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError):
        raise
    except BaseException as error:  # Rust panics are no Exceptions
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        if _unreachable(error):
            raise StoreError(
                f"{url}: the server does not answer ({cause}); is `chroma run` running there?"
            ) from error
        if _fell_behind(error):
            raise StoreError(
                f"{url}: the index does not fit the data ({cause}); another process wrote to it "
                "at the same time, or the folder is damaged: restore it or fill it anew"
            ) from error
        raise StoreError(f"{url}: Chroma failed: {cause:.300}") from error


def _unreachable(error: BaseException) -> bool:
    import httpx

    return isinstance(error, httpx.TransportError) or "Could not connect" in str(error)


def _fell_behind(error: BaseException) -> bool:
    text = str(error)
    return "Error finding id" in text or "backfill" in text or "hnsw" in text.lower()


def _replaced(error: BaseException) -> bool:
    """Whether the collection that was noted is gone; one of the same name may be there."""
    from chromadb.errors import NotFoundError

    return isinstance(error, NotFoundError)


def _state(path: Path) -> tuple[int, ...]:
    """Changes whenever anyone writes to the database."""
    times = []
    for name in ("chroma.sqlite3", "chroma.sqlite3-wal"):
        with suppress(OSError):
            times.append((path / name).stat().st_mtime_ns)
    return tuple(times)


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path / "chroma.sqlite3", os.W_OK)


def _embedded_client(spelling: str) -> ClientAPI:
    import chromadb

    return chromadb.PersistentClient(spelling, _settings())


def _settings() -> Any:
    from chromadb.config import Settings

    return Settings(anonymized_telemetry=False)
