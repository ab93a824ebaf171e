"""The constants of the ranking, chosen again for each family without it and its kin."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ragshield import ranking
from ragshield.records import Action, Finding

BUDGETS = (0.001, 0.002, 0.01)
_KIN = {
    "attack poisonedrag": "poisonedrag",
    "attack synonyms": "poisonedrag",
    "attack garag": "garag",
    "attack edited-fact": "edited",
    "BIPIA payloads": "injection",
    "attack injection": "injection",
    "attack hijackrag": "injection",
}


@dataclass(frozen=True)
class Constants:
    """A setting of the ranking's constants."""

    usual: float
    rare: float
    habit: float
    damping: float


CHOSEN = Constants(ranking._USUAL, ranking._RARE, ranking._HABIT, ranking._DAMPING)


def candidates(*, quick: bool) -> list[Constants]:
    """The settings that are tried."""
    if quick:
        return [CHOSEN, Constants(0.05, 0.002, 0.0, 0.5)]
    grid = itertools.product((0.02, 0.05), (0.0002, 0.001), (0.35, 0.65, 0.9), (0.5,))
    return [Constants(*values) for values in grid]


def kin(family: str) -> str:
    """Families that stand or fall together: with and without the question, and so on."""
    if family in _KIN:
        return _KIN[family]
    if family.startswith("edited "):
        return "edited"
    name = family.removesuffix(" + question").removeprefix("attack ")
    return name.split(",")[0].split(":")[0]


def held_out(rows: Sequence[dict[str, Any]], tried: Sequence[Constants]) -> dict[str, Any]:
    """By family and kind, recall with the constants that suit all other families best.

    The draws that peers saw, too; the best have the highest mean recall at 0.2 %.
    """
    used = [row for row in rows if "HubScan's hubness" in row["methods"]]
    found = {c: [_recalls(row, c) for row in used] for c in tried}
    out: dict[str, Any] = {}
    for i, row in enumerate(used):
        others = [j for j, other in enumerate(used) if kin(other["family"]) != kin(row["family"])]
        by_mean = {c: float(np.mean([found[c][j][1] for j in others or [i]])) for c in tried}
        best = max(tried, key=lambda c: by_mean[c])
        out[f"{row['family']} / {row['kind']}"] = {
            "recall": found[best][i],
            "constants": [best.usual, best.rare, best.habit, best.damping],
        }
    means = {
        str([c.usual, c.rare, c.habit, c.damping]): [
            float(np.mean([r[b] for r in found[c]])) for b in range(len(BUDGETS))
        ]
        for c in tried
    }
    return {"families": out, "means": means}


def _recalls(row: dict[str, Any], constants: Constants) -> list[float]:
    planted, n = row["findings"]["planted"], row["n_store"]
    findings = [
        Finding(name, suspicion, detector, Action.KEEP, "", group)
        for name, suspicion, detector, group in row["findings"]["found"]
    ]
    with _set(constants):
        # Of equals the honest come first, as they do in the store.
        ranked = ranking.fused(findings, n, lambda name: int(name in planted))
    at = [i for i, finding in enumerate(ranked) if finding.passage_id in planted]
    return [sum(i < int(b * n + 1e-9) for i in at) / len(planted) for b in BUDGETS]


@contextmanager
def _set(constants: Constants) -> Iterator[None]:
    names = ("_USUAL", "_RARE", "_HABIT", "_DAMPING")
    before = [getattr(ranking, name) for name in names]
    values = (constants.usual, constants.rare, constants.habit, constants.damping)
    try:
        for name, value in zip(names, values, strict=True):
            setattr(ranking, name, value)
        yield
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(ranking, name, value)
