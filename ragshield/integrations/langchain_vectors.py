"""What LangChain's objects hold, as ragshield's records: documents and stored vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore

from ragshield.protocols import Encoder, StoreFacts
from ragshield.records import MetaValue, Passage
from ragshield.retriever import SMALL
from ragshield.supplied import encoder_named

Stored: TypeAlias = Mapping[str, Sequence[float]]
"""Stored vectors by document id."""

StoredVectors: TypeAlias = Callable[[Sequence[str]], Stored]
"""Gives the stored vectors of these document ids, as far as they exist."""

_COLUMNS = ("ids", "documents", "metadatas", "embeddings")


class EncoderEmbeddings(Embeddings):
    """Any ragshield encoder as LangChain embeddings; the default one works offline.

    Args:
        encoder: an encoder or its name; None for the default, loaded at first use.
    """

    def __init__(self, encoder: Encoder | str | None = None) -> None:
        self._given = encoder

    @property
    def encoder(self) -> Encoder:
        """The encoder itself."""
        return encoder_named(self._given)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """One vector per text."""
        return cast("list[list[float]]", self.encoder.encode(texts).tolist())

    def embed_query(self, text: str) -> list[float]:
        """The question's vector, from the same encoder as the passages'."""
        return self.embed_documents([text])[0]


def passages_of_documents(documents: Sequence[Document], *, whole: bool = False) -> list[Passage]:
    """One passage per document, with unique ids.

    A document without an id, or with one that occurred before, gets its position as
    "#0", "#1", ....

    Args:
        documents: in the retriever's order.
        whole: keep metadata that is no plain value too (for the quarantine).
    """
    passages: list[Passage] = []
    taken = {document.id for document in documents if document.id}
    seen: set[str] = set()
    for i, document in enumerate(documents):
        passage_id = document.id
        if not passage_id or passage_id in seen:
            passage_id = f"#{i}"
            while passage_id in taken:  # it would get that document's stored vector
                passage_id += "'"
        seen.add(passage_id)
        source = document.metadata.get("source")
        meta = {
            str(key): cast("MetaValue", value)
            for key, value in document.metadata.items()
            if whole or value is None or isinstance(value, str | int | float | bool)
        }
        passages.append(
            Passage(
                passage_id, document.page_content, source if isinstance(source, str) else None, meta
            )
        )
    return passages


def unwrapped(vectorstore: VectorStore) -> VectorStore:
    """The store behind an ingest guard; any other store as it is."""
    inner = getattr(vectorstore, "guarded_vectorstore", None)
    return unwrapped(inner) if isinstance(inner, VectorStore) else vectorstore


def stored_vectors_of(vectorstore: VectorStore | None) -> StoredVectors | None:
    """How to read the vectors that a store already holds; None if that is not known.

    Known are langchain-chroma's Chroma, read with `get` alone, which never builds the
    collection's persisted embedding function, and InMemoryVectorStore.
    """
    if isinstance(vectorstore, InMemoryVectorStore):
        return lambda ids: {
            x: entry["vector"]
            for x in ids
            if (entry := vectorstore.store.get(x)) is not None  # or deleted meanwhile
        }
    if vectorstore is not None and is_chroma(vectorstore):
        return lambda ids: _chroma_vectors(vectorstore, ids)
    return None


def first_page(vectorstore: VectorStore, n: int) -> tuple[list[Document], list[Any]] | None:
    """The first n documents of a store and their vectors; None if it cannot be read so."""
    if isinstance(vectorstore, InMemoryVectorStore):
        entries = list(vectorstore.store.values())[:n]
        documents = [
            Document(id=entry["id"], page_content=entry["text"], metadata=entry["metadata"])
            for entry in entries
        ]
        return documents, [entry["vector"] for entry in entries]
    if is_chroma(vectorstore):
        found = cast("Any", vectorstore).get(
            limit=n, include=["documents", "metadatas", "embeddings"]
        )
        rows = zip(
            found["ids"], found["documents"], found["metadatas"], found["embeddings"], strict=True
        )
        kept = [
            (Document(id=x, page_content=text, metadata=meta or {}), vector)
            for x, text, meta, vector in rows
            if text is not None
        ]
        return [document for document, _ in kept], [vector for _, vector in kept]
    return None


def facts_of(vectorstore: VectorStore | None, embeddings: Embeddings) -> StoreFacts:
    """What can be told cheaply of a store; a shield is held against it.

    The encoder's name is known for `EncoderEmbeddings` only (which load it for that), the
    rest for Chroma and InMemoryVectorStore.
    """
    name = embeddings.encoder.name if isinstance(embeddings, EncoderEmbeddings) else None
    n: int | None = None
    if isinstance(vectorstore, InMemoryVectorStore):
        n = len(vectorstore.store)
    elif vectorstore is not None and is_chroma(vectorstore):
        n = int(cast("Any", vectorstore)._collection.count())
    if vectorstore is None or n is None:
        return StoreFacts(encoder=name)
    page = first_page(vectorstore, n if n <= SMALL else 1)
    rows = page[1] if page is not None else []
    matrix = np.array(rows, dtype=np.float32) if len(rows) else None
    dim = None if matrix is None else matrix.shape[1]
    return StoreFacts(n, dim, name, matrix if n <= SMALL else None)


def searches_by_vector(vectorstore: VectorStore) -> bool:
    """Whether the store can be searched with a vector, so that the question is embedded once."""
    return (
        type(vectorstore).similarity_search_by_vector is not VectorStore.similarity_search_by_vector
    )


def search_with_vectors(
    vectorstore: VectorStore, vector: Sequence[float], options: Mapping[str, Any]
) -> tuple[list[Document], dict[str, Sequence[float]]] | None:
    """Documents nearest to a vector and their stored vectors, in one call to the store.

    None where the store cannot do that, or would search in its own way: any but Chroma, a
    subclass with a search of its own, options beyond k, filter and where_document.
    """
    if not is_chroma(vectorstore) or not set(options) <= {"k", "filter", "where_document"}:
        return None
    search = type(vectorstore).similarity_search_by_vector
    if search.__module__.split(".")[0] != "langchain_chroma":
        return None
    found = cast("Any", vectorstore)._collection.query(
        query_embeddings=[vector],
        n_results=options.get("k", 4),
        where=options.get("filter"),
        where_document=options.get("where_document"),
        include=["documents", "metadatas", "embeddings"],
    )
    rows = zip(*(found[key][0] for key in _COLUMNS), strict=True)
    kept = [row for row in rows if row[1] is not None]
    documents = [
        Document(id=x, page_content=text, metadata=meta or {}) for x, text, meta, _ in kept
    ]
    return documents, {x: row for x, _, _, row in kept}


def is_chroma(vectorstore: VectorStore) -> bool:
    """Whether this is langchain-chroma's Chroma, asked without importing it."""
    return any(
        cls.__name__ == "Chroma" and cls.__module__.split(".")[0] == "langchain_chroma"
        for cls in type(vectorstore).__mro__
    )


def _chroma_vectors(chroma: Any, ids: Sequence[str]) -> dict[str, Sequence[float]]:
    if not ids:  # Chroma reads an empty list as "all"
        return {}
    found = chroma.get(ids=list(ids), include=["embeddings"])
    if found["embeddings"] is None:
        return {}
    return dict(zip(found["ids"], found["embeddings"], strict=True))
