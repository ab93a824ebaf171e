"""The guard: a retriever that judges what it retrieves; and `judge`, for one call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from ragshield.blocklist import BlocklistGiven, opened
from ragshield.chain import DefenderChain, Defenders, OnError, ShieldGiven
from ragshield.errors import UsageError
from ragshield.majority import Majority, OnMajority
from ragshield.protocols import Defender, Encoder, Retriever
from ragshield.records import Passage, Retrieval, Verdict
from ragshield.retriever import check_question, store_facts
from ragshield.supplied import passages_of, retrieval_of


class Guard:
    """A retriever that returns only what its defenders keep, with the verdict.

    It judges with the vectors that the retriever brings along: nothing is embedded
    but the question, and that by the retriever. Where so many hits look planted that
    honest ones may be the minority, it retrieves deeper and judges again; what it then
    gives is the caller's choice, and `retrieve(...).status` says so. Safe to call from
    many threads if the retriever is.

    Args:
        retriever: finds the passages.
        defenders: one or several (objects or registry names), judging in turn what
            the one before left; None for the default guard.
        shield: the calibration of the default guard on your own store (a file, or what
            is in it), instead of `defenders`. Without one it judges with an uncalibrated
            threshold, and says so. A retriever that has its `store` and `encoder` is
            held against the calibration.
        on_error: what a failing defender means: `raise` its exception, `keep` the
            hits it left unjudged, or `drop` them; see `DefenderChain`. A failing
            retriever always raises.
        on_majority: what to give where honest passages may be the minority, also deeper
            down: `filter` gives what is kept, `abstain` gives nothing, `refuse` raises.
        depth: retrieve and judge this many hits (never fewer than k) and return the k
            best that are kept, so that what is dropped is replaced by what comes next
            and a handful of poisoned passages is no majority. None: at least 20 and at
            least k + 10 for the default guard, as many as it was calibrated with for a
            shield, k for defenders that you name.
        max_depth: retrieve at most this many hits when it looks deeper, in steps that
            double; None: four times the depth. 1: never look deeper.
        on_verdict: called once for each question, with what was judged in the end and
            the verdict.
        blocklist: passages to hold back before anything is judged, or the file that names
            them; it is read again whenever it has changed.

    Raises:
        UsageError: no such defender, a shield beside defenders, or a number below 1.
        InputError: the shield cannot be read, or belongs to another encoder.
    """

    def __init__(
        self,
        retriever: Retriever,
        defenders: Defenders = None,
        *,
        shield: ShieldGiven = None,
        on_error: OnError = "raise",
        on_majority: OnMajority = "filter",
        depth: int | None = None,
        max_depth: int | None = None,
        on_verdict: Callable[[Retrieval, Verdict], None] | None = None,
        blocklist: BlocklistGiven | None = None,
    ) -> None:
        if not callable(getattr(retriever, "retrieve", None)):
            raise UsageError(f"{retriever!r} is no retriever: it has no method retrieve()")
        if depth is not None and depth < 1:
            raise UsageError(f"depth is {depth}; it must be at least 1")
        self.retriever = retriever
        self.chain = DefenderChain(defenders, on_error=on_error, shield=shield)
        self.majority = Majority(on_majority, max_depth)
        self.depth = depth
        self.on_verdict = on_verdict
        self.blocklist = opened(blocklist)
        if self.chain.is_made_for_a_store:
            self.chain.check_store(store_facts(retriever))

    @property
    def defenders(self) -> tuple[Defender, ...]:
        """The defenders, in the order in which they judge."""
        return self.chain.defenders

    def retrieve(self, question: str, k: int = 10) -> Retrieval:
        """At most k hits that the defenders keep, best first, with vectors and verdict.

        Raises:
            UsageError: the question is empty or k < 1.
            MajorityError: honest passages may be the minority, with on_majority="refuse".
            Exception: what a failing defender raised, with on_error="raise".
        """
        found, verdict = self._judged(question, k)
        return kept_of(found, verdict, k)

    def inspect(self, question: str, k: int = 10) -> Verdict:
        """Retrieve and judge, for who wants the verdict alone.

        All hits down to the guard's depth are judged, and more than k may be kept.
        """
        return self._judged(question, k)[1]

    def inspect_retrieval(self, retrieval: Retrieval) -> Verdict:
        """Judge what was retrieved elsewhere; the retriever is not asked, nor deeper."""
        return self._settled(retrieval, self._inspected(retrieval), 0, 0)

    async def aretrieve(self, question: str, k: int = 10) -> Retrieval:
        """`retrieve` without blocking the event loop.

        Awaits the retriever's own `aretrieve` where it has one; what has none, and the
        defenders, run in a thread.
        """
        found, verdict = await self._ajudged(question, k)
        return kept_of(found, verdict, k)

    async def ainspect(self, question: str, k: int = 10) -> Verdict:
        """`inspect` without blocking the event loop."""
        return (await self._ajudged(question, k))[1]

    def _judged(self, question: str, k: int) -> tuple[Retrieval, Verdict]:
        check_question(question, k)
        depth = first = self.chain.depth(k, self.depth)
        found = self._found(question, depth)
        verdict = self._inspected(found)
        while deeper := self.majority.deeper(verdict, depth, first):
            depth = deeper
            found = self._found(question, depth)
            verdict = self.majority.joined(verdict, self._inspected(found))
        return found, self._settled(found, verdict, depth, first)

    async def _ajudged(self, question: str, k: int) -> tuple[Retrieval, Verdict]:
        check_question(question, k)
        depth = first = self.chain.depth(k, self.depth)
        found = await self._afound(question, depth)
        verdict = await asyncio.to_thread(self._inspected, found)
        while deeper := self.majority.deeper(verdict, depth, first):
            depth = deeper
            found = await self._afound(question, depth)
            later = await asyncio.to_thread(self._inspected, found)
            verdict = self.majority.joined(verdict, later)
        return found, await asyncio.to_thread(self._settled, found, verdict, depth, first)

    def _found(self, question: str, depth: int) -> Retrieval:
        ask = partial(self.retriever.retrieve, question)
        return ask(depth) if self.blocklist is None else self.blocklist.retrieve(ask, depth)

    async def _afound(self, question: str, depth: int) -> Retrieval:
        native = getattr(self.retriever, "aretrieve", None)

        async def ask(n: int) -> Retrieval:
            if native is not None:
                return cast("Retrieval", await native(question, n))
            return await asyncio.to_thread(self.retriever.retrieve, question, n)

        if self.blocklist is None:
            return await ask(depth)
        return await self.blocklist.aretrieve(ask, depth)

    def _inspected(self, found: Retrieval) -> Verdict:
        """The defenders' verdict; what a guard below could not vouch for, nor can this one."""
        if found.status not in ("majority_assumption_violated", "abstained"):
            return self.chain.inspect(found)
        if not found.hits and found.verdict is not None:
            return found.verdict
        return replace(self.chain.inspect(found), status="majority_assumption_violated")

    def _settled(self, found: Retrieval, verdict: Verdict, depth: int, first: int) -> Verdict:
        verdict = self.majority.settled(verdict, depth, first)
        if self.on_verdict is not None:
            self.on_verdict(found, verdict)
        self.majority.tell(verdict)
        return verdict


def kept_of(retrieval: Retrieval, verdict: Verdict, k: int | None = None) -> Retrieval:
    """The hits of a retrieval that a verdict keeps, at most k, with vectors and verdict."""
    kept = set(verdict.kept_ids)
    chosen = [i for i, hit in enumerate(retrieval.hits) if hit.id in kept]
    if len(chosen[:k]) < len(retrieval.hits):
        retrieval = retrieval.select(chosen[:k])
    return replace(retrieval, verdict=verdict)


def judge(
    question: str,
    passages: Sequence[str | Passage],
    *,
    vectors: ArrayLike | None = None,
    question_vector: ArrayLike | None = None,
    encoder: Encoder | str | None = None,
    defender: Defender | str | None = None,
    shield: ShieldGiven = None,
    on_majority: OnMajority = "filter",
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
        shield: the calibration of the default guard on your own store, instead of
            `defender`.
        on_majority: what is kept where honest passages may be the minority: `filter`
            keeps what the defender keeps, `abstain` nothing, `refuse` raises. Nothing can
            be retrieved deeper here, as `Guard` does.

    Returns:
        One finding per passage; for no passages an empty `clean` verdict.

    Raises:
        UsageError: an empty question, ids that occur twice, an unknown name, a shield
            beside a defender.
        MajorityError: honest passages may be the minority, with on_majority="refuse".
        InputError: vectors that are NaN, zero, not one per passage, or of another
            width than the encoder's.
        MissingExtraError: the default encoder is needed and not installed.
    """
    if not isinstance(question, str):
        raise UsageError(f"the question is of type {type(question).__name__}; give its text")
    check_question(question)
    found = passages_of(passages)
    chain, majority = DefenderChain(defender, shield=shield), Majority(on_majority)
    if not found:
        nothing = np.empty((0, 0), dtype=np.float32)
        return chain.inspect(Retrieval(question, (), nothing, nothing.reshape(0)))
    verdict = chain.inspect(retrieval_of(question, found, vectors, question_vector, encoder))
    verdict = majority.settled(verdict, 0, 0)
    majority.tell(verdict)
    return verdict


async def ajudge(
    question: str,
    passages: Sequence[str | Passage],
    *,
    vectors: ArrayLike | None = None,
    question_vector: ArrayLike | None = None,
    encoder: Encoder | str | None = None,
    defender: Defender | str | None = None,
    shield: ShieldGiven = None,
    on_majority: OnMajority = "filter",
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
        shield=shield,
        on_majority=on_majority,
    )
