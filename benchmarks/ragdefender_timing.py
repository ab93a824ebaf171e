"""What one judgement costs: the package, which embeds, and ours, on stored vectors."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

from ragdefender_cases import Data

from ragshield.defenders.ragdefender import RAGDefender
from ragshield.encoders import minilm

N_QUESTIONS, N_REPEATS = 20, 5


def timing(data: Data) -> dict[str, Any]:
    """Median milliseconds a judgement of ten passages, one thread, in this very run.

    The package's `defend()` embeds the passages at each call; ours reads the vectors that
    the store holds. `package_without_embedding_ms` serves it those vectors too.
    """
    import torch
    from ragdefender import RAGDefender as Package
    from ragdefender_cases import Served
    from threadpoolctl import threadpool_limits

    cases = data.cases("retrieved", "hotpotqa", "poisonedrag", 0, False)[:N_QUESTIONS]
    retrievals = [data.retrieval(case) for case in cases]
    texts = [list(case.texts) for case in cases]
    torch.set_num_threads(1)
    rows: dict[str, Any] = {"n_questions": len(cases), "k": len(retrievals[0])}
    with threadpool_limits(1):
        package = Package(embedder=minilm.load().model, device="cpu")
        served = Package(embedder=Served(data), device="cpu")
        for hop in ("single", "multi"):
            ours = {mode: RAGDefender(mode, hop) for mode in ("released", "paper")}  # type: ignore[arg-type]
            embedding = _median_ms(
                [lambda t=t, h=hop: package.defend("", t, task_type=f"{h}_hop") for t in texts]
            )
            alone = _median_ms(
                [lambda t=t, h=hop: served.defend("", t, task_type=f"{h}_hop") for t in texts],
                N_REPEATS,
            )
            times = {
                mode: _median_ms([lambda r=r, d=d: d.inspect(r) for r in retrievals], N_REPEATS)
                for mode, d in ours.items()
            }
            rows[hop] = {
                "package_ms": embedding,
                "package_without_embedding_ms": alone,
                "released_ms": times["released"],
                "paper_ms": times["paper"],
                "package_over_released": embedding / times["released"],
                "package_without_embedding_over_released": alone / times["released"],
            }
    return rows


def _median_ms(calls: list[Callable[[], object]], repeats: int = 1) -> float:
    calls[0]()  # what is imported or compiled on first use is not what a judgement costs
    taken = []
    for call in calls * repeats:
        start = perf_counter()
        call()
        taken.append(1000 * (perf_counter() - start))
    return median(taken)
