"""The calibration benchmark's results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def markdown(result: dict[str, Any]) -> str:
    """All tables with what their columns mean."""
    shield = result["shield"]
    n_worlds, repeats = result["transfers"][0]["n_worlds"], result["repeats"]
    parts = [
        "# Calibrated thresholds, measured",
        f"Made by `{result['command']}`: {result['encoder']}, k = 10, default threshold "
        f"{result['default_threshold']:.3f}, SHA-256 of the weights "
        f"{result['weights_sha256'][:12]}. Drawn: generated questions; own: the corpus's.",
        "## Stated interval against observed rate",
        "Each row: random splits of one pool of questions into n to calibrate on and the rest to "
        "judge. Expected and interval are means over the splits. Observed is the mean over "
        "splits, in brackets the 5th and 95th percentile. Within: splits whose observed rate, "
        "which has a sampling error of its own, lay in the interval stated. The splits share "
        "their questions, so no interval for that count is given.",
        splits(result["splits"]),
        "## Another store, unseen questions",
        f"Calibrated on one of {n_worlds} generated worlds, judged on each other one, {repeats} "
        "calibration(s) each. Another store is outside the guarantee. Pairs share worlds, so "
        "the counts are no independent trials.",
        transfers(result["transfers"]),
        "## Drawn against real questions",
        "Share of the honest hits dropped; 95 % interval clustered by question, n hits. "
        "Calibrated on 300 drawn questions at budget 0.01; the drawn ones judged are the "
        "others. Real are the questions that come with the corpus.",
        costs(result["drawn_and_real"]),
        "## Detection",
        "World, seed 0: `ragshield.calibration.calibrate` with 300 drawn questions, budget 0.01, "
        f"100 of them attacked; threshold {shield['threshold']:.3f}, clean loss without attack "
        f"{measured(shield['clean_loss'], 4)}. Recall counts poisoned passages that were "
        "retrieved. 95 % intervals clustered by question, n passages.",
        detection(result["detection"]),
    ]
    return "\n\n".join(parts) + "\n"


def splits(rows: Iterable[dict[str, Any]]) -> str:
    head = "store,passages,questions,budget,n,judged,expected,interval,observed,within"
    lines = [
        [
            r["store"],
            f"{r['passages']:,}",
            r["questions"],
            f"{r['budget']:g}",
            str(r["n"]),
            str(r["n_judged"]),
            f"{r['expected']:.4f}",
            f"{r['low']:.4f} to {r['high']:.4f}",
            f"{r['observed']:.4f} ({r['observed_p5']:.4f}, {r['observed_p95']:.4f})",
            f"{r['within']}/{r['n_splits']}",
        ]
        for r in rows
    ]
    return table(head, lines)


def transfers(rows: Iterable[dict[str, Any]]) -> str:
    head = "questions,budget,n,mean observed,largest observed,within the interval"
    lines = [
        [
            r["questions"],
            f"{r['budget']:g}",
            str(r["n"]),
            f"{r['mean']:.4f}",
            f"{r['largest']:.4f}",
            f"{r['within']}/{r['n_pairs']}",
        ]
        for r in rows
    ]
    return table(head, lines)


def costs(rows: Iterable[dict[str, Any]]) -> str:
    lines = [
        [
            r["store"],
            f"{r['threshold']} ({r['value']:.3f})",
            f"{r['n_questions']} {r['questions']}",
            measured(r["clean_loss"], 4),
        ]
        for r in rows
    ]
    return table("store,threshold,questions,clean loss", lines)


def detection(rows: Iterable[dict[str, Any]]) -> str:
    lines = [
        [
            r["attack"],
            str(r["n_planted"]),
            measured(r["retrieved"], 2),
            measured(r["recall"], 2),
            measured(r["clean_loss"], 3),
        ]
        for r in rows
    ]
    return table("attack,planted,retrieved,recall,clean loss beside it", lines)


def measured(rate: dict[str, Any], digits: int) -> str:
    """A rate with its interval and n; `-` where nothing was counted."""
    if rate["value"] is None:
        return "-"
    value, low, high = (f"{rate[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}] n={rate['n']}"


def table(head: str, lines: Iterable[list[str]]) -> str:
    names = head.split(",")
    rows = [names, ["---"] * len(names), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
