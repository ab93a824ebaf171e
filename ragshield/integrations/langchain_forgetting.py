"""A LangChain retriever that gives nothing of what is to be forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, PrivateAttr

from ragshield.protocols import Encoder
from ragshield.retriever import check_question
from ragshield.unlearning.keys import ForgetKeys, check_encoder
from ragshield.unlearning.query_gate import QueryGate
from ragshield.unlearning.retrieval_filter import RetrievalFilter


class ForgettingRetriever(BaseRetriever):
    """Any LangChain retriever behind the query gate and the retrieval filter.

    A question about a target gives no documents, as a question about something unknown;
    any other gives documents without what they say of targets. The model behind it is not
    gated: for that, wrap both in `ragshield.unlearning.forgetting.Forgetting`.

    Attributes:
        retriever: gives documents for a question.
        keys: of the forget set.
        encoder: the one the keys were made with; None to go without meaning.
        audience: who asks.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    retriever: Runnable[str, list[Document]]
    keys: ForgetKeys
    encoder: Any = None
    audience: str | None = None

    _gate: QueryGate = PrivateAttr()
    _filter: RetrievalFilter = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Build the gates."""
        super().model_post_init(context)
        encoder: Encoder | None = self.encoder
        if encoder is not None:
            check_encoder(self.keys, encoder.name)
        self._gate = QueryGate(self.keys, encoder)
        self._filter = RetrievalFilter(self.keys, encoder)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        check_question(query)
        found = self.retriever.invoke(query, {"callbacks": run_manager.get_child()})
        return self._rest(query, found)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        check_question(query)
        found = await self.retriever.ainvoke(query, {"callbacks": run_manager.get_child()})
        return await asyncio.to_thread(self._rest, query, found)

    def _rest(self, query: str, found: Sequence[Document]) -> list[Document]:
        focus = self._gate.judge(query, audience=self.audience)
        if focus.is_refused:
            return []
        texts = [document.page_content for document in found]
        shown = self._filter.rest(texts, focus, audience=self.audience)
        return [
            document if text == document.page_content else self._cut(document, text)
            for document, text in zip(found, shown, strict=True)
            if text is not None and not self._titled(document)
        ]

    def _titled(self, document: Document) -> bool:
        """Whether a document's metadata speak of a target: a title, a source, a path."""
        said = [str(value) for value in document.metadata.values() if isinstance(value, str)]
        rest = self._filter.rest(said, audience=self.audience)
        return any(text is None or text != one for one, text in zip(said, rest, strict=True))

    def _cut(self, document: Document, text: str) -> Document:
        return Document(text, id=document.id, metadata=dict(document.metadata))
