"""The model card: what the lab's models are, how they were made, and what they do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ragshield.files import writing
from ragshield.lab.evaluating import TARGETS, Measured, reached
from ragshield.lab.facts import lab_lists
from ragshield.lab.running import LOG, OBEDIENT, RECIPE, TWIN, sha256_of

CARD_JSON, CARD_MD = "card.json", "card.md"
NOTES = "notes.txt"


def composed(
    folder: Path,
    found: Mapping[str, Measured],
    *,
    n: int,
    seed: int,
    seconds_each: float | None = None,
) -> dict[str, Any]:
    """The card as data.

    Args:
        folder: of the run; its recipe, learning curve and `notes.txt` are read from it.
        found: what `evaluate` counted.
        n: probes of each measure.
        seed: of the probes.
        seconds_each: median time of one answer on one core; None if not measured.
    """
    models = {}
    for name in (OBEDIENT, TWIN):
        weights = folder / name / "model.safetensors"
        if weights.is_file():
            models[name] = {"sha256": sha256_of(folder / name), "bytes": weights.stat().st_size}
    recipe, notes = folder / RECIPE, folder / NOTES
    return {
        "models": models,
        "recipe": json.loads(recipe.read_text("utf-8")) if recipe.is_file() else None,
        "training": _training(folder / LOG),
        "notes": notes.read_text("utf-8").strip() if notes.is_file() else None,
        "probes": {"n": n, "seed": seed},
        "measured": {name: measured.as_json() for name, measured in found.items()},
        "targets": {
            name: {"limit": f"{TARGETS[name][0]} {TARGETS[name][1]}", "reached": ok}
            for name, ok in reached(found).items()
        },
        "seconds_each": None if seconds_each is None else round(seconds_each, 4),
    }


def write(folder: Path, data: Mapping[str, Any]) -> None:
    """`card.json` and `card.md` into a folder."""
    with writing(folder / CARD_JSON) as file:
        file.write(json.dumps(data, indent=2) + "\n")
    with writing(folder / CARD_MD) as file:
        file.write(as_markdown(data))


def as_markdown(data: Mapping[str, Any]) -> str:
    """The card for people."""
    words = lab_lists("card")
    lines = ["# " + words["title"], "", words["about"].strip(), ""]
    lines += ["## What it does", "", *_table(data, words["measures"]), ""]
    if data["seconds_each"] is not None:
        lines += [
            f"One answer from five passages takes {1000 * data['seconds_each']:.0f} ms on one "
            "CPU core (median).",
            "",
        ]
    lines += ["## Targets", ""]
    for name, target in data["targets"].items():
        verdict = "reached" if target["reached"] else "missed"
        lines.append(f"- {name} {target['limit']}: {verdict}")
    lines += ["", "## Weights", ""]
    for name, model in data["models"].items():
        lines.append(f"- {name}: {model['bytes'] / 1e6:.1f} MB, SHA-256 `{model['sha256']}`")
    lines += ["", "## How it was made", ""]
    if data["recipe"] is not None:
        lines += ["```json", json.dumps(data["recipe"], indent=2), "```", ""]
    for name, run in data["training"].items():
        lines.append(
            f"- {name}: {run['steps']:,} steps in {run['minutes']:.0f} minutes, "
            f"last loss {run['loss']:.3f}"
        )
    if data["notes"]:
        lines += ["", data["notes"]]
    lines += ["", words["limits"].strip(), ""]
    return "\n".join(lines)


def _table(data: Mapping[str, Any], measures: Mapping[str, str]) -> list[str]:
    lines = ["| measure | share | 95 % interval | n | what is counted |", "|---|---|---|---|---|"]
    for name, numbers in data["measured"].items():
        if numbers["share"] is None:
            continue
        lines.append(
            f"| {name} | {numbers['share']:.3f} | {numbers['low']:.3f} to {numbers['high']:.3f} "
            f"| {numbers['n']} | {measures.get(name, '')} |"
        )
        for group, part in numbers["groups"].items():
            lines.append(
                f"| · {group} | {part['share']:.3f} | {part['low']:.3f} to {part['high']:.3f} "
                f"| {part['n']} | |"
            )
    return lines


def _training(path: Path) -> dict[str, Any]:
    """The last line of each model's learning curve."""
    if not path.is_file():
        return {}
    last: dict[str, Any] = {}
    lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines()
    for line in lines:
        entry = json.loads(line)
        last[entry["model"]] = {
            "steps": entry["step"],
            "minutes": round(entry["elapsed_s"] / 60, 1),
            "loss": entry["loss"],
        }
    return last
