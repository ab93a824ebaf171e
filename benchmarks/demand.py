"""Measures the demand detector on synthetic traffic: what it finds, how soon, and whom it wrongs.

    python benchmarks/demand.py [--runs 20] [--out benchmarks/results]

Vectors are made up, so nothing is downloaded or embedded; about ten minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ragshield.defenders.demand import DemandDetector
from ragshield.files import writing
from ragshield.intervals import Rate, clustered_rate, rate
from ragshield.records import Batch, Passage, Retrieval
from ragshield.stores.memory import MutableMemoryStore
from ragshield.vectors import unit_rows

DIM, N_OLD, N_ARRIVING, N_TOPICS, K = 32, 2000, 200, 100, 10
WARM_UP, N_QUESTIONS = 500, 3000
PLANTED_AT = 800
SETTINGS = ((0.001, 0.7), (0.0, 0.7), (0.01, 0.7), (0.001, 0.0))
"""tolerated and min_spread; the first are the defaults."""
KINDS = ("none", "hub 0.5", "hub 0.6", "hub 0.7", "hub 1.0", "cone top", "cone any", "news")
"""hub X: one passage at the middle of a sample of questions, which share a direction of
length X that passages lack. cone: ten passages around the questions of one topic, the most
asked or any. news: no attack; three questions in ten suddenly ask about 20 new passages."""

PREFACE = f"""# Demand detector on synthetic traffic

`python benchmarks/demand.py --runs {{runs}}`: {{runs}} runs of {N_QUESTIONS} questions per kind \
of traffic, over {N_OLD} old passages of Zipf popularity and {N_ARRIVING} honest ones that arrive \
on the way; warm-up {WARM_UP}, top {K}, alpha 0.01. The attack comes at question {PLANTED_AT}. \
All settings judge the same retrievals.

- hub X: one passage in the middle of all questions, which share a direction of length X that \
passages lack.
- cone: ten passages around one topic's questions, the most asked topic or any.
- news: no attack; three questions in ten suddenly ask about 20 new honest passages.

Demand: median share of questions won by the planted passages, and by the most wanted old one. \
Wronged: honest passages ever dropped. Clean loss: honest hits dropped of all after the warm-up. \
Intervals are 95 %, clustered by run, and take runs as fully correlated where nothing happened; \
the last column counts runs.

"""


@dataclass
class Outcome:
    """What one detector did in one run."""

    found_at: dict[str, int] = field(default_factory=dict)  # questions since planted
    wronged_old: set[str] = field(default_factory=set)
    wronged_new: set[str] = field(default_factory=set)
    hits_dropped: int = 0


class Traffic:
    """A store and its questions: Zipf popularity, topics, honest passages arriving."""

    def __init__(self, kind: str, seed: int) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.kind = kind
        n = N_OLD + N_ARRIVING
        shared = float(kind.split()[1]) if kind.startswith("hub") else 0.5
        self.asking = shared * unit_rows(rng.standard_normal((1, DIM)))[0]
        self.topics = rng.standard_normal((N_TOPICS, DIM)) / np.sqrt(DIM)
        self.topic_of = rng.integers(0, N_TOPICS, n)
        self.vectors = unit_rows(
            (self.topics[self.topic_of] + 0.6 * self._noise(n)).astype(np.float32)
        )
        popularity = 1 / np.arange(1, n + 1) ** 0.8
        self.popularity = rng.permutation(popularity)
        self.store = MutableMemoryStore(
            batch=Batch(tuple(self._passage("old", i) for i in range(N_OLD)), self.vectors[:N_OLD])
        )
        self.n_stored = N_OLD
        self.arrivals = sorted(rng.integers(WARM_UP, N_QUESTIONS - 300, N_ARRIVING).tolist())
        self.planted: list[str] = []
        self.news: np.ndarray | None = None

    def questions(self) -> Iterator[Retrieval]:
        """All retrievals in order, passages arriving in between."""
        for t in range(N_QUESTIONS):
            while self.n_stored < N_OLD + N_ARRIVING and (
                self.arrivals[self.n_stored - N_OLD] <= t
            ):
                i = self.n_stored
                self.store.add(Batch((self._passage("new", i),), self.vectors[i : i + 1]))
                self.n_stored += 1
            if t == PLANTED_AT:
                self._plant()
            asked = self._question()
            found = self.store.search(asked, K)
            yield Retrieval(f"What is number {t}?", found.hits, found.vectors, asked)

    def _question(self, topic: int | None = None) -> np.ndarray:
        if self.news is not None and self.rng.random() < 0.3:
            aim = self.news[self.rng.integers(len(self.news))]
        else:
            weights = self.popularity[: self.n_stored].copy()
            if topic is not None:
                weights *= self.topic_of[: self.n_stored] == topic
            aim = self.vectors[self.rng.choice(self.n_stored, p=weights / weights.sum())]
        return (aim + 0.5 * self._noise(1)[0] + self.asking).astype(np.float32)

    def _plant(self) -> None:
        if self.kind.startswith("hub"):
            sample = unit_rows(np.stack([self._question() for _ in range(300)]))
            self._add("poison", sample.mean(axis=0, keepdims=True))
        elif self.kind.startswith("cone"):
            demand = np.bincount(self.topic_of, self.popularity, minlength=N_TOPICS)
            topic = int(demand.argmax())
            if self.kind == "cone any":
                topic = int(self.rng.choice(np.unique(self.topic_of[:N_OLD])))
            sample = unit_rows(np.stack([self._question(topic) for _ in range(100)]))
            self._add("poison", sample.mean(axis=0) + 0.1 * self._noise(10))
        elif self.kind == "news":
            topic_vector = self._noise(1)[0]
            rows = (topic_vector + 0.6 * self._noise(20)).astype(np.float32)
            self.news = unit_rows(rows)
            self._add("news", self.news)

    def _add(self, word: str, rows: np.ndarray) -> None:
        passages = tuple(Passage(f"{word}{i}", f"{word} {i}") for i in range(len(rows)))
        self.store.add(Batch(passages, unit_rows(rows.astype(np.float32))))
        if word == "poison":
            self.planted = [passage.id for passage in passages]

    def _passage(self, word: str, i: int) -> Passage:
        return Passage(f"{word}{i}", f"Fact {i}.")

    def _noise(self, n: int) -> np.ndarray:
        return self.rng.standard_normal((n, DIM)) / np.sqrt(DIM)


def one_run(kind: str, seed: int) -> dict[str, Any]:
    """Several detectors judge the same retrievals."""
    traffic = Traffic(kind, seed)
    detectors = {
        s: DemandDetector(0.01, s[0], min_spread=s[1], warm_up=WARM_UP, clock=lambda: 0.0)
        for s in SETTINGS
    }
    outcomes = {s: Outcome() for s in SETTINGS}
    wins: dict[str, int] = defaultdict(int)
    n_honest_hits, spent = 0, 0.0
    for t, retrieval in enumerate(traffic.questions()):
        ids = {hit.id for hit in retrieval}
        for passage_id in ids:
            wins[passage_id] += 1
        n_honest_hits += 0 if t < WARM_UP else len(ids - set(traffic.planted))
        for setting, detector in detectors.items():
            start = time.perf_counter()
            dropped = detector.inspect(retrieval).dropped
            spent += time.perf_counter() - start
            outcome = outcomes[setting]
            for finding in dropped:
                passage_id = finding.passage_id
                if passage_id in traffic.planted:
                    outcome.found_at.setdefault(passage_id, t - PLANTED_AT)
                    continue
                outcome.hits_dropped += 1
                old = passage_id.startswith("old")
                (outcome.wronged_old if old else outcome.wronged_new).add(passage_id)
    after = N_QUESTIONS - PLANTED_AT
    return {
        "outcomes": outcomes,
        "planted": traffic.planted,
        "n_new": N_ARRIVING + (20 if kind == "news" else 0),
        "demand": [wins[passage_id] / after for passage_id in traffic.planted],
        "top_demand": max(n for p, n in wins.items() if p.startswith("old")) / N_QUESTIONS,
        "n_honest_hits": n_honest_hits,
        "inspect_ms": 1000 * spent / N_QUESTIONS / len(SETTINGS),
    }


def row_of(kind: str, setting: tuple[float, float], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One line of the table."""
    outcomes = [run["outcomes"][setting] for run in runs]
    waits = [wait for outcome in outcomes for wait in outcome.found_at.values()]
    demand = [share for run in runs for share in run["demand"]]
    return {
        "kind": kind,
        "tolerated": setting[0],
        "min_spread": setting[1],
        "n_runs": len(runs),
        "demand": statistics.median(demand) if demand else None,
        "top_demand": statistics.median(run["top_demand"] for run in runs),
        "recall": clustered_rate(
            (len(o.found_at), len(r["planted"])) for o, r in zip(outcomes, runs, strict=True)
        ),
        "wait": statistics.median(waits) if waits else None,
        "wronged_old": clustered_rate((len(o.wronged_old), N_OLD) for o in outcomes),
        "wronged_new": clustered_rate(
            (len(o.wronged_new), r["n_new"]) for o, r in zip(outcomes, runs, strict=True)
        ),
        "runs_wronged": rate(sum(bool(o.hits_dropped) for o in outcomes), len(runs)),
        "clean_loss": clustered_rate(
            (o.hits_dropped, r["n_honest_hits"]) for o, r in zip(outcomes, runs, strict=True)
        ),
        "inspect_ms": statistics.median(run["inspect_ms"] for run in runs),
    }


def cell(value: Rate | None) -> str:
    """A rate with its interval and n."""
    if value is None or value.value is None:
        return "-"
    return f"{value.value:.4f} [{value.low:.4f}, {value.high:.4f}] ({value.successes}/{value.n})"


def table(rows: list[dict[str, Any]]) -> str:
    head = (
        "| traffic | tolerated | min_spread | demand of planted / of top old | found "
        "| questions until found | old passages wronged | new honest passages wronged "
        "| clean loss (hits) | runs with any |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        demand = "-" if row["demand"] is None else f"{row['demand']:.1%}"
        wait = "-" if row["wait"] is None else f"{row['wait']:.0f}"
        lines.append(
            f"| {row['kind']} | {row['tolerated']} | {row['min_spread']} "
            f"| {demand} / {row['top_demand']:.1%} | {cell(row['recall'])} "
            f"| {wait} | {cell(row['wronged_old'])} | {cell(row['wronged_new'])} "
            f"| {cell(row['clean_loss'])} "
            f"| {row['runs_wronged'].successes}/{row['runs_wronged'].n} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="per kind of traffic")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    rows = []
    for kind in KINDS:
        runs = [one_run(kind, seed) for seed in range(options.runs)]
        rows += [row_of(kind, setting, runs) for setting in SETTINGS]
        print(table(rows[-len(SETTINGS) :]), flush=True)
    plain = [{k: asdict(v) if isinstance(v, Rate) else v for k, v in row.items()} for row in rows]
    with writing(options.out / "demand.json") as file:
        json.dump({"runs": options.runs, "rows": plain}, file, indent=1)
    with writing(options.out / "demand.md") as file:
        file.write(PREFACE.format(runs=options.runs) + table(rows) + "\n")


if __name__ == "__main__":
    main()
