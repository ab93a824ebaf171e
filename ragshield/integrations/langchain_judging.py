"""Judging LangChain documents, with the vectors that the store already holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.callbacks.base import BaseCallbackManager
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from ragshield.chain import DefenderChain, Defenders, OnError
from ragshield.errors import InputError
from ragshield.integrations.langchain_vectors import (
    EncoderEmbeddings,
    StoredVectors,
    passages_of_documents,
    stored_vectors_of,
    unwrapped,
)
from ragshield.records import Action, Hit, Passage, Retrieval, Verdict
from ragshield.supplied import retrieval_of

EVENT = "ragshield_verdict"
"""Name of the LangChain custom event that carries each verdict."""

_log = logging.getLogger("ragshield.langchain")


@dataclass(frozen=True, slots=True)
class Judged:
    """Documents with the verdict on them."""

    kept: list[Document]
    verdict: Verdict


class DocumentJudge:
    """Judge documents for a question.

    Vectors come from the store where it holds them; what it does not hold is embedded,
    which is logged once as a warning. Not being able to get vectors counts as a
    failure of the defenders: `on_error` says what happens.

    Args:
        defenders: as for `Guard`.
        on_error: as for `Guard`.
        vectorstore: where the documents come from, if known.
        embeddings: embeds what is missing; default: the store's own, else the
            offline encoder.
        stored_vectors: reads vectors by document id, for stores other than Chroma and
            InMemoryVectorStore.
        on_verdict: called after every judgement, with what was judged and the verdict.
    """

    def __init__(
        self,
        defenders: Defenders = None,
        *,
        on_error: OnError = "raise",
        vectorstore: VectorStore | None = None,
        embeddings: Embeddings | None = None,
        stored_vectors: StoredVectors | None = None,
        on_verdict: Callable[[Retrieval, Verdict], None] | None = None,
    ) -> None:
        self.chain = DefenderChain(defenders, on_error=on_error)
        store = None if vectorstore is None else unwrapped(vectorstore)
        if embeddings is None and store is not None:
            embeddings = store.embeddings
        self.embeddings = EncoderEmbeddings() if embeddings is None else embeddings
        self.stored_vectors = stored_vectors or stored_vectors_of(store)
        self.on_verdict = on_verdict
        self._warned = False

    def judge(
        self,
        question: str,
        documents: Sequence[Document],
        question_vector: Sequence[float] | None = None,
    ) -> Judged:
        """The documents that the defenders keep, unchanged and in order."""
        passages = passages_of_documents(documents)
        try:
            stored = self._stored(documents)
            missing = self._missing(passages, stored)
            made = self.embeddings.embed_documents(missing) if missing else []
            if question_vector is None and passages:
                question_vector = self.embeddings.embed_query(question)
            retrieval = _retrieval(question, passages, stored, made, question_vector)
        except Exception as error:  # the caller chose what a failure means
            return self._unjudged(question, documents, passages, error)
        return self._judged(documents, retrieval)

    async def ajudge(
        self,
        question: str,
        documents: Sequence[Document],
        question_vector: Sequence[float] | None = None,
    ) -> Judged:
        """`judge` without blocking the event loop."""
        passages = passages_of_documents(documents)
        try:
            stored = await asyncio.to_thread(self._stored, documents)
            missing = self._missing(passages, stored)
            made = await self.embeddings.aembed_documents(missing) if missing else []
            if question_vector is None and passages:
                question_vector = await self.embeddings.aembed_query(question)
            retrieval = _retrieval(question, passages, stored, made, question_vector)
        except Exception as error:  # the caller chose what a failure means
            return self._unjudged(question, documents, passages, error)
        return await asyncio.to_thread(self._judged, documents, retrieval)

    def _stored(self, documents: Sequence[Document]) -> Mapping[str, Sequence[float]]:
        ids = list(dict.fromkeys(document.id for document in documents if document.id))
        return self.stored_vectors(ids) if self.stored_vectors is not None and ids else {}

    def _missing(
        self, passages: Sequence[Passage], stored: Mapping[str, Sequence[float]]
    ) -> list[str]:
        missing = [passage.text for passage in passages if passage.id not in stored]
        if missing and not self._warned:
            self._warned = True
            _log.warning(
                "%d of %d passages have no stored vectors at hand and are embedded again; "
                "give the vectorstore, or stored_vectors, to judge with the store's own",
                len(missing),
                len(passages),
            )
        return missing

    def _judged(self, documents: Sequence[Document], retrieval: Retrieval) -> Judged:
        return self._told(documents, retrieval, self.chain.inspect(retrieval))

    def _unjudged(
        self,
        question: str,
        documents: Sequence[Document],
        passages: Sequence[Passage],
        error: Exception,
    ) -> Judged:
        hits = tuple(Hit(passage, float("nan")) for passage in passages)
        verdict = self.chain.failed(hits, error)
        nothing = np.empty((len(hits), 0), dtype=np.float32)
        return self._told(
            documents, Retrieval(question, hits, nothing, nothing.sum(axis=0)), verdict
        )

    def _told(
        self, documents: Sequence[Document], retrieval: Retrieval, verdict: Verdict
    ) -> Judged:
        if self.on_verdict is not None:
            self.on_verdict(retrieval, verdict)
        pairs = zip(documents, verdict.findings, strict=True)
        return Judged([doc for doc, finding in pairs if finding.action is Action.KEEP], verdict)


def announce(verdict: Verdict, callbacks: Any) -> None:
    """Send a verdict to LangChain's callbacks as a custom event, inside a run."""
    if _inside_a_run(callbacks):
        dispatch_custom_event(EVENT, _event(verdict), config={"callbacks": callbacks})


async def aannounce(verdict: Verdict, callbacks: Any) -> None:
    """Send a verdict to LangChain's async callbacks as a custom event, inside a run."""
    if _inside_a_run(callbacks):
        await adispatch_custom_event(EVENT, _event(verdict), config={"callbacks": callbacks})


def _inside_a_run(callbacks: Any) -> bool:
    return isinstance(callbacks, BaseCallbackManager) and callbacks.parent_run_id is not None


def _event(verdict: Verdict) -> dict[str, Any]:
    return {
        "status": verdict.status,
        "detector": verdict.detector,
        "kept": list(verdict.kept_ids),
        "findings": [
            {
                "passage_id": finding.passage_id,
                "suspicion": finding.suspicion,
                "action": finding.action.value,
                "reason": finding.reason,
                "detector": finding.detector,
            }
            for finding in verdict.findings
        ],
    }


def _retrieval(
    question: str,
    passages: Sequence[Passage],
    stored: Mapping[str, Sequence[float]],
    made: Sequence[Sequence[float]],
    question_vector: Sequence[float] | None,
) -> Retrieval:
    if not passages:
        nothing = np.empty((0, 0), dtype=np.float32)
        return Retrieval(question, (), nothing, nothing.reshape(0))
    rest = iter(made)
    rows = [stored[p.id] if p.id in stored else next(rest) for p in passages]
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise InputError(
            f"vectors of {' and '.join(map(str, sorted(widths)))} dimensions for one question; "
            "the embeddings must be those that filled the store"
        )
    return retrieval_of(question, passages, rows, question_vector)
