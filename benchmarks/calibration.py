"""Measures calibrated thresholds: how often the stated rate holds, and what they still detect.

Usage: python benchmarks/calibration.py [--quick] [--out benchmarks/results] [--cache FILE]

Without the folder RAGSHIELD_DATA (by default ../shared/data) only generated worlds are measured.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from itertools import permutations
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from calibration_report import markdown
from numpy.typing import NDArray

from ragshield.calibration import calibrate
from ragshield.calibration.conformal import calibrated_threshold
from ragshield.calibration.drawing import draw_questions
from ragshield.corpora import published
from ragshield.corpora.world import load
from ragshield.defenders.calibrated_shield import weights_sha256
from ragshield.defenders.fused import Fused
from ragshield.encoders import open_encoder
from ragshield.files import check_writable, writing
from ragshield.intervals import clustered_rate
from ragshield.protocols import Encoder
from ragshield.records import Batch, Passage, Retrieval
from ragshield.stores.memory import MemoryStore

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "calibration-vectors.sqlite"
K, N_DRAWN = 10, 1000
SPLITS = ((0.01, 150), (0.01, 300), (0.05, 300))
"""Budget and number of calibration questions."""
TRANSFERS = ((0.01, 300), (0.01, 600), (0.02, 300))
Clusters: TypeAlias = list[NDArray[np.float64]]
"""For each question the highest threshold that would still drop each of its hits."""


class Asker:
    """A store of honest passages that questions are asked of."""

    def __init__(self, passages: Sequence[Passage], encoder: Encoder) -> None:
        self.passages = tuple(passages)
        self._encoder = encoder
        vectors = encoder.encode([p.text for p in self.passages])
        self.store = MemoryStore("memory:honest", Batch(self.passages, vectors))

    def ask(self, questions: Sequence[str]) -> Clusters:
        """What each hit of each question takes to be dropped."""
        fused, clusters = Fused(), []
        vectors = self._encoder.encode(list(questions))
        for text, vector in zip(questions, vectors, strict=True):
            near = self.store.search(vector, K)
            findings = fused.inspect(Retrieval(text, near.hits, near.vectors, vector)).findings
            clusters.append(np.array([float(f.evidence["critical"]) for f in findings]))
        return clusters

    def drawn(self, seed: int) -> Clusters:
        """The same for questions made from the passages."""
        honest = draw_questions(self.passages, N_DRAWN, seed=seed)
        return self.ask([one.target.question.text for one in honest])


def cost(clusters: Clusters, threshold: float) -> float:
    """Mean over questions of the share of their hits that is dropped."""
    return float(np.mean([(c >= threshold).mean() for c in clusters]))


def split_row(
    at: dict[str, Any], clusters: Clusters, setting: tuple[float, int], n: int
) -> dict[str, Any]:
    """Calibrate on one random part of the questions, judge the others, n times."""
    budget, n_calibration = setting
    found, observed = [], []
    for i in range(n):
        order = np.random.default_rng(i).permutation(len(clusters))
        found.append(calibrated_threshold([clusters[j] for j in order[:n_calibration]], budget))
        observed.append(cost([clusters[j] for j in order[n_calibration:]], found[-1].value))
    return at | {
        "budget": budget,
        "n": n_calibration,
        "n_judged": len(clusters) - n_calibration,
        "expected": float(np.mean([t.expected for t in found])),
        "low": float(np.mean([t.low for t in found])),
        "high": float(np.mean([t.high for t in found])),
        "observed": float(np.mean(observed)),
        "observed_p5": float(np.quantile(observed, 0.05)),
        "observed_p95": float(np.quantile(observed, 0.95)),
        "within": sum(t.low <= o <= t.high for t, o in zip(found, observed, strict=True)),
        "n_splits": n,
    }


def transfer_row(
    questions: str, worlds: Sequence[Clusters], budget: float, n: int, repeats: int
) -> dict[str, Any]:
    """Calibrate on one world, judge every other one."""
    rates, within = [], 0
    for a, b in permutations(range(len(worlds)), 2):
        for repeat in range(repeats):
            part = np.random.default_rng([a, repeat, n]).permutation(len(worlds[a]))[:n]
            found = calibrated_threshold([worlds[a][i] for i in part], budget)
            rates.append(cost(worlds[b], found.value))
            within += found.low <= rates[-1] <= found.high
    row = {"mean": float(np.mean(rates)), "largest": max(rates), "within": within}
    row |= {"n_pairs": len(rates), "n_worlds": len(worlds)}
    return {"questions": questions, "budget": budget, "n": n} | row


def cost_rows(store: str, drawn: Clusters, real: Clusters) -> list[dict[str, Any]]:
    """What two thresholds cost drawn and real questions that they were not calibrated on."""
    order = np.random.default_rng(0).permutation(len(drawn))
    calibrated = calibrated_threshold([drawn[i] for i in order[:300]], 0.01).value
    rows = []
    for label, threshold in (("default", Fused().threshold), ("calibrated", calibrated)):
        for kind, clusters in (("drawn", [drawn[i] for i in order[300:]]), ("real", real)):
            rate = clustered_rate((int((c >= threshold).sum()), len(c)) for c in clusters)
            row = {"store": store, "threshold": label, "value": threshold, "questions": kind}
            rows.append(row | {"n_questions": len(clusters), "clean_loss": asdict(rate)})
    return rows


def development(
    encoder: Encoder, folder: Path, n_splits: int
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Rows on the published passages, and what drawn and real questions cost there."""
    names: tuple[published.File, ...] = ("poisoned_qa", "retrieved_contexts", "hotflip")
    sets = [published.load(name, folder) for name in names]
    real = [t.question.text for one in sets for t in one.targets]
    rows, costs = [], list[Any]()
    for name, corpora in (
        ("development data", sets),
        ("the same with DUSK", [*sets, published.load("dusk", folder)]),
    ):
        texts = dict.fromkeys(p.text for one in corpora for p in one.passages)
        asker = Asker([Passage(f"d{i}", text) for i, text in enumerate(texts)], encoder)
        drawn, own = asker.drawn(5), asker.ask(real)
        at = {"store": name, "passages": len(texts), "questions": "drawn"}
        rows += [split_row(at, drawn, setting, n_splits) for setting in SPLITS[1:]]
        costs += cost_rows(name, drawn, own)
    return rows, costs


def measure(cache: Path, quick: bool) -> dict[str, Any]:
    encoder = open_encoder("minilm", cache=cache)
    n_worlds, n_splits, repeats = (2, 20, 1) if quick else (5, 100, 3)
    drawn, own, rows, costs = [], [], [], list[Any]()
    for seed in range(n_worlds):
        world = load(seed=seed)
        asker = Asker(world.passages, encoder)
        drawn.append(asker.drawn(seed))
        own.append(asker.ask([q.text for q in world.questions]))
        if seed == 0:
            for name, clusters in (("drawn", drawn[0]), ("own", own[0])):
                at = {"store": "world, seed 0", "passages": len(asker.passages), "questions": name}
                rows += [split_row(at, clusters, setting, n_splits) for setting in SPLITS]
            costs = cost_rows("world, seed 0", drawn[0], own[0])
            shield = calibrate(asker.store, encoder, budget=0.01, k=K, n_questions=300)
        print(f"world {seed} done", flush=True)
    folder = Path(os.environ.get("RAGSHIELD_DATA", ROOT.parent / "shared" / "data"))
    if not quick and (folder / "poisoned_qa.jsonl.gz").is_file():
        more, costs_there = development(encoder, folder, n_splits)
        rows, costs = rows + more, costs + costs_there
    return {
        "command": "python benchmarks/calibration.py" + (" --quick" if quick else ""),
        "weights_sha256": weights_sha256(),
        "encoder": encoder.name,
        "default_threshold": Fused().threshold,
        "repeats": repeats,
        "splits": rows,
        "transfers": [
            transfer_row(name, worlds, budget, n, repeats)
            for name, worlds in (("drawn", drawn), ("own", own))
            for budget, n in TRANSFERS
        ],
        "drawn_and_real": costs,
        "shield": {"threshold": shield.threshold, "clean_loss": asdict(shield.clean_loss)},
        "detection": [asdict(one) for one in shield.detection],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--quick", action="store_true", help="two worlds, no development data")
    args = parser.parse_args()
    logging.getLogger("ragshield").setLevel(logging.ERROR)
    check_writable(args.out / "calibration.json")
    result = measure(args.cache, args.quick)
    with writing(args.out / "calibration.json") as file:
        json.dump(result, file, indent=1)
    with writing(args.out / "calibration.md") as file:
        file.write(markdown(result))


if __name__ == "__main__":
    main()
