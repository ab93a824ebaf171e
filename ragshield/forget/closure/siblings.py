"""The other collections of a store: who else in the same database may carry the target."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

from ragshield.errors import StoreError


def siblings(url: str) -> tuple[str, ...]:
    """URLs of the other collections, tables or folders in the same store, sorted.

    Asked of the store itself; empty for stores that hold one collection.

    Args:
        url: `chroma:`, `chroma+http(s):`, `sqlite:`, `lancedb:`, `qdrant:` or `pgvector:`
            with a collection; others have no siblings that can be listed.

    Raises:
        StoreError: the store cannot be asked.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "pgvector":
        from ragshield.stores.pgvector_table import other_tables

        return tuple(f"{url.rpartition('#')[0]}#{name}" for name in other_tables(url))
    lister = _LISTERS.get(scheme)
    place, hash_, own = rest.partition("#")
    if lister is None or not hash_:
        return ()
    # Options behind the name are columns of that one table.
    own = own.partition("?")[0]
    place, _, before = place.partition("?")
    names = sorted(name for name in lister(scheme, place) if name != own)
    asked = f"?{before}" if before else ""
    return tuple(f"{scheme}:{place}{asked}#{name}" for name in names)


def _chroma(scheme: str, place: str) -> list[str]:
    path = Path(place) / "chroma.sqlite3"
    asked = (
        "SELECT c.name FROM collections c JOIN databases d ON c.database_id = d.id "
        "WHERE d.name = 'default_database' AND d.tenant_id = 'default_tenant'"
    )
    return [name for (name,) in _query(path, asked)]


def _chroma_server(scheme: str, place: str) -> list[str]:
    from ragshield.stores.chroma_client import translated

    url = f"{scheme}:{place}"
    parts = urlsplit(url.removeprefix("chroma+"))
    with translated(url):
        import chromadb
        from chromadb.config import Settings

        tls = parts.scheme == "https"
        client = chromadb.HttpClient(
            parts.hostname or "localhost",
            parts.port or (443 if tls else 8000),
            ssl=tls,
            settings=Settings(anonymized_telemetry=False),
        )
        try:
            return [collection.name for collection in client.list_collections()]
        finally:
            client.close()  # type: ignore[attr-defined]


def _sqlite(scheme: str, place: str) -> list[str]:
    """Tables of its own making: shadow tables of an index are part of another one."""
    found = _query(Path(place), "SELECT name, sql FROM sqlite_master WHERE type = 'table'")
    virtual = [name for name, sql in found if str(sql).upper().startswith("CREATE VIRTUAL")]
    return [
        name
        for name, _ in found
        if name not in virtual
        and not name.startswith("sqlite_")
        and not any(name.startswith(f"{index}_") for index in virtual)
    ]


def _query(path: Path, asked: str) -> list[tuple[str, ...]]:
    try:
        # A reader of its own, which makes no journal and takes no lock for long.
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=10)) as database:
            return [tuple(map(str, row)) for row in database.execute(asked)]
    except sqlite3.Error as error:
        raise StoreError(f"the tables of {path} cannot be listed: {error}") from error


def _lancedb(scheme: str, place: str) -> list[str]:
    return [path.stem for path in Path(place).glob("*.lance") if path.is_dir()]


def _qdrant(scheme: str, place: str) -> list[str]:
    return [path.name for path in (Path(place) / "collection").glob("*") if path.is_dir()]


_LISTERS: Mapping[str, Callable[[str, str], list[str]]] = {
    "chroma": _chroma,
    "chroma+http": _chroma_server,
    "chroma+https": _chroma_server,
    "sqlite": _sqlite,
    "lancedb": _lancedb,
    "qdrant": _qdrant,
}
