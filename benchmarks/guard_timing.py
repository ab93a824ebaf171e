"""Times the guard beside the package `ragdefender`, in one run, on the same passages."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
from guard_defenders import spread
from guard_trials import Trial

from ragshield import Guard
from ragshield.defenders.calibrated import Calibrated
from ragshield.defenders.calibrated_shield import Shield
from ragshield.defenders.ragdefender import RAGDefender
from ragshield.protocols import Defender
from ragshield.records import Retrieval
from ragshield.wording.profiles import profile

SIZES = (1, 2, 5, 10, 20, 50, 100)


class Given:
    """A retriever that has nothing to do: what is timed is the judgement."""

    def __init__(self, retrievals: Sequence[Retrieval] = ()) -> None:
        self._by_question = {one.question: one for one in retrievals}

    def retrieve(self, question: str, k: int = 10) -> Retrieval:
        """The retrieval prepared for the question, at most k hits of it."""
        found = self._by_question[question]
        return found if k >= len(found) else found.select(range(k))


def speed(trials: Sequence[Trial], shield: Shield, *, quick: bool = False) -> list[dict[str, Any]]:
    """Milliseconds by k: the guard, ours of RAGDefender, and the package itself.

    One thread. Ours get the vectors that a store holds; the package's `defend()` embeds
    the passages at every call, which is how it is used. `cold` empties the memory of
    texts read before each call, so that every passage is new; `seen` does not.
    """
    import torch
    from ragdefender import RAGDefender as Package
    from threadpoolctl import threadpool_limits

    from ragshield.encoders import minilm

    guard = Guard(Given())
    ours: dict[str, Defender] = {
        "calibrated, seen": Calibrated(shield),
        "ragdefender paper single, ours": RAGDefender("paper", "single"),
        "ragdefender released multi, ours": RAGDefender("released", "multi"),
    }
    out = []
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        package = Package(embedder=minilm.load().model, device="cpu")
        package.defend("", ["a first call loads", "what it needs"], task_type="single_hop")
        for k in (1, 10) if quick else SIZES:
            picked = retrievals(trials, k, 20 if quick else 200)
            timed: dict[str, list[float]] = {
                "guard, cold": [_once(guard.inspect_retrieval, one, cold=True) for one in picked],
                "guard, seen": [_once(guard.inspect_retrieval, one) for one in picked],
            }
            for name, defender in ours.items():
                timed[name] = [_once(defender.inspect, one) for one in picked]
            few = picked[: 2 if quick else max(5, 20 // max(1, k // 10))]
            for task in ("single_hop", "multi_hop"):
                # One passage is too few for the package, and the task hardly changes its time.
                if k == 1 or (task == "multi_hop" and k != 10):
                    continue
                timed[f"ragdefender 0.2.0 defend(), {task}"] = [
                    _ms(lambda o=one, t=task: package.defend("", list(o.texts), task_type=t))
                    for one in few
                ]
            out += [{"defender": name, "k": k} | spread(ms) for name, ms in timed.items()]
    torch.set_num_threads(before)
    return out


def ratios(rows: Sequence[dict[str, Any]]) -> dict[int, dict[str, float]]:
    """How many times longer the package takes than the guard, by k, medians of one run."""
    at = {(row["defender"], row["k"]): row["median_ms"] for row in rows}
    package = "ragdefender 0.2.0 defend(), single_hop"
    return {
        k: {name: at[package, k] / at[f"guard, {name}", k] for name in ("cold", "seen")}
        for (defender, k) in at
        if defender == package
    }


def memory(trials: Sequence[Trial], *, quick: bool = False) -> list[dict[str, Any]]:
    """Largest Python allocation of one judgement in KiB (tracemalloc), median over calls."""
    guard, out = Guard(Given()), []
    for k in (1, 10) if quick else (1, 10, 20, 100):
        for state in ("cold", "seen"):
            peaks = []
            for one in retrievals(trials, k, 30):
                guard.inspect_retrieval(one)
                if state == "cold":
                    profile.cache_clear()
                tracemalloc.start()
                guard.inspect_retrieval(one)
                peaks.append(tracemalloc.get_traced_memory()[1] / 1024)
                tracemalloc.stop()
            row = {"k": k, "texts": state, "n": len(peaks)}
            out.append(row | {"median_kib": float(np.median(peaks)), "max_kib": max(peaks)})
    return out


def retrievals(trials: Sequence[Trial], k: int, n: int, *, regime: str = "a") -> list[Retrieval]:
    """Retrievals (n) of k hits each, drawn at random from the honest hits of a regime."""
    source = [t.retrieval for t in trials if t.regime == regime and not t.family]
    hits = [pair for r in source for pair in zip(r.hits, r.vectors, strict=True)]
    rng = np.random.default_rng(k)
    out = []
    for number in range(n):
        asked = source[number % len(source)]
        seen = {}
        for i in rng.permutation(len(hits)):
            seen.setdefault(hits[i][0].text, hits[i])
            if len(seen) == k:
                break
        chosen = list(seen.values())
        renamed = tuple(_renamed(hit, i) for i, (hit, _) in enumerate(chosen))
        vectors = np.stack([row for _, row in chosen])
        out.append(Retrieval(asked.question, renamed, vectors, asked.question_vector))
    return out


def _renamed(hit: Any, number: int) -> Any:
    # Ids of different retrievals repeat; within one they must not.
    from dataclasses import replace

    return replace(hit, passage=replace(hit.passage, id=f"p{number}"))


def _once(
    inspect: Callable[[Retrieval], Any], retrieval: Retrieval, *, cold: bool = False
) -> float:
    inspect(retrieval)
    if cold:
        profile.cache_clear()
    return _ms(lambda: inspect(retrieval))


def _ms(call: Callable[[], Any]) -> float:
    start = perf_counter()
    call()
    return (perf_counter() - start) * 1e3
