"""The defenders that the guard is held against, what they drop and what a judgement costs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from guard_heldout import Judged
from guard_trials import Trial

from ragshield.defenders.calibrated import Calibrated
from ragshield.defenders.calibrated_shield import Shield
from ragshield.defenders.fused import Fused
from ragshield.defenders.none import NoDefence
from ragshield.defenders.ragdefender import RAGDefender
from ragshield.defenders.ragdefender_repaired import RAGDefenderRepaired
from ragshield.defenders.tris import TRIS
from ragshield.defenders.trustrag import TrustRAG
from ragshield.protocols import Defender
from ragshield.records import Retrieval


def baselines() -> dict[str, Defender]:
    """Every other defence, by the name of its row; none of them is fitted here."""
    return {
        "none": NoDefence(),
        "ragdefender paper single": RAGDefender("paper", "single"),
        "ragdefender paper multi": RAGDefender("paper", "multi"),
        "ragdefender released single": RAGDefender("released", "single"),
        "ragdefender released multi": RAGDefender("released", "multi"),
        "ragdefender-repaired": RAGDefenderRepaired(),
        "trustrag stage 1": TrustRAG(),
        "tris query similarity": TRIS("query"),
    }


def run(defender: Defender, trials: Sequence[Trial]) -> Judged:
    """What it drops from each retrieval."""
    from threadpoolctl import threadpool_limits

    out: Judged = []
    # Clustering ten rows with a thread for each core costs more than with one.
    with threadpool_limits(1):
        for trial in trials:
            kept = set(defender.inspect(trial.retrieval).kept_ids)
            out.append((trial, np.array([hit.id not in kept for hit in trial.retrieval.hits])))
    return out


def latency(retrievals: Sequence[Retrieval], shield: Shield) -> dict[str, dict[str, Any]]:
    """Milliseconds per judgement of each defender over the same retrievals, one thread.

    Vectors are given and texts were read before, as in a process that serves.

    Args:
        retrievals: what is judged.
        shield: of the calibrated guard.
    """
    from threadpoolctl import threadpool_limits

    out = {}
    guards: dict[str, Defender] = {"fused": Fused(), "calibrated": Calibrated(shield)}
    with threadpool_limits(1):
        for name, defender in (baselines() | guards).items():
            spent = []
            for retrieval in retrievals:
                defender.inspect(retrieval)
                start = time.perf_counter()
                defender.inspect(retrieval)
                spent.append((time.perf_counter() - start) * 1e3)
            out[name] = spread(spent)
    return out


def spread(spent_ms: Sequence[float]) -> dict[str, Any]:
    """Median and 95th percentile of milliseconds, with n."""
    return {
        "median_ms": float(np.median(spent_ms)),
        "p95_ms": float(np.quantile(spent_ms, 0.95)),
        "n": len(spent_ms),
    }
