"""Measures every registered attack: what it achieves, what it costs, what finds it.

Usage: python benchmarks/attacks.py [--quick] [--only NAME ...] [--keep JSON] [--out DIR]

150 real questions with their golden passages in a store of more than 20,000 real ones,
and 150 questions of the bundled world in the same store. All poison of an attack is
planted at once; the reader is given the five nearest passages.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from attacks_fluency import Fluency
from attacks_measures import Measure, crafted, in_parts
from attacks_report import markdown
from attacks_scan import BUDGET, TOGETHER, scanned
from attacks_store import Aim, PlantedStore, built
from attacks_variants import Variant, variants
from guard_data import DevData, data_folder, embedder

from ragshield import registry
from ragshield.errors import RagshieldError
from ragshield.files import check_writable, writing
from ragshield.protocols import Attack
from ragshield.records import Passage, Spec

ROOT = Path(__file__).resolve().parents[1]
N_SCANNED = 10
"""Real targets whose poison is scanned for."""
QUICK_SCANNED = 600
"""Real passages that --quick scans."""


class Bench:
    """Runs variants over one store."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        cache = ROOT / ".cache"
        self.quick, self.seconds = arguments.quick, arguments.seconds
        self.store: PlantedStore
        self.aims: list[Aim]
        data = DevData(data_folder())
        self.store, self.aims, self.n_real = built(
            data, cache / "guard-vectors.sqlite", quick=self.quick
        )
        self.embed = embedder(cache / "attack-vectors.sqlite")
        fluency = Fluency([p.text for p in self.store.passages[: self.n_real]])
        self.measure = Measure(self.store, self.embed, fluency)

    def none(self) -> dict[str, Any]:
        """Without attack: answers, the guard, the scan."""
        found = self.measure.none(self.aims)
        found["real"] |= self._scanned([])
        return found

    def run(self, variant: Variant) -> dict[str, Any]:
        """What a variant does, or why it was not run."""
        try:
            attack: Attack = registry.build(
                Spec("attack", variant.name, variant.params),
                retriever=self.store,
                encoder=self.store.encoder,
            )
        except (RagshieldError, ImportError) as error:
            return {"not_run": str(error).splitlines()[0]}
        made = crafted(attack, self.aims, self.store, seconds=self.seconds)
        if not made.aims:
            return {"not_run": made.failures[0]}
        found = self.measure.all(made)
        if "real" in found:
            n = 4 if self.quick else N_SCANNED
            found["real"] |= self._scanned(list(in_parts(made, "real", n)))
        return found | {"failures": made.failures}

    def _scanned(self, groups: list[list[Passage]]) -> dict[str, Any]:
        n_real = min(self.n_real, QUICK_SCANNED) if self.quick else self.n_real
        return scanned(self.store, n_real, groups, self.embed)


def environment(bench: Bench) -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "python": platform.python_version(),
        "n_cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "n_real": bench.n_real,
        "n_stored": len(bench.store.passages),
        "n_questions": {name: sum(a.set == name for a in bench.aims) for name in ("real", "world")},
        "seconds_per_attack": bench.seconds,
        "n_scanned": N_SCANNED,
        "n_scanned_together": TOGETHER,
        "alert_budget": BUDGET,
        "quick": bench.quick,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few questions, under two minutes")
    parser.add_argument("--only", nargs="+", help="these attacks only")
    parser.add_argument("--keep", type=Path, help="results that the others are taken from")
    parser.add_argument("--seconds", type=float, help="most time to make one attack's poison")
    parser.add_argument("--out", type=Path, help="folder for attacks.md and attacks.json")
    arguments = parser.parse_args()
    if arguments.seconds is None:
        arguments.seconds = 1.5 if arguments.quick else 90.0
    # A quick or partial run is no result to commit.
    partial = arguments.quick or (arguments.only and not arguments.keep)
    folder = ROOT / ".cache" / "attack-results" if partial else ROOT / "benchmarks" / "results"
    folder = arguments.out or folder
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder / "attacks.json")
    unfinished = ROOT / ".cache" / "attack-results" / "unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    logging.getLogger("ragshield").setLevel(logging.ERROR)
    bench = Bench(arguments)
    results: dict[str, Any] = {"environment": environment(bench), "attacks": {}}
    if arguments.keep:
        results["attacks"] = json.loads(arguments.keep.read_text(encoding="utf-8"))["attacks"]
    results["none"] = bench.none()
    for variant in variants(arguments.only):
        start = time.perf_counter()
        results["attacks"][variant.label] = bench.run(variant)
        spent = time.perf_counter() - start
        print(f"{variant.label}: {spent:.1f} s", file=sys.stderr, flush=True)
        # An interrupted run keeps what it has paid for: --keep takes it up again.
        write(results, unfinished)
    write(results, folder)
    print(folder / "attacks.md")


def write(results: dict[str, Any], folder: Path) -> None:
    """Both files."""
    results["attacks"] = dict(sorted(results["attacks"].items()))
    with writing(folder / "attacks.json") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    with writing(folder / "attacks.md") as file:
        file.write(markdown(results))


if __name__ == "__main__":
    main()
