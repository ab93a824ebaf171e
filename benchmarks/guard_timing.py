"""Times one judgement, vectors given, one thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from guard_trials import Trial

from ragshield.defenders.fused import Fused
from ragshield.defenders.ragdefender import RAGDefender
from ragshield.protocols import Defender
from ragshield.records import Retrieval
from ragshield.wording.profiles import profile

SIZES = (1, 5, 10, 50, 100)
REPEATS = 200


def timing(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Median and 95th percentile in milliseconds by defender and k.

    `cold` empties the cache of read texts before each call: every passage is new.
    """
    hits = [
        (hit, row)
        for trial in trials
        if trial.regime == "c" and not trial.family
        for hit, row in zip(trial.retrieval.hits, trial.retrieval.vectors, strict=True)
    ]
    rng = np.random.default_rng(0)
    question = next(t.retrieval for t in trials if t.dataset == "hotpotqa")
    out = []
    for k in SIZES:
        picked = []
        for _ in range(REPEATS):
            chosen = [hits[i] for i in rng.choice(len(hits), size=k, replace=False)]
            vectors = np.stack([row for _, row in chosen])
            picked.append(
                Retrieval(
                    question.question,
                    tuple(h for h, _ in chosen),
                    vectors,
                    question.question_vector,
                )
            )
        defenders: list[tuple[str, Defender, bool]] = [
            ("fused, cold", Fused(), True),
            ("fused, texts seen before", Fused(), False),
            ("ragdefender paper single", RAGDefender("paper", "single"), False),
            ("ragdefender released multi", RAGDefender("released", "multi"), False),
        ]
        for name, defender, cold in defenders:
            spent = []
            for retrieval in picked:
                if cold:
                    profile.cache_clear()
                else:
                    defender.inspect(retrieval)
                start = time.perf_counter()
                defender.inspect(retrieval)
                spent.append((time.perf_counter() - start) * 1e3)
            out.append(
                {
                    "defender": name,
                    "k": k,
                    "median_ms": float(np.median(spent)),
                    "p95_ms": float(np.quantile(spent, 0.95)),
                }
            )
    return out
