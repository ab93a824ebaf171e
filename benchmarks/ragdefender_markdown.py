"""The results of reproduce_ragdefender.py as Markdown tables."""

from __future__ import annotations

from typing import Any

METRICS = ("recall", "loss", "precision", "exact")


def markdown(result: dict[str, Any]) -> str:
    """The whole report."""
    parts = [
        "# RAGDefender, reproduced",
        "Made by `python benchmarks/reproduce_ragdefender.py`; what the columns mean and why "
        "some rows are marked is in `benchmarks/README.md`.",
        _versions(result),
        "## Against the reference",
        _comparison(result["rows"]),
        _summary(result),
        "## With 95 % intervals, and the paper's own equations",
        _intervals(result["rows"]),
        "## PoisonedRAG's success, extractive reader",
        _attack(result["attack"]),
    ]
    if result["timing"]:
        parts += ["## Time for one judgement of ten passages", _timing(result["timing"])]
    return "\n\n".join(parts) + "\n"


def _versions(result: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    versions = f"{versions}, Python {result['python']}"
    return f"{versions}; vectors of {result['encoder']}; {result['machine']}."


def _comparison(rows: list[dict[str, Any]]) -> str:
    marks = {"reference": " †", "differs": " **!**"}
    lines = []
    for row in rows:
        cells = []
        for metric in METRICS:
            entry = row[metric]
            if entry["reference"] is None:
                cells.append("-")
                continue
            cells.append(
                f"{entry['released']['value']:.3f} / {entry['reference']:.3f} / "
                f"{entry['difference']:.3f}{marks.get(entry['verdict'], '')}"
            )
        package = [row[m]["package"] for m in ("recall", "loss")]
        cells.append(" / ".join("-" if v is None else f"{v:.3f}" for v in package))
        lines.append([row["label"], *cells])
    head = ["set", *(f"{name}: ours / reference / difference" for name in METRICS)]
    return _table([*head, "package: recall / loss"], lines)


def _summary(result: dict[str, Any]) -> str:
    s = result["summary"]
    return (
        f"{s['compared']} numbers compared: {s['within']} within {result['tolerance']}; "
        f"{s['reference']} (†) where the package `ragdefender` itself gives our number on the same "
        f'vectors and not the reference\'s; {s["unexplained"]} unexplained. With `ties="released"` '
        f"ours removes the same passages as the package in {s['same_as_package']} of "
        f"{s['retrievals']} retrievals."
    )


def _intervals(rows: list[dict[str, Any]]) -> str:
    lines = [
        [row["label"], mode, *(_rate(row[metric][mode]) for metric in METRICS)]
        for row in rows
        for mode in ("released", "paper")
    ]
    return _table(["set", "mode", "recall", "clean loss", "precision", "exact"], lines)


def _attack(rows: list[dict[str, Any]]) -> str:
    lines = [
        [
            row["setting"],
            row["defender"],
            *(_rate(row[key]) for key in ("attack_success", "accuracy", "recall", "loss")),
        ]
        for row in rows
    ]
    head = ["set", "RAGDefender", "attack success", "accuracy", "poison recall", "clean loss"]
    return _table(head, lines)


def _timing(timing: dict[str, Any]) -> str:
    lines = [
        [
            hop,
            f"{timing[hop]['package_ms']:.0f} ms",
            f"{timing[hop]['package_without_embedding_ms']:.2f} ms",
            f"{timing[hop]['released_ms']:.2f} ms",
            f"{timing[hop]['paper_ms']:.2f} ms",
            f"{timing[hop]['package_over_released']:.0f}",
            f"{timing[hop]['package_without_embedding_over_released']:.1f}",
        ]
        for hop in ("single", "multi")
    ]
    head = [
        "hop",
        "package `defend()`",
        "package, vectors served",
        "ours, released",
        "ours, paper",
        "ratio",
        "ratio, vectors served",
    ]
    note = f"Medians over {timing['n_questions']} questions, one thread, the same run."
    return f"{_table(head, lines)}\n\n{note}"


def _rate(entry: dict[str, Any]) -> str:
    if entry["value"] is None:
        return "-"
    limits = f"[{entry['low']:.3f}, {entry['high']:.3f}]"
    return f"{entry['value']:.3f} {limits} n={entry['n']}"


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
