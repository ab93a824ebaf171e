"""Judging LangChain documents, with the vectors that the store already holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.callbacks.base import BaseCallbackManager
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from ragshield.chain import DefenderChain, Defenders, OnError, ShieldGiven
from ragshield.errors import InputError, MajorityError
from ragshield.integrations.langchain_vectors import (
    EncoderEmbeddings,
    Stored,
    StoredVectors,
    facts_of,
    passages_of_documents,
    stored_vectors_of,
    unwrapped,
)
from ragshield.majority import Majority
from ragshield.records import Finding, Hit, Passage, Retrieval, Status, Verdict
from ragshield.supplied import retrieval_of

EVENT = "ragshield_verdict"
"""Name of the LangChain custom event that carries each verdict."""

_log = logging.getLogger("ragshield.langchain")


STATUS, SUSPICION = "ragshield_status", "ragshield_suspicion"
"""Metadata of every document that a guard gives; no suspicion where it was not judged."""


class JudgedDocuments(list[Document]):
    """The documents that a guard keeps: a list, with the verdict also where it is empty.

    Attributes:
        verdict: on all documents that were looked at.
    """

    def __init__(self, documents: Iterable[Document], verdict: Verdict) -> None:
        super().__init__(documents)
        self.verdict = verdict

    @property
    def status(self) -> Status:
        """The verdict's status."""
        return self.verdict.status


@dataclass(frozen=True, slots=True)
class Judged:
    """Documents, what defenders were shown of them, and the verdict."""

    documents: Sequence[Document]
    retrieval: Retrieval
    verdict: Verdict

    def deeper(self, later: Judged) -> Judged:
        """A later, deeper judgement, in which what this one dropped stays dropped."""
        return replace(later, verdict=Majority.joined(self.verdict, later.verdict))


class DocumentJudge:
    """Judge documents for a question.

    Vectors come from the store where it holds them; what it does not hold is embedded,
    which is logged once as a warning. Not being able to get vectors counts as a
    failure of the defenders: `on_error` says what happens.

    Args:
        defenders: as for `Guard`.
        shield: as for `Guard`.
        on_error: as for `Guard`.
        majority: what is given where honest documents may be the minority.
        vectorstore: where the documents come from, if known.
        embeddings: embeds what is missing; default: the store's own, else the
            offline encoder.
        stored_vectors: reads vectors by document id, for stores other than Chroma and
            InMemoryVectorStore.
        on_verdict: called once for each question, with what was judged in the end and
            the verdict.
    """

    def __init__(
        self,
        defenders: Defenders = None,
        *,
        shield: ShieldGiven = None,
        on_error: OnError = "raise",
        majority: Majority | None = None,
        vectorstore: VectorStore | None = None,
        embeddings: Embeddings | None = None,
        stored_vectors: StoredVectors | None = None,
        on_verdict: Callable[[Retrieval, Verdict], None] | None = None,
    ) -> None:
        self.chain = DefenderChain(defenders, on_error=on_error, shield=shield)
        self.majority = Majority() if majority is None else majority
        store = None if vectorstore is None else unwrapped(vectorstore)
        if embeddings is None and store is not None:
            embeddings = store.embeddings
        self.embeddings = EncoderEmbeddings() if embeddings is None else embeddings
        self.stored_vectors = stored_vectors or stored_vectors_of(store)
        self.on_verdict = on_verdict
        self._warned = False
        if self.chain.is_made_for_a_store:
            self.chain.check_store(facts_of(store, self.embeddings))

    def judge(
        self,
        question: str,
        documents: Sequence[Document],
        question_vector: Sequence[float] | None = None,
        stored: Stored | None = None,
    ) -> Judged:
        """The defenders' verdict, not settled yet; `stored` are vectors already at hand."""
        passages = passages_of_documents(documents)
        try:
            stored = self._stored(documents) if stored is None else stored
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
        stored: Stored | None = None,
    ) -> Judged:
        """`judge` without blocking the event loop."""
        passages = passages_of_documents(documents)
        try:
            if stored is None:
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

    def settle(
        self, judged: Judged, depth: int = 0, first: int = 0
    ) -> tuple[JudgedDocuments, MajorityError | None]:
        """What is given, and the error where the caller chose to refuse.

        The error is given, not raised, so that callbacks hear of the verdict first.

        Args:
            judged: the last judgement.
            depth: documents that were asked for.
            first: documents that were asked for at first.
        """
        verdict = self.majority.settled(judged.verdict, depth, first)
        if self.on_verdict is not None:
            self.on_verdict(judged.retrieval, verdict)
        kept = set(verdict.kept_ids)
        pairs = zip(judged.documents, verdict.findings, strict=True)
        given = JudgedDocuments(
            (
                _marked(doc, finding, verdict)
                for doc, finding in pairs
                if finding.passage_id in kept
            ),
            verdict,
        )
        try:
            self.majority.tell(verdict)
        except MajorityError as error:
            return given, error
        return given, None

    def _judged(self, documents: Sequence[Document], retrieval: Retrieval) -> Judged:
        return Judged(documents, retrieval, self.chain.inspect(retrieval))

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
        return Judged(documents, Retrieval(question, hits, nothing, nothing.sum(axis=0)), verdict)


def _marked(document: Document, finding: Finding, verdict: Verdict) -> Document:
    """A copy with what was judged in its metadata; the store's own may be the same object."""
    metadata = {**document.metadata, STATUS: verdict.status}
    metadata.pop(SUSPICION, None)
    if finding.suspicion is not None:
        metadata[SUSPICION] = round(finding.suspicion, 4)
    return document.model_copy(update={"metadata": metadata})


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
        "looked_deeper_from": verdict.looked_deeper_from,
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
