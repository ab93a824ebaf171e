"""The page of the scale benchmark: seconds and processor time of every part of a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]
STEPS = ("read", "neighbours", "screens", "judge")
REMARKS = (
    "- Planted passages count where the ranked list names near-duplicates first, not another "
    "screen; what is found of poison is measured by `scan_detection.py`.",
    "- Comparing 100,000 is 550 million products of 384 numbers, 4.5 s of one core at its best "
    "(94 GFLOP/s); choosing where to look and keeping the best take as long again.",
    "- Four workers start in 0.7 s on a loaded machine, for 0.2 s of processor time each. At a "
    "million (made-up words, earlier) four used 593 s of processor time and one 534: that they "
    "took longer was the load, not the start.",
)


def page(rows: Sequence[Row], n_cores: int) -> str:
    """The results as Markdown; real text first, what was measured last before what was earlier."""
    lines = [
        "# How a scan grows",
        "",
        f"`python benchmarks/scan_scale.py` on {n_cores} cores; vectors of 384 numbers, all "
        "screens. Seconds, and in brackets the processor time of all processes, which says more "
        "where the machine is shared. Planted: passages of 20 groups of five, found by "
        "near-duplicates; others: what it takes for groups besides.",
        "",
    ]
    lines += [*REMARKS, ""]
    measured = [row for row in rows if "cpu_by_step" in row]
    for texts, title in (
        ("real", "Real text (dictionaries, manuals, documentation; MiniLM vectors)"),
        ("made up", "Made-up words and vectors"),
    ):
        own = [row for row in measured if row["texts"] == texts]
        if not own:
            continue
        lines += [f"## {title}", ""]
        for state in dict.fromkeys(row["state"] for row in own):
            chosen = sorted(
                (row for row in own if row["state"] == state),
                key=lambda r: (r["store"] != "files", r["workers"], r["n"]),
            )
            lines += [f"### {state.capitalize()}", "", *table(chosen), "", *_shares(chosen)]
            lines += [*_growth(chosen, n_cores), ""]
    earlier = [row for row in rows if "cpu_by_step" not in row]
    if earlier:
        lines += ["## Made-up words, earlier", ""]
        lines += ["Before screens, reading and comparing were made quicker:", "", *old(earlier), ""]
    return "\n".join(lines)


def table(rows: Sequence[Row]) -> list[str]:
    """One line a scan."""
    lines = [
        "| store | passages | workers | bare read | read and keep | neighbours | screens | judge "
        "| all | all / bare read | peak GB (a worker) | recall | planted found | others | load |",
        "| --- |" + " ---: |" * 14,
    ]
    for r in rows:
        steps = [f"{r['steps'][s]:.1f} ({r['cpu_by_step'].get(s, 0):.1f})" for s in STEPS]
        ratio = r["seconds"] / r["bare_read_s"]
        of_cpu = r["cpu_s"] / max(r["bare_read_cpu_s"], 0.01)
        cells = [
            r["store"], f"{r['n']:,}", str(r["workers"]),
            f"{r['bare_read_s']:.1f} ({r['bare_read_cpu_s']:.1f})", *steps,
            f"{r['seconds']:.1f} ({r['cpu_s']:.1f})", f"{ratio:.1f} ({of_cpu:.1f})",
            f"{r['peak_gb']:.2f} ({r['peak_of_a_worker_gb']:.2f})", f"{r['recall']:.3f}",
            f"{r['planted_found']}/{r['planted']}", str(r["others_found"]), f"{r['load']:.1f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def old(rows: Sequence[Row]) -> list[str]:
    """What was measured before processor time was noted by part."""
    lines = [
        "| store | passages | workers | bare read | read and keep | neighbours | screens | judge "
        "| all | all / bare read | processor | load |",
        "| --- |" + " ---: |" * 11,
    ]
    for r in rows:
        cells = [
            r["store"], f"{r['n']:,}", str(r["workers"]), f"{r['bare_read_s']:.1f}",
            *(f"{r['steps'][step]:.1f}" for step in STEPS),
            f"{r['seconds']:.1f}", f"{r['seconds'] / r['bare_read_s']:.1f}", f"{r['cpu_s']:.0f}",
            f"{r['load']:.1f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def exponent(rows: Sequence[Row], key: str) -> float:
    """Slope of log time over log size."""
    sizes = np.log([float(row["n"]) for row in rows])
    return float(np.polyfit(sizes, np.log([float(row[key]) for row in rows]), 1)[0])


def _shares(rows: Sequence[Row]) -> list[str]:
    """What share of the screens' work each takes, in the largest scan by one process."""
    alone = [r for r in rows if r["workers"] == 1 and r["store"] == "files"]
    if not alone:
        return []
    row = max(alone, key=lambda r: r["n"])
    total = sum(row["screens"].values())
    shares = sorted(row["screens"].items(), key=lambda x: -x[1])
    said = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in shares[:9])
    return [f"- Of the work of all {len(shares)} screens on {row['n']:,}: {said}."]


def _growth(rows: Sequence[Row], n_cores: int) -> list[str]:
    """How time grows with the size, and shrinks with processes."""
    lines = []
    files = [r for r in rows if r["store"] == "files"]
    for workers in sorted({r["workers"] for r in files}):
        own = [r for r in files if r["workers"] == workers]
        if len(own) > 1:
            lines.append(
                f"- {workers} worker(s), {own[0]['n']:,} to {own[-1]['n']:,}: time grows with "
                f"exponent {exponent(own, 'seconds'):.2f}, processor time with "
                f"{exponent(own, 'cpu_s'):.2f} (least squares on logarithms)."
            )
    alone = {(r["store"], r["n"]): r for r in rows if r["workers"] == 1}
    for r in rows:
        one = alone.get((r["store"], r["n"]))
        if r["workers"] > 1 and one is not None:
            before, after = (
                sum(x["steps"][step] for step in ("neighbours", "screens", "judge"))
                for x in (one, r)
            )
            lines.append(
                f"- {r['store']}, {r['n']:,}: what follows the reading {before / after:.1f} times "
                f"faster with {r['workers']} processes, the whole scan "
                f"{one['seconds'] / r['seconds']:.1f} times, for "
                f"{r['cpu_s'] / one['cpu_s']:.1f} times the processor time."
            )
    loads = [r["load"] for r in rows]
    lines.append(
        f"- Load of the machine at the end of a run: {min(loads):.1f} to {max(loads):.1f}; it has "
        f"{n_cores} cores, and above that it was shared with other work."
    )
    return lines
