"""From a URL to an open store."""

from __future__ import annotations

from typing import Literal, cast, overload

from ragshield import registry
from ragshield.errors import UsageError
from ragshield.protocols import MutableStore, Store

_EXAMPLES = (
    "chroma:./db#docs, chroma+http://localhost:8000#docs, lancedb:./db#docs, qdrant:./db#docs, "
    "pgvector:postgresql://me@host/db#docs, faiss:./index, sqlite:docs.db#docs, jsonl:docs.jsonl"
)


@overload
def open_store(
    url: str, *, writable: Literal[False] = False, trust_collection_config: bool = False
) -> Store: ...
@overload
def open_store(
    url: str, *, writable: Literal[True], trust_collection_config: bool = False
) -> MutableStore: ...
def open_store(
    url: str, *, writable: bool = False, trust_collection_config: bool = False
) -> Store | MutableStore:
    """Open a knowledge base that exists.

    Args:
        url: `chroma:PATH#COLLECTION`, `chroma+http://HOST:PORT#COLLECTION`,
            `lancedb:FOLDER#TABLE`, `qdrant:FOLDER#COLLECTION`, `faiss:FOLDER`,
            `pgvector:postgresql://USER@HOST/DATABASE#TABLE`, `sqlite:FILE#TABLE`,
            `jsonl:FILE` or `memory:NAME`.
        writable: give a store that can add and delete. Without it, the object that
            comes back has no method that changes anything.
        trust_collection_config: allow adding to a Chroma collection whose persisted
            embedding function is not a plain one of Chroma's own. ragshield never builds
            such a function, but your other clients will when they see new rows, and it
            can run code of whoever wrote the collection.

    Raises:
        UsageError: the URL is not one of the forms above.
        StoreError: nothing there, or it is corrupt, unreachable or untrusted.
    """
    scheme, colon, _ = url.partition(":")
    if not colon or scheme not in registry.names("store"):
        known = ", ".join(registry.names("store"))
        raise UsageError(
            f"store URL '{url}' starts with no known scheme ({known}); "
            f"write it like one of: {_EXAMPLES}"
        )
    opener = registry.load("store", scheme)
    store = opener(url, writable=writable, trust_collection_config=trust_collection_config)
    return cast("Store | MutableStore", store)
