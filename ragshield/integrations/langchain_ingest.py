"""An ingest guard around a LangChain vector store."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from ragshield.errors import InputError, UsageError
from ragshield.ingest import BACKGROUND, NEIGHBOURS, IngestResult
from ragshield.integrations.langchain_vectors import (
    first_page,
    passages_of_documents,
    searches_by_vector,
    stored_vectors_of,
    unwrapped,
)
from ragshield.protocols import Screen
from ragshield.quarantine import Quarantine
from ragshield.records import Batch, Finding
from ragshield.reingest import ReingestGuard, opened
from ragshield.screening import OnScreenError, Screening, hold
from ragshield.vectors import as_vectors


class GuardedVectorStore(VectorStore):
    """A vector store whose `add_documents` and `add_texts` screen what arrives.

    Documents that a screen rejects are held in the quarantine with the reason, and the
    wrapped store's add method never sees them; the ids returned are those added.
    Screens compare with stored documents too where the store's vectors can be read
    (Chroma, InMemoryVectorStore). Everything else is the wrapped store's.

    The wrapped store embeds what it adds, and LangChain gives no way to hand it vectors:
    wrap its embeddings in CacheBackedEmbeddings to embed each text once.

    Args:
        vectorstore: where documents go.
        quarantine: where rejects wait.
        screens: objects or registry names; None for all registered ones.
        on_error: what a failing screen means: `raise`, `keep` or `quarantine`.
        embeddings: default: the store's own.
        on_result: called after every addition with an `IngestResult`.
        erased: a `ReingestGuard`, or its file: what it recognises is refused before it is
            embedded, and is not held in the quarantine either, which keeps texts.

    Raises:
        UsageError: the store does not tell its embeddings and none are given.
    """

    def __init__(
        self,
        vectorstore: VectorStore,
        quarantine: Quarantine,
        *,
        screens: Sequence[Screen | str] | None = None,
        on_error: OnScreenError = "raise",
        embeddings: Embeddings | None = None,
        on_result: Callable[[IngestResult], None] | None = None,
        erased: ReingestGuard | Path | str | None = None,
    ) -> None:
        using = vectorstore.embeddings if embeddings is None else embeddings
        if using is None:
            raise UsageError(
                "the vector store does not tell its embeddings; pass embeddings=, those it uses"
            )
        self.guarded_vectorstore = vectorstore
        self.quarantine = quarantine
        self.screening = Screening(screens, on_error=on_error)
        self.on_result = on_result
        self.erased = opened(erased)
        self._embeddings = using

    @property
    def embeddings(self) -> Embeddings:
        """What embeds arriving documents."""
        return self._embeddings

    def add_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """Add the documents that pass; gives their ids.

        Args:
            documents: what arrives. Those without an id get one.
            kwargs: `ids`, one per document, and what the wrapped store takes.

        Raises:
            InputError: an id occurs twice, or a document has no usable vector; nothing
                is added or held then.
        """
        arrived, refusals = self._not_erased(_with_ids(documents, kwargs.pop("ids", None)))
        vectors = self.embeddings.embed_documents([x.page_content for x in arrived])
        admitted, result = self._screened(arrived, vectors)
        if admitted:
            self.guarded_vectorstore.add_documents(admitted, ids=list(result.added), **kwargs)
        return self._told(result, refusals)

    async def aadd_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """`add_documents` without blocking the event loop."""
        arrived, refusals = await asyncio.to_thread(
            self._not_erased, _with_ids(documents, kwargs.pop("ids", None))
        )
        vectors = await self.embeddings.aembed_documents([x.page_content for x in arrived])
        admitted, result = await asyncio.to_thread(self._screened, arrived, vectors)
        if admitted:
            await self.guarded_vectorstore.aadd_documents(
                admitted, ids=list(result.added), **kwargs
            )
        return self._told(result, refusals)

    def release(self, ids: Iterable[str]) -> list[str]:
        """Add held documents after all, without screening them again.

        They leave the quarantine only once they are in the store.

        Raises:
            UsageError: an id that is not held.
            InputError: a document that was erased on purpose; nothing is released then.
        """
        wanted = tuple(ids)
        held = [item.passage for item in self.quarantine.find(wanted)]
        if self.erased is not None and (found := self.erased.findings(held)):
            raise InputError(
                f"document '{found[0].passage_id}' {found[0].reason}; purge it from the quarantine"
            )
        if not held:
            return []
        documents = [Document(id=p.id, page_content=p.text, metadata=dict(p.meta)) for p in held]
        added = self.guarded_vectorstore.add_documents(documents, ids=[p.id for p in held])
        self.quarantine.release(wanted)
        return added

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """The wrapped store's."""
        return self.guarded_vectorstore.delete(ids, **kwargs)

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The wrapped store's."""
        return self.guarded_vectorstore.get_by_ids(ids)

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """The wrapped store's."""
        return self.guarded_vectorstore.similarity_search(query, k, **kwargs)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """The wrapped store's."""
        return self.guarded_vectorstore.similarity_search_by_vector(embedding, k, **kwargs)

    def similarity_search_with_score(
        self, *args: Any, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """The wrapped store's."""
        return self.guarded_vectorstore.similarity_search_with_score(*args, **kwargs)

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **kwargs: Any
    ) -> list[Document]:
        """The wrapped store's."""
        return self.guarded_vectorstore.max_marginal_relevance_search(
            query, k, fetch_k, lambda_mult, **kwargs
        )

    def as_retriever(self, **kwargs: Any) -> VectorStoreRetriever:
        """The wrapped store's: reading needs no ingest guard."""
        return self.guarded_vectorstore.as_retriever(**kwargs)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> NoReturn:
        """Refused: there is no store yet to guard."""
        raise UsageError(
            "GuardedVectorStore wraps an existing store: "
            "GuardedVectorStore(vectorstore, quarantine).add_texts(texts)"
        )

    def _screened(
        self, arrived: Sequence[Document], vectors: Sequence[Sequence[float]]
    ) -> tuple[list[Document], IngestResult]:
        if not arrived:
            return [], IngestResult((), (), ())
        rows = as_vectors(vectors, rows=len(arrived), what="embeddings of the documents")
        batch = Batch(tuple(passages_of_documents(arrived)), rows)
        context = _around(unwrapped(self.guarded_vectorstore), vectors)
        findings = self.screening.judge(batch, context)
        whole = replace(batch, passages=tuple(passages_of_documents(arrived, whole=True)))
        rejected = hold(self.quarantine, whole, findings)
        ids = [passage.id for passage in batch.passages]
        admitted = [document for document in arrived if document.id not in rejected]
        added = tuple(x for x in ids if x not in rejected)
        return admitted, IngestResult(added, tuple(x for x in ids if x in rejected), findings)

    def _not_erased(self, arrived: list[Document]) -> tuple[list[Document], dict[str, Finding]]:
        """What may come in, and why the rest may not, by id."""
        if self.erased is None:
            return arrived, {}
        found = self.erased.findings(passages_of_documents(arrived))
        refusals = {finding.passage_id: finding for finding in found}
        return [document for document in arrived if document.id not in refusals], refusals

    def _told(self, result: IngestResult, refusals: Mapping[str, Finding]) -> list[str]:
        if refusals:
            findings = (*refusals.values(), *result.findings)
            result = replace(result, findings=findings, refused=tuple(refusals))
        if self.on_result is not None:
            self.on_result(result)
        return list(result.added)


def _with_ids(documents: Sequence[Document], ids: Sequence[str | None] | None) -> list[Document]:
    given = [document.id for document in documents] if ids is None else list(ids)
    if len(given) != len(documents):
        raise InputError(f"{len(given)} ids for {len(documents)} documents; give one per document")
    chosen = [x or str(uuid.uuid4()) for x in given]
    seen: set[str] = set()
    for x in chosen:
        if x in seen:
            raise InputError(f"document id '{x}' occurs twice; ids must be unique")
        seen.add(x)
    return [
        Document(id=x, page_content=document.page_content, metadata=document.metadata)
        for x, document in zip(chosen, documents, strict=True)
    ]


def _around(vectorstore: VectorStore, vectors: Sequence[Sequence[float]]) -> Batch | None:
    """Stored documents to compare arriving ones with: the nearest, then a first page."""
    stored_vectors = stored_vectors_of(vectorstore)
    page = first_page(vectorstore, BACKGROUND)
    if stored_vectors is None or page is None or not page[0]:
        return None
    found: dict[str, Document] = {}
    if searches_by_vector(vectorstore):
        for vector in vectors:
            for document in vectorstore.similarity_search_by_vector(list(vector), NEIGHBOURS):
                if document.id:
                    found.setdefault(document.id, document)
    rows = dict(stored_vectors(list(found)))
    for document, row in zip(*page, strict=True):
        if document.id:
            found.setdefault(document.id, document)
            rows.setdefault(document.id, row)
    kept = [document for x, document in found.items() if x in rows]
    matrix = np.array([rows[document.id] for document in kept if document.id], dtype=np.float32)
    return Batch(tuple(passages_of_documents(kept)), matrix)
