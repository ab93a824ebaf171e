"""Making a closed model forget: every method on the same questions and the same attacks.

The lab's obedient model and its disobedient twin, over the bundled world: 50 concepts and
50 samples with ten listed neighbours each; thirteen families of attacks; 1 to 1,000
targets at once and 100 one after another. Answers and vectors are cached, by the weights'
hash, so that a second run costs minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
CACHE = ROOT / ".cache"


def main() -> int:
    """Run it and write results/unlearning.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="eight targets: two minutes")
    parser.add_argument("--targets", type=int, default=50, help="concepts, and as many samples")
    parser.add_argument("--per-family", type=int, default=2, help="probes for the hardened method")
    parser.add_argument("--models", default="obedient,twin", help="names or folders, by comma")
    parser.add_argument("--no-cache", action="store_true", help="ask and embed everything anew")
    parser.add_argument(
        "--only", choices=["models", "scale", "gate"], help="one part; the rest is kept"
    )
    parser.add_argument(
        "--report", action="store_true", help="only write what a run that was cut off has so far"
    )
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "unlearning.md")
    given = parser.parse_args()
    n_each = 4 if given.quick else given.targets
    per_family = 1 if given.quick else given.per_family
    output: Path = given.output
    if given.quick and output == RESULTS / "unlearning.md":
        output = CACHE / "unlearning-quick.md"
    output.parent.mkdir(parents=True, exist_ok=True)
    raw = output.with_suffix(".json")
    found: dict[str, Any] = json.loads(raw.read_text()) if raw.exists() else {}
    found = found if given.only or given.report else {}
    models = given.models.split(",")
    start = time.perf_counter()
    if given.report:
        parts = {Path(m).name: CACHE / f"unlearning-{Path(m).name}-{n_each}.json" for m in models}
        read = {n: json.loads(part.read_text()) for n, part in parts.items() if part.exists()}
        found["models"] = {n: model for n, model in read.items() if "hardened" in model["methods"]}
        _write(found, output, _environment(given, n_each, per_family, start))
        return 0
    jobs: dict[str, Any] = {}
    with ProcessPoolExecutor(2) as pool:
        if given.only in (None, "models"):
            for name in models:
                args = (name, n_each, per_family, not given.no_cache)
                jobs[f"model {Path(name).name}"] = pool.submit(run_model, *args)
        for part, run in (("scale", run_scale), ("gate", run_gate)):
            if given.only in (None, part):
                jobs[part] = pool.submit(run, given.quick, not given.no_cache)
        done = {name: job.result() for name, job in jobs.items()}
    # What another run wrote meanwhile stays.
    found = json.loads(raw.read_text()) if given.only and raw.exists() else {}
    asked = {n.removeprefix("model "): d for n, d in done.items() if n.startswith("model ")}
    if asked:
        found["models"] = {**found.get("models", {}), **asked}
    found |= {part: done[part] for part in ("scale", "gate") if done.get(part)}
    _write(found, output, _environment(given, n_each, per_family, start) if asked else None)
    print(f"{output} written in {(time.perf_counter() - start) / 60:.1f} minutes")
    return 0


def _environment(
    given: argparse.Namespace, n_each: int, per_family: int, start: float
) -> dict[str, Any]:
    return {
        "commit": _commit(),
        "n_each": n_each,
        "per_family": per_family,
        "quick": given.quick,
        "minutes": round((time.perf_counter() - start) / 60, 1),
        "command": " ".join(["python benchmarks/unlearning.py", *sys.argv[1:]]),
    }


def _write(found: dict[str, Any], output: Path, environment: dict[str, Any] | None) -> None:
    if environment is not None:
        found["environment"] = environment
    raw = json.dumps(found, indent=1) + "\n"
    output.with_suffix(".json").write_text(raw, encoding="utf-8")
    from unlearning_report import markdown

    output.write_text(markdown(found), encoding="utf-8")


def run_model(name: str, n_each: int, per_family: int, cached: bool) -> dict[str, Any]:
    """One model under every method."""
    _one_thread()
    from unlearning_data import setting
    from unlearning_measure import measured

    cache = CACHE / "unlearning-answers.sqlite" if cached else None
    vectors = CACHE / "unlearning-vectors.sqlite" if cached else None
    partial = CACHE / f"unlearning-{Path(name).name}-{n_each}.json"
    return measured(setting(n_each), name, cache, vectors, per_family=per_family, partial=partial)


def run_scale(quick: bool, cached: bool) -> dict[str, Any]:
    """The gates by the number of targets."""
    _one_thread()
    from unlearning_scale import scaled

    return scaled(CACHE / "unlearning-vectors.sqlite" if cached else None, quick=quick)


def run_gate(quick: bool, cached: bool) -> dict[str, Any] | None:
    """The gates on other people's data; None without it."""
    if quick:
        return None
    _one_thread()
    from unlearning_gate import judged

    return judged(CACHE / "unlearning-vectors.sqlite" if cached else None)


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    )
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
