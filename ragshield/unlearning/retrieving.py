"""Any retriever, LangChain's or ragshield's, asked in one way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from ragshield.errors import UsageError


class Found(NamedTuple):
    """A retrieved text and its id, as far as it has one."""

    text: str
    id: str


class Source:
    """Retrieves texts for a question.

    Args:
        retriever: a LangChain retriever (`invoke`), a ragshield one (`retrieve`), or None.
        k: how many are used.

        spare: how many times k are given, for who leaves some out.

    Raises:
        UsageError: it is neither, or k < 1.
    """

    def __init__(self, retriever: Any, k: int, *, spare: int = 1) -> None:
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        self._own = callable(getattr(retriever, "retrieve", None))
        if (
            retriever is not None
            and not self._own
            and not callable(getattr(retriever, "invoke", None))
        ):
            raise UsageError(
                f"{type(retriever).__name__} is no retriever: it has neither retrieve() nor "
                "LangChain's invoke()"
            )
        self._retriever = retriever
        self._k = k
        self._spare = spare

    def find(self, question: str) -> list[Found]:
        """Texts, best first."""
        if self._retriever is None:
            return []
        if self._own:
            hits = self._retriever.retrieve(question, self._spare * self._k)
            return [Found(hit.text, hit.id) for hit in hits]
        return self._of(self._retriever.invoke(question))

    async def afind(self, question: str) -> list[Found]:
        """`find` without blocking the event loop."""
        if self._retriever is None or self._own:
            return await asyncio.to_thread(self.find, question)
        return self._of(await self._retriever.ainvoke(question))

    def _of(self, documents: Sequence[Any]) -> list[Found]:
        return [
            Found(str(document.page_content), str(getattr(document, "id", None) or i))
            for i, document in enumerate(documents[: self._spare * self._k])
        ]
