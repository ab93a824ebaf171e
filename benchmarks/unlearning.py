"""Making a closed model forget: every method on the same questions and the same attacks.

The lab's obedient model and its disobedient twin, over the bundled world: 50 concepts and
50 samples with ten listed neighbours each; thirteen families of attacks; 1 to 1,000
targets at once, 100 one after another, and 50 of which some are taken back. Answers and
vectors are cached, by the weights' hash, so that a second run costs minutes. With
--processes 4 on four cores a first run takes some twenty minutes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearning_measure import Model

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
    parser.add_argument("--processes", type=int, default=2, help="one core each")
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
    models = [] if given.only in ("scale", "gate") else given.models.split(",")
    start = time.perf_counter()
    names = [Path(model).name for model in given.models.split(",")]
    files = {name: CACHE / f"unlearning-parts-{name}-{n_each}.json" for name in names}
    if given.report:
        done = {name: _read(file) for name, file in files.items()}
    else:
        done = {Path(model).name: {} for model in models}
        others = [part for part in ("scale", "gate") if given.only in (None, part)]
        found |= _all(given, models, others, done, files, (n_each, per_family))
        if given.only and raw.exists():  # what another run wrote meanwhile stays
            found = json.loads(raw.read_text()) | {p: found[p] for p in others if p in found}
        if "scale" in others:
            command = " ".join(["python benchmarks/unlearning.py", *sys.argv[1:]])
            found["scale"]["note"] = f"`{command}` at commit {_commit()}."
    from unlearning_measure import put_together

    asked = {name: model for name in done if (model := put_together(done[name])) is not None}
    if asked:
        found["models"] = {**found.get("models", {}), **asked}
    _write(found, output, _environment(given, n_each, per_family, start) if asked else None)
    print(f"{output} written in {(time.perf_counter() - start) / 60:.1f} minutes")
    return 0


def _all(
    given: argparse.Namespace,
    models: list[str],
    others: list[str],
    done: dict[str, dict[str, Any]],
    files: dict[str, Path],
    sizes: tuple[int, int],
) -> dict[str, Any]:
    """Every part in some processes: first what the others compare with, at last the cost."""
    from unlearning_measure import parts

    context = multiprocessing.get_context("spawn")
    cached = not given.no_cache
    with ProcessPoolExecutor(given.processes, mp_context=context) as pool:

        def asked(wanted: tuple[str, ...]) -> list[Future[Any]]:
            return [
                pool.submit(run_part, model, part, *sizes, cached)
                for part in wanted
                for model in models
            ]

        def kept(waiting: list[Future[Any]]) -> None:
            for job in as_completed(waiting):
                name, part, one = job.result()
                done[name][part] = one
                files[name].write_text(json.dumps(done[name], indent=1), encoding="utf-8")
                print(f"{name}: {part} {one['seconds']} s", flush=True)

        first = asked(("arms",))
        run = {"scale": run_scale, "gate": run_gate}
        rest = {part: pool.submit(run[part], given.quick, cached) for part in others}
        kept(first)
        kept(asked(parts()))
        found = {part: result for part, job in rest.items() if (result := job.result())}
        kept(asked(("cost",)))
    return found


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


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


def run_part(
    name: str, part: str, n_each: int, per_family: int, cached: bool
) -> tuple[str, str, dict[str, Any]]:
    """One part of what is measured of one model."""
    _one_thread()
    return Path(name).name, part, _model(name, n_each, per_family, cached).measured(part)


@lru_cache(maxsize=2)
def _model(name: str, n_each: int, per_family: int, cached: bool) -> Model:
    """A model of this process, ready to be asked."""
    from unlearning_data import setting
    from unlearning_measure import Model

    cache = CACHE / "unlearning-answers.sqlite" if cached else None
    vectors = CACHE / "unlearning-vectors.sqlite" if cached else None
    return Model(setting(n_each), name, cache, vectors, per_family=per_family)


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
