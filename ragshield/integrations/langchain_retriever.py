"""A LangChain retriever behind a guard."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Self, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever
from pydantic import ConfigDict, PrivateAttr

from ragshield.chain import DefenderChain, OnError
from ragshield.errors import UsageError
from ragshield.integrations.langchain_judging import DocumentJudge, aannounce, announce
from ragshield.integrations.langchain_vectors import searches_by_vector, unwrapped
from ragshield.retriever import check_question


class GuardedRetriever(BaseRetriever):
    """Any LangChain retriever, returning only documents that the defenders keep.

    Over a plain vector-store retriever (search type similarity or mmr) the question is
    embedded once, the store is searched with its vector, and Chroma's and
    InMemoryVectorStore's own vectors are judged: no passage is embedded again. Any other
    retriever is invoked as it is. Kept documents are unchanged. Each verdict goes to
    `on_verdict` and, as the custom event `ragshield_verdict`, to LangChain's callbacks.

    Attributes:
        retriever: gives documents for a question.
        defenders: one or several, objects or registry names; None for the default guard.
        on_error: what a failing defender means: `raise`, `keep` or `drop`.
        vectorstore: holds the documents' vectors; found by itself for a
            vector-store retriever.
        embeddings: embeds what is missing; default: the vector store's own, else the
            offline encoder.
        stored_vectors: reads vectors by document id, for other stores.
        limit: return at most this many documents; None for all that are kept.
        on_verdict: called after every judgement with a `Retrieval` and a `Verdict`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    retriever: Runnable[str, list[Document]]
    defenders: Any = None
    on_error: OnError = "raise"
    vectorstore: VectorStore | None = None
    embeddings: Embeddings | None = None
    stored_vectors: Any = None
    limit: int | None = None
    on_verdict: Any = None

    _judge: DocumentJudge = PrivateAttr()
    _plain: VectorStoreRetriever | None = PrivateAttr(default=None)

    @classmethod
    def from_vectorstore(
        cls,
        vectorstore: VectorStore,
        k: int = 10,
        *,
        defenders: Any = None,
        on_error: OnError = "raise",
        depth: int | None = None,
        search_kwargs: Mapping[str, Any] | None = None,
        embeddings: Embeddings | None = None,
        stored_vectors: Any = None,
        on_verdict: Any = None,
    ) -> Self:
        """A guarded retriever over a vector store.

        Args:
            vectorstore: searched by similarity.
            k: return at most this many documents.
            defenders: as above.
            on_error: as above.
            depth: search and judge this many documents, as `ragshield.Guard` does; None:
                at least 20 and k + 10 for the default guard, k for defenders you name.
            search_kwargs: passed to the store's search, for example a filter.
            embeddings: as above.
            stored_vectors: as above.
            on_verdict: as above.

        Raises:
            UsageError: k or depth < 1, or the store's embeddings are not known.
        """
        if k < 1 or (depth is not None and depth < 1):
            raise UsageError(f"k is {k}, depth is {depth}; both must be at least 1")
        inner = unwrapped(vectorstore)
        kwargs = {**(search_kwargs or {}), "k": DefenderChain(defenders).depth(k, depth)}
        return cls(
            retriever=VectorStoreRetriever(vectorstore=inner, search_kwargs=kwargs),
            defenders=defenders,
            on_error=on_error,
            vectorstore=inner,
            embeddings=embeddings,
            stored_vectors=stored_vectors,
            limit=k,
            on_verdict=on_verdict,
        )

    def model_post_init(self, context: Any, /) -> None:
        """Find the store behind the retriever and build the defenders."""
        super().model_post_init(context)
        store = self.vectorstore
        if isinstance(self.retriever, VectorStoreRetriever):
            store = unwrapped(store or self.retriever.vectorstore)
            self._plain = _plain(self.retriever)
            known = store.embeddings if self.embeddings is None else self.embeddings
            if self._plain is not None and known is None:
                raise UsageError(
                    "the vector store does not tell its embeddings; pass embeddings=, "
                    "those that filled it"
                )
        self._judge = DocumentJudge(
            self.defenders,
            on_error=self.on_error,
            vectorstore=store,
            embeddings=self.embeddings,
            stored_vectors=self.stored_vectors,
            on_verdict=self.on_verdict,
        )

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        check_question(query)
        vector: list[float] | None = None
        if self._plain is not None:
            vector = self._judge.embeddings.embed_query(query)
            documents = _search(self._plain, vector, kwargs)
        else:
            config = {"callbacks": run_manager.get_child()}
            documents = self.retriever.invoke(query, cast("Any", config), **kwargs)
        judged = self._judge.judge(query, documents, vector)
        announce(judged.verdict, run_manager.get_child())
        return judged.kept[: self.limit]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        check_question(query)
        vector: list[float] | None = None
        if self._plain is not None:
            vector = await self._judge.embeddings.aembed_query(query)
            documents = await _asearch(self._plain, vector, kwargs)
        else:
            config = {"callbacks": run_manager.get_child()}
            documents = await self.retriever.ainvoke(query, cast("Any", config), **kwargs)
        judged = await self._judge.ajudge(query, documents, vector)
        await aannounce(judged.verdict, run_manager.get_child())
        return judged.kept[: self.limit]


def _plain(retriever: VectorStoreRetriever) -> VectorStoreRetriever | None:
    """The retriever, if searching its store with a vector gives what it would give."""
    own_search = (
        type(retriever)._get_relevant_documents is not VectorStoreRetriever._get_relevant_documents
        or type(retriever)._aget_relevant_documents
        is not VectorStoreRetriever._aget_relevant_documents
    )
    store = unwrapped(retriever.vectorstore)
    if own_search or not searches_by_vector(store):
        return None
    if retriever.search_type == "similarity":
        return retriever
    has_mmr = (
        type(store).max_marginal_relevance_search_by_vector
        is not VectorStore.max_marginal_relevance_search_by_vector
    )
    return retriever if retriever.search_type == "mmr" and has_mmr else None


def _search(
    retriever: VectorStoreRetriever, vector: list[float], kwargs: Mapping[str, Any]
) -> list[Document]:
    store, options = unwrapped(retriever.vectorstore), {**retriever.search_kwargs, **kwargs}
    if retriever.search_type == "mmr":
        return store.max_marginal_relevance_search_by_vector(vector, **options)
    return store.similarity_search_by_vector(vector, **options)


async def _asearch(
    retriever: VectorStoreRetriever, vector: list[float], kwargs: Mapping[str, Any]
) -> list[Document]:
    return await asyncio.to_thread(_search, retriever, vector, kwargs)
