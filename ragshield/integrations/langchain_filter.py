"""A LangChain document compressor that drops poisoned documents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict, PrivateAttr

from ragshield.chain import OnError
from ragshield.integrations.langchain_judging import DocumentJudge, aannounce, announce
from ragshield.majority import Majority, OnMajority
from ragshield.retriever import check_question


class PoisonFilter(BaseDocumentCompressor):
    """Drop poisoned documents from what any retriever returned.

    For `ContextualCompressionRetriever`, document pipelines and, by `as_runnable`,
    chains. With `vectorstore` only the question is embedded; without it the documents
    are too. What it gives is a list with the `verdict` (see `JudgedDocuments`); each
    document says the status in its metadata. It cannot retrieve deeper where honest
    documents may be the minority: use `GuardedRetriever` for that.

    Attributes:
        defenders: one or several, objects or registry names; None for the default guard.
        shield: the calibration of the default guard on your own store, a file or what is
            in it, instead of defenders.
        on_error: what a failing defender means: `raise`, `keep` or `drop`.
        on_majority: what to give where honest documents may be the minority: `filter`
            (what is kept), `abstain` (nothing) or `refuse` (raises `MajorityError`).
        vectorstore: holds the documents' vectors.
        embeddings: embeds what is missing; default: the vector store's own, else the
            offline encoder.
        stored_vectors: reads vectors by document id, for stores other than Chroma and
            InMemoryVectorStore.
        on_verdict: called after every judgement with a `Retrieval` and a `Verdict`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    defenders: Any = None
    shield: Any = None
    on_error: OnError = "raise"
    on_majority: OnMajority = "filter"
    vectorstore: VectorStore | None = None
    embeddings: Embeddings | None = None
    stored_vectors: Any = None
    on_verdict: Any = None

    _judge: DocumentJudge = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Build the defenders."""
        super().model_post_init(context)
        self._judge = DocumentJudge(
            self.defenders,
            shield=self.shield,
            on_error=self.on_error,
            majority=Majority(self.on_majority),
            vectorstore=self.vectorstore,
            embeddings=self.embeddings,
            stored_vectors=self.stored_vectors,
            on_verdict=self.on_verdict,
        )

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The documents that the defenders keep, in order.

        Raises:
            MajorityError: honest documents may be the minority, with on_majority="refuse".
        """
        check_question(query)
        given, refusal = self._judge.settle(self._judge.judge(query, documents))
        announce(given.verdict, callbacks)
        if refusal is not None:
            raise refusal
        return given

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """`compress_documents` without blocking the event loop."""
        check_question(query)
        judged = await self._judge.ajudge(query, documents)
        given, refusal = await asyncio.to_thread(self._judge.settle, judged)
        await aannounce(given.verdict, callbacks)
        if refusal is not None:
            raise refusal
        return given

    def as_runnable(
        self, *, question: str = "question", documents: str = "documents"
    ) -> Runnable[dict[str, Any], dict[str, Any]]:
        """A step of a chain: a dict goes through, its documents filtered.

        Args:
            question: key under which the dict holds the question.
            documents: key under which it holds the documents.
        """

        def step(given: dict[str, Any]) -> dict[str, Any]:
            kept = self.compress_documents(given[documents], given[question])
            return {**given, documents: kept}

        async def astep(given: dict[str, Any]) -> dict[str, Any]:
            kept = await self.acompress_documents(given[documents], given[question])
            return {**given, documents: kept}

        return RunnableLambda(step, astep, name="PoisonFilter")
