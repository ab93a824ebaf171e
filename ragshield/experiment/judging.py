"""One defender's judgement of one question, deeper where the experiment says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from ragshield.chain import DefenderChain
from ragshield.majority import Majority
from ragshield.protocols import Defender
from ragshield.records import Retrieval, Verdict


class Judged(NamedTuple):
    """What was judged in the end, the verdict, and the seconds that the defender took."""

    retrieval: Retrieval
    verdict: Verdict
    defender_s: float


def judged(
    defender: Defender,
    first: Retrieval,
    retrieve: Callable[[int], Retrieval],
    *,
    depth: int,
    majority: Majority | None,
) -> Judged:
    """Judge what was retrieved; where honest passages seem the minority, look deeper.

    Args:
        defender: judges.
        first: what was retrieved at `depth`.
        retrieve: the same question's retrieval at another depth.
        depth: hits asked for.
        majority: how deep to look and what to give then, as a guard does; None: the
            defender's verdict on `first` stands.
    """
    if majority is None:
        started = time.perf_counter()
        verdict = defender.inspect(first)
        return Judged(first, verdict, time.perf_counter() - started)
    chain, seen, at = DefenderChain(defender), first, depth
    started = time.perf_counter()
    verdict = chain.inspect(seen)
    taken = time.perf_counter() - started
    while deeper := majority.deeper(verdict, at, depth):
        at = deeper
        seen = retrieve(at)
        started = time.perf_counter()
        verdict = majority.joined(verdict, chain.inspect(seen))
        taken += time.perf_counter() - started
    return Judged(seen, majority.settled(verdict, at, depth), taken)
