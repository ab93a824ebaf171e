"""One guard under many threads and under asyncio: the same verdicts, and how fast."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import numpy as np
from guard_timing import Given, retrievals
from guard_trials import Trial

from ragshield import Guard
from ragshield.records import Retrieval, Verdict

N_THREADS = 8


def load(trials: Sequence[Trial], *, quick: bool = False) -> dict[str, Any]:
    """Eight threads hammer one guard with the same retrievals in different orders."""
    given = retrievals(trials, 10, 50 if quick else 300, regime="c")
    given = list({one.question: one for one in given}.values())
    guard = Guard(Given(given), depth=10)
    start = perf_counter()
    alone = {one.question: guard.inspect_retrieval(one) for one in given}
    alone_s = perf_counter() - start

    def hammer(seed: int) -> int:
        order = np.random.default_rng(seed).permutation(len(given))
        return sum(guard.inspect_retrieval(given[i]) != alone[given[i].question] for i in order)

    start = perf_counter()
    with ThreadPoolExecutor(N_THREADS) as pool:
        differing = sum(pool.map(hammer, range(N_THREADS)))
    threads_s = perf_counter() - start
    return {
        "n_retrievals": len(given),
        "n_threads": N_THREADS,
        "n_judged": N_THREADS * len(given),
        "n_differing": differing,
        "per_second_one_thread": len(given) / alone_s,
        "per_second_threads": N_THREADS * len(given) / threads_s,
        "asyncio": asyncio.run(_under_asyncio(guard, given, alone)),
    }


async def _under_asyncio(
    guard: Guard, given: Sequence[Retrieval], alone: dict[str, Verdict]
) -> dict[str, Any]:
    """All questions at once on one event loop, beside a clock that wants to tick."""
    gaps: list[float] = []
    done = asyncio.Event()

    async def clock() -> None:
        while not done.is_set():
            start = perf_counter()
            await asyncio.sleep(0.001)
            gaps.append((perf_counter() - start) * 1e3)

    ticking = asyncio.create_task(clock())
    start = perf_counter()
    verdicts = await asyncio.gather(*(guard.ainspect(one.question, 10) for one in given))
    spent = perf_counter() - start
    done.set()
    await ticking
    differing = sum(v != alone[one.question] for v, one in zip(verdicts, given, strict=True))
    return {
        "n_judged": len(given),
        "n_differing": differing,
        "per_second": len(given) / spent,
        "longest_block_ms": max(gaps),
    }
