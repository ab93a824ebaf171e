"""Reproduce RAGDefender's measured behaviour, and put PoisonedRAG's success beside it.

    python benchmarks/reproduce_ragdefender.py [--data ../shared/data]
        [--cache .cache/vectors.sqlite] [--output benchmarks/results/ragdefender]

Needs the extra `bench` (the package ragdefender 0.2.0 is run beside ours). Writes
OUTPUT.json and OUTPUT.md. Exit code 1 if a number differs by more than 0.03 from its
reference and the difference is not explained as benchmarks/README.md says.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ragdefender_attack import attack_rows
from ragdefender_cases import Data, Served, larger_group, rates, removal
from ragdefender_markdown import markdown
from ragdefender_reference import REFERENCE, TOLERANCE, Reference
from ragdefender_timing import timing

from ragshield.defenders.ragdefender import RAGDefender
from ragshield.encoders import open_encoder
from ragshield.errors import RagshieldError
from ragshield.files import writing
from ragshield.metrics import Rate
from ragshield.records import Action, Retrieval

ROOT = Path(__file__).resolve().parents[1]
METRICS = ("recall", "loss", "precision", "exact")


def main() -> int:
    options = parse(sys.argv[1:])
    data = Data(options.data, open_encoder("minilm", cache=options.cache))
    rows = [reproduced(data, reference) for reference in REFERENCE]
    result: dict[str, Any] = {
        "versions": {n: version(n) for n in ("ragdefender", "numpy", "scikit-learn", "torch")},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "encoder": data.encoder.name,
        "tolerance": TOLERANCE,
        "rows": rows,
        "attack": attack_rows(data),
        "timing": None if options.no_timing else timing(data),
    }
    result["summary"] = summary(rows)
    for suffix, text in ((".json", json.dumps(result, indent=1) + "\n"), (".md", markdown(result))):
        with writing(options.output.with_suffix(suffix)) as file:
            file.write(text)
    print(markdown(result))
    return 0 if result["summary"]["unexplained"] == 0 else 1


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    default = os.environ.get("RAGSHIELD_DATA", ROOT.parent / "shared" / "data")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors.sqlite")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/ragdefender")
    parser.add_argument("--no-timing", action="store_true", help="leave out the minute of timing")
    return parser.parse_args(arguments)


def reproduced(data: Data, reference: Reference) -> dict[str, Any]:
    """One reference row measured: ours, the package's, the paper mode's."""
    from ragdefender import RAGDefender as Package

    r = reference
    cases = data.cases(r.regime, r.dataset, r.family, r.n_poison, r.prefix)
    data.embed(text for case in cases for text in (*case.texts, case.question.text))
    package = Package(embedder=Served(data), device="cpu")
    # Terms of equal weight alphabetically: the numbers must not depend on the machine.
    ours = RAGDefender("released", r.hop, ties="rank")
    same = RAGDefender("released", r.hop)
    paper = RAGDefender("paper", r.hop)
    found: dict[str, list[list[int]]] = {"ours": [], "same": [], "paper": [], "package": []}
    found["larger"] = []
    for case in cases:
        retrieval = data.retrieval(case)
        found["ours"].append(removed(ours, retrieval))
        found["same"].append(removed(same, retrieval))
        found["paper"].append(removed(paper, retrieval))
        _, gone = package.defend(
            "", list(case.texts), task_type=f"{r.hop}_hop", return_indices=True
        )
        found["package"].append(gone)
        found["larger"].append(larger_group(retrieval) if r.hop == "multi" else [])
    measured = {
        name: rates([removal(case, gone) for case, gone in zip(cases, each, strict=True)])
        for name, each in found.items()
    }
    row: dict[str, Any] = {
        "label": r.label,
        "hop": r.hop,
        "n_questions": len(cases),
        "n_same_as_package": sum(
            a == b for a, b in zip(found["same"], found["package"], strict=True)
        ),
    }
    for metric in METRICS:
        expected = getattr(r, metric)
        ours_rate = measured["ours"][metric]
        row[metric] = {
            "reference": expected,
            "released": as_dict(ours_rate),
            "package": measured["package"][metric].value,
            "paper": as_dict(measured["paper"][metric]),
            "larger_group": measured["larger"][metric].value if r.hop == "multi" else None,
            "difference": difference(ours_rate.value, expected),
        }
        row[metric]["verdict"] = verdict(row[metric])
    return row


def removed(defender: RAGDefender, retrieval: Retrieval) -> list[int]:
    """Indices of the hits that a defender drops."""
    findings = defender.inspect(retrieval).findings
    return [i for i, finding in enumerate(findings) if finding.action is Action.DROP]


def verdict(entry: dict[str, Any]) -> str:
    """`within`, `reference` (the package contradicts it as we do, and why), or `differs`."""
    expected = entry["reference"]
    if expected is None:
        return "not compared"
    if entry["difference"] <= TOLERANCE:
        return "within"
    ours = entry["released"]["value"]
    contradicted = difference(entry["package"], expected) > TOLERANCE and entry["package"] == ours
    explained = difference(entry["larger_group"], expected)
    return (
        "reference"
        if contradicted and explained is not None and explained <= TOLERANCE
        else "differs"
    )


def difference(value: float | None, expected: float | None) -> float | None:
    """Absolute, rounded as the reference is; None where one of them is missing."""
    return None if value is None or expected is None else round(abs(value - expected), 4)


def as_dict(rate: Rate) -> dict[str, Any]:
    """A rate as JSON."""
    return {k: getattr(rate, k) for k in ("value", "low", "high", "successes", "n", "n_clusters")}


def summary(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many numbers were compared, and how they came out."""
    verdicts = [row[metric]["verdict"] for row in rows for metric in METRICS]
    return {
        "compared": sum(v != "not compared" for v in verdicts),
        "within": verdicts.count("within"),
        "reference": verdicts.count("reference"),
        "unexplained": verdicts.count("differs"),
        "retrievals": sum(row["n_questions"] for row in rows),
        "same_as_package": sum(row["n_same_as_package"] for row in rows),
    }


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except RagshieldError as error:
        print(f"reproduce_ragdefender: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
