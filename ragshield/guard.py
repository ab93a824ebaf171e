"""The guard: a retriever that judges what it retrieves; and `judge`, for one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from ragshield.chain import DefenderChain, Defenders, OnError, defender_named
from ragshield.errors import UsageError
from ragshield.protocols import Defender, Encoder, Retriever
from ragshield.records import Passage, Retrieval, Verdict
from ragshield.retriever import check_question
from ragshield.supplied import passages_of, retrieval_of


class Guard:
    """A retriever that returns only what its defenders keep.

    It judges with the vectors that the retriever brings along: nothing is embedded
    but the question, and that by the retriever. Safe to call from many threads if the
    retriever is.

    Args:
        retriever: finds the passages.
        defenders: one or several (objects or registry names), judging in turn what
            the one before left; None for the default guard.
        on_error: what a failing defender means: `raise` its exception, `keep` the
            hits it left unjudged, or `drop` them; see `DefenderChain`. A failing
            retriever always raises.
        depth: retrieve and judge this many hits (never fewer than k) and return the k
            best that are kept, so that what is dropped is replaced by what comes next
            and a handful of poisoned passages is no majority. None: at least 20 and at
            least k + 10 for the default guard, k for defenders that you name.
        on_verdict: called after every judgement, with what was judged and the verdict.

    Raises:
        UsageError: no such defender, or depth < 1.
    """

    def __init__(
        self,
        retriever: Retriever,
        defenders: Defenders = None,
        *,
        on_error: OnError = "raise",
        depth: int | None = None,
        on_verdict: Callable[[Retrieval, Verdict], None] | None = None,
    ) -> None:
        if not callable(getattr(retriever, "retrieve", None)):
            raise UsageError(f"{retriever!r} is no retriever: it has no method retrieve()")
        if depth is not None and depth < 1:
            raise UsageError(f"depth is {depth}; it must be at least 1")
        self.retriever = retriever
        self.chain = DefenderChain(defenders, on_error=on_error)
        self.depth = depth
        self.on_verdict = on_verdict

    @property
    def defenders(self) -> tuple[Defender, ...]:
        """The defenders, in the order in which they judge."""
        return self.chain.defenders

    def retrieve(self, question: str, k: int = 10) -> Retrieval:
        """At most k hits that the defenders keep, with their vectors, best first.

        Raises:
            UsageError: the question is empty or k < 1.
            Exception: what a failing defender raised, with on_error="raise".
        """
        found = self._found(question, k)
        return kept_of(found, self.inspect_retrieval(found), k)

    def inspect(self, question: str, k: int = 10) -> Verdict:
        """Retrieve and judge, for who wants the findings too.

        All hits down to the guard's depth are judged, and more than k may be kept.
        """
        return self.inspect_retrieval(self._found(question, k))

    def inspect_retrieval(self, retrieval: Retrieval) -> Verdict:
        """Judge what was retrieved elsewhere; the retriever is not asked."""
        verdict = self.chain.inspect(retrieval)
        if self.on_verdict is not None:
            self.on_verdict(retrieval, verdict)
        return verdict

    async def aretrieve(self, question: str, k: int = 10) -> Retrieval:
        """`retrieve` without blocking the event loop.

        Awaits the retriever's own `aretrieve` where it has one; what has none, and the
        defenders, run in a thread.
        """
        found = await self._afound(question, k)
        return kept_of(found, await asyncio.to_thread(self.inspect_retrieval, found), k)

    async def ainspect(self, question: str, k: int = 10) -> Verdict:
        """`inspect` without blocking the event loop."""
        found = await self._afound(question, k)
        return await asyncio.to_thread(self.inspect_retrieval, found)

    def _found(self, question: str, k: int) -> Retrieval:
        check_question(question, k)
        return self.retriever.retrieve(question, self.chain.depth(k, self.depth))

    async def _afound(self, question: str, k: int) -> Retrieval:
        check_question(question, k)
        depth = self.chain.depth(k, self.depth)
        native = getattr(self.retriever, "aretrieve", None)
        if native is not None:
            return cast("Retrieval", await native(question, depth))
        return await asyncio.to_thread(self.retriever.retrieve, question, depth)


def kept_of(retrieval: Retrieval, verdict: Verdict, k: int | None = None) -> Retrieval:
    """The hits of a retrieval that a verdict keeps, at most k, with their vectors."""
    if len(verdict.kept) == len(retrieval.hits) and (k is None or k >= len(retrieval.hits)):
        return retrieval
    kept = set(verdict.kept_ids)
    chosen = [i for i, hit in enumerate(retrieval.hits) if hit.id in kept]
    return retrieval.select(chosen if k is None else chosen[:k])


def judge(
    question: str,
    passages: Sequence[str | Passage],
    *,
    vectors: ArrayLike | None = None,
    question_vector: ArrayLike | None = None,
    encoder: Encoder | str | None = None,
    defender: Defender | str | None = None,
) -> Verdict:
    """Judge passages that were retrieved elsewhere, in one call.

    Only what is missing is embedded: with both `vectors` and `question_vector`, no
    encoder is loaded.

    Args:
        question: what was asked.
        passages: texts, whose ids become "0", "1", ..., or passages with unique ids,
            in the retriever's order.
        vectors: the passages' stored vectors, (k, dim).
        question_vector: the question's vector, (dim,), from the same encoder.
        encoder: embeds what is missing; an encoder or its name. Default: minilm,
            loaded once per process.
        defender: judges; a defender or its registry name. Default: the default guard.

    Returns:
        One finding per passage; for no passages an empty `clean` verdict.

    Raises:
        UsageError: an empty question, ids that occur twice, an unknown name.
        InputError: vectors that are NaN, zero, not one per passage, or of another
            width than the encoder's.
        MissingExtraError: the default encoder is needed and not installed.
    """
    if not isinstance(question, str):
        raise UsageError(f"the question is of type {type(question).__name__}; give its text")
    check_question(question)
    found = passages_of(passages)
    judging = defender_named(defender) if isinstance(defender, str) else defender
    chain = DefenderChain(judging)
    if not found:
        nothing = np.empty((0, 0), dtype=np.float32)
        return chain.inspect(Retrieval(question, (), nothing, nothing.reshape(0)))
    return chain.inspect(retrieval_of(question, found, vectors, question_vector, encoder))


async def ajudge(
    question: str,
    passages: Sequence[str | Passage],
    *,
    vectors: ArrayLike | None = None,
    question_vector: ArrayLike | None = None,
    encoder: Encoder | str | None = None,
    defender: Defender | str | None = None,
) -> Verdict:
    """`judge` in a thread, without blocking the event loop."""
    return await asyncio.to_thread(
        judge,
        question,
        passages,
        vectors=vectors,
        question_vector=question_vector,
        encoder=encoder,
        defender=defender,
    )
