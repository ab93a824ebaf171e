"""A LangChain document compressor that drops poisoned documents."""

from __future__ import annotations

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
from ragshield.retriever import check_question


class PoisonFilter(BaseDocumentCompressor):
    """Drop poisoned documents from what any retriever returned.

    For `ContextualCompressionRetriever`, document pipelines and, by `as_runnable`,
    chains. With `vectorstore` only the question is embedded; without it the documents
    are too.

    Attributes:
        defenders: one or several, objects or registry names; None for the default guard.
        on_error: what a failing defender means: `raise`, `keep` or `drop`.
        vectorstore: holds the documents' vectors.
        embeddings: embeds what is missing; default: the vector store's own, else the
            offline encoder.
        stored_vectors: reads vectors by document id, for stores other than Chroma and
            InMemoryVectorStore.
        on_verdict: called after every judgement with a `Retrieval` and a `Verdict`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    defenders: Any = None
    on_error: OnError = "raise"
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
            on_error=self.on_error,
            vectorstore=self.vectorstore,
            embeddings=self.embeddings,
            stored_vectors=self.stored_vectors,
            on_verdict=self.on_verdict,
        )

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The documents that the defenders keep, unchanged and in order."""
        check_question(query)
        judged = self._judge.judge(query, documents)
        announce(judged.verdict, callbacks)
        return judged.kept

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """`compress_documents` without blocking the event loop."""
        check_question(query)
        judged = await self._judge.ajudge(query, documents)
        await aannounce(judged.verdict, callbacks)
        return judged.kept

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
            return {**given, documents: list(kept)}

        async def astep(given: dict[str, Any]) -> dict[str, Any]:
            kept = await self.acompress_documents(given[documents], given[question])
            return {**given, documents: list(kept)}

        return RunnableLambda(step, astep, name="PoisonFilter")
