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

from ragshield.chain import DefenderChain, OnError, ShieldGiven
from ragshield.errors import UsageError
from ragshield.integrations.langchain_judging import (
    DocumentJudge,
    JudgedDocuments,
    aannounce,
    announce,
)
from ragshield.integrations.langchain_vectors import (
    Stored,
    search_with_vectors,
    searches_by_vector,
    unwrapped,
)
from ragshield.majority import Majority, OnMajority
from ragshield.retriever import check_question

_LANGCHAINS_K = 4
"""What a LangChain store searches for where nothing else is said."""


class GuardedRetriever(BaseRetriever):
    """Any LangChain retriever, returning only documents that the defenders keep.

    Over a plain vector-store retriever (search type similarity or mmr) the question is
    embedded once, the store is searched with its vector, and Chroma's and
    InMemoryVectorStore's own vectors are judged: no passage is embedded again. Any other
    retriever is invoked as it is. Where so many documents look planted that honest ones
    may be the minority, a plain vector-store retriever is searched deeper and all is judged
    again; any other cannot be.

    What it gives is a list with the `verdict` (see `JudgedDocuments`), also where it is
    empty; each document is a copy that says the status and its suspicion in its metadata.
    The verdict goes to `on_verdict` too and, as the custom event `ragshield_verdict`, to
    LangChain's callbacks.

    Attributes:
        retriever: gives documents for a question.
        defenders: one or several, objects or registry names; None for the default guard.
        shield: the calibration of the default guard on your own store, a file or what is
            in it, instead of defenders.
        on_error: what a failing defender means: `raise`, `keep` or `drop`.
        on_majority: what to give where honest documents may be the minority, also deeper
            down: `filter` (what is kept), `abstain` (nothing) or `refuse` (raises
            `MajorityError`).
        max_depth: search at most this many documents when it looks deeper, in steps that
            double; None: four times as many as at first. 1: never look deeper.
        vectorstore: holds the documents' vectors; found by itself for a
            vector-store retriever.
        embeddings: embeds what is missing; default: the vector store's own, else the
            offline encoder.
        stored_vectors: reads vectors by document id, for other stores.
        limit: return at most this many documents; None for all that are kept of as many
            as the retriever gives at first.
        on_verdict: called once for each question with a `Retrieval` and a `Verdict`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    retriever: Runnable[str, list[Document]]
    defenders: Any = None
    shield: Any = None
    on_error: OnError = "raise"
    on_majority: OnMajority = "filter"
    max_depth: int | None = None
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
        shield: ShieldGiven = None,
        on_error: OnError = "raise",
        on_majority: OnMajority = "filter",
        depth: int | None = None,
        max_depth: int | None = None,
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
            shield: as above.
            on_error: as above.
            on_majority: as above.
            depth: search and judge this many documents, as `ragshield.Guard` does; None:
                at least 20 and k + 10 for the default guard, as many as it was calibrated
                with for a shield, k for defenders you name.
            max_depth: as above.
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
        chain = DefenderChain(defenders, shield=shield)
        kwargs = {**(search_kwargs or {}), "k": chain.depth(k, depth)}
        return cls(
            retriever=VectorStoreRetriever(vectorstore=inner, search_kwargs=kwargs),
            defenders=defenders,
            shield=shield,
            on_error=on_error,
            on_majority=on_majority,
            max_depth=max_depth,
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
            shield=self.shield,
            on_error=self.on_error,
            majority=Majority(self.on_majority, self.max_depth),
            vectorstore=store,
            embeddings=self.embeddings,
            stored_vectors=self.stored_vectors,
            on_verdict=self.on_verdict,
        )

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        check_question(query)
        depth = first = 0
        if self._plain is not None:
            vector = self._judge.embeddings.embed_query(query)
            depth = first = _depth(self._plain, kwargs)
            documents, stored = self._search(vector, kwargs)
            judged = self._judge.judge(query, documents, vector, stored)
            while deeper := self._judge.majority.deeper(judged.verdict, depth, first):
                depth = deeper
                documents, stored = self._search(vector, kwargs, depth)
                judged = judged.deeper(self._judge.judge(query, documents, vector, stored))
        else:
            config = {"callbacks": run_manager.get_child()}
            documents = self.retriever.invoke(query, cast("Any", config), **kwargs)
            judged = self._judge.judge(query, documents)
        given, refusal = self._judge.settle(judged, depth, first)
        announce(given.verdict, run_manager.get_child())
        if refusal is not None:
            raise refusal
        return self._at_most(given, first)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        check_question(query)
        depth = first = 0
        if self._plain is not None:
            vector = await self._judge.embeddings.aembed_query(query)
            depth = first = _depth(self._plain, kwargs)
            documents, stored = await asyncio.to_thread(self._search, vector, kwargs)
            judged = await self._judge.ajudge(query, documents, vector, stored)
            while deeper := self._judge.majority.deeper(judged.verdict, depth, first):
                depth = deeper
                documents, stored = await asyncio.to_thread(self._search, vector, kwargs, depth)
                judged = judged.deeper(await self._judge.ajudge(query, documents, vector, stored))
        else:
            config = {"callbacks": run_manager.get_child()}
            documents = await self.retriever.ainvoke(query, cast("Any", config), **kwargs)
            judged = await self._judge.ajudge(query, documents)
        given, refusal = await asyncio.to_thread(self._judge.settle, judged, depth, first)
        await aannounce(given.verdict, run_manager.get_child())
        if refusal is not None:
            raise refusal
        return self._at_most(given, first)

    def _search(
        self, vector: list[float], kwargs: Mapping[str, Any], depth: int | None = None
    ) -> tuple[list[Document], Stored | None]:
        """Documents, and their stored vectors where the search itself gives them."""
        retriever = cast("VectorStoreRetriever", self._plain)
        store, options = unwrapped(retriever.vectorstore), {**retriever.search_kwargs, **kwargs}
        if depth is not None:
            options["k"] = depth
        if retriever.search_type == "mmr":
            if depth is not None:
                options["fetch_k"] = max(options.get("fetch_k", 0), 2 * depth)
            return store.max_marginal_relevance_search_by_vector(vector, **options), None
        if self.stored_vectors is None:
            found = search_with_vectors(store, vector, options)
            if found is not None:
                return found
        return store.similarity_search_by_vector(vector, **options), None

    def _at_most(self, given: JudgedDocuments, first: int) -> JudgedDocuments:
        """As many as the caller wants, which a deeper search does not raise."""
        most = self.limit if self.limit is not None else first or None
        return JudgedDocuments(given[:most], given.verdict)


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


def _depth(retriever: VectorStoreRetriever, kwargs: Mapping[str, Any]) -> int:
    """How many documents the retriever asks its store for."""
    return int({"k": _LANGCHAINS_K, **retriever.search_kwargs, **kwargs}["k"])
