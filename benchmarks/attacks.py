"""Measures every registered attack: what it achieves, what it costs, what finds it.

Usage: python benchmarks/attacks.py [--quick] [--only NAME ...] [--keep JSON] [--out DIR]

150 real questions with their golden passages in a store of more than 20,000 real ones,
and 150 questions of the bundled world in the same store. All poison of an attack is
planted at once; the reader is given the five nearest passages. A run that broke off is
taken up again by the same command while the code is the same.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from attacks_fluency import Fluency
from attacks_llm import calls
from attacks_measures import Made, Measure, crafted, crafted_for_many, in_parts, triggered
from attacks_report import markdown
from attacks_rows import Rows, commit, earlier, gathered
from attacks_scan import BUDGET, TOGETHER, scanned
from attacks_store import SETS, Aim, PlantedStore, built
from attacks_variants import Variant, variants
from guard_data import DevData, data_folder, embedder

from ragshield import registry
from ragshield.errors import RagshieldError
from ragshield.files import check_writable, writing
from ragshield.protocols import Attack
from ragshield.readers.lab import LabReader
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
        self.in_lab = Measure(self.store, self.embed, fluency, LabReader())
        self._lots: dict[str, Made] = {}
        """Poison with triggers, which is asked for with them and without."""

    def none(self) -> dict[str, Any]:
        """Without attack: answers, the guard, the scan."""
        found = self.measure.none(self.aims)
        found["real"] |= self._scanned([])
        return found

    def none_in_lab(self) -> dict[str, Any]:
        """Without attack, answered by the lab's model."""
        return self.in_lab.none(self.aims, SETS[1:]) | {"failures": []}

    def run(self, variant: Variant) -> dict[str, Any]:
        """What a variant does, or why it was not run."""
        try:
            made = self._crafted(variant)
        except (RagshieldError, ImportError) as error:
            return {"not_run": str(error).splitlines()[0]}
        if not made.aims:
            return {"not_run": made.failures[0]}
        found = (self.in_lab if variant.reader == "lab" else self.measure).all(made)
        if "real" in found:
            n = 4 if self.quick else N_SCANNED
            found["real"] |= self._scanned(list(in_parts(made, "real", n)))
        return found | {"failures": made.failures}

    def _crafted(self, variant: Variant) -> Made:
        if variant.aims == "target":
            aims = [a for a in self.aims if a.set == SETS[1] or not variant.world_only]
            return crafted(self._built(variant), aims, self.store, seconds=self.seconds)
        key = f"{variant.name} {variant.params}"
        if key not in self._lots:
            self._lots[key] = crafted_for_many(
                lambda questions: self._built(variant, questions=questions), self.aims, self.store
            )
        return triggered(self._lots[key]) if variant.aims == "trigger" else self._lots[key]

    def _built(self, variant: Variant, **more: Any) -> Attack:
        params = variant.params | more
        if self.quick and "budget" in params:
            params["budget"] = 60
        attack: Attack = registry.build(
            Spec("attack", variant.name, params), retriever=self.store, encoder=self.store.encoder
        )
        return attack

    def _scanned(self, groups: list[list[Passage]]) -> dict[str, Any]:
        n_real = min(self.n_real, QUICK_SCANNED) if self.quick else self.n_real
        return scanned(self.store, n_real, groups, self.embed)


def environment(bench: Bench) -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "python": platform.python_version(),
        "commit": commit(),
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
    parser.add_argument(
        "--so-far",
        type=Path,
        metavar="FOLDER",
        help="only write down the rows a run has kept there",
    )
    parser.add_argument("--seconds", type=float, help="most time to make one attack's poison")
    parser.add_argument("--out", type=Path, help="folder for attacks.md and attacks.json")
    arguments = parser.parse_args()
    if arguments.seconds is None:
        arguments.seconds = 1.5 if arguments.quick else 30.0
    # A quick or partial run is no result to commit.
    in_part = arguments.quick or (arguments.only and not arguments.keep)
    folder = ROOT / ".cache" / "attack-results" if in_part else ROOT / "benchmarks" / "results"
    folder = arguments.out or folder
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder / "attacks.json")
    logging.getLogger("ragshield").setLevel(logging.ERROR)
    if arguments.so_far:
        labels = [variant.label for variant in variants(arguments.only)]
        write(gathered(arguments.so_far, arguments.keep, labels), folder)
        print(folder / "attacks.md")
        return
    bench = Bench(arguments)
    rows = Rows(ROOT / ".cache" / "attack-results" / "rows", environment(bench))
    results: dict[str, Any] = {"environment": environment(bench), "attacks": {}}
    if arguments.keep:
        results["attacks"] = earlier(arguments.keep)
    results["none"] = rows.kept("none", bench.none)
    results["llm"] = rows.kept("llm", lambda: calls(bench.aims[: 4 if bench.quick else 40]))
    chosen = list(variants(arguments.only))
    if any(variant.reader == "lab" for variant in chosen):
        results["attacks"]["none, reader: lab"] = rows.kept("none in lab", bench.none_in_lab)
    for variant in chosen:
        start = time.perf_counter()
        results["attacks"][variant.label] = rows.kept(variant.label, partial(bench.run, variant))
        spent = time.perf_counter() - start
        print(f"{variant.label}: {spent:.1f} s", file=sys.stderr, flush=True)
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
