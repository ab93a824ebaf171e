"""The table of kills."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """What `forget_kills.json` says, for people."""
    lines = [
        "# Killed while it forgets",
        "",
        "`python benchmarks/forget_kills.py`: apply, certificate and every third time `--final`,",
        "in a process that is killed (SIGKILL) after a random time between its start and its end.",
        "Then, in a fresh process: no live row is lost or changed, bit for bit. A third of the",
        "runs is finished by the same command (verdict ERASED, certificate valid, no byte of the",
        "target in any file by a plain search), a third with `--final` (snapshot, key and quotes",
        "gone as well), a third taken back by `undo` (every row as before). For FAISS what other",
        "programs hold in memory is declared out of scope, or no run could end ERASED.",
        "",
        "| store | rows | killed | no live row lost, ended ERASED | rolled back whole | all good |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['store']} | | failed | | | |")
            continue
        lines.append(
            f"| {row['store']} | {row['rows']} | {row['killed']} of {row['points']} | "
            f"{row['finished']} | {row['undone']} | {row['good']} of {row['points']} |"
        )
    done = [row for row in rows if "failed" not in row]
    steps = sorted({step for row in done for step in row["steps"]})
    lines += [
        "",
        "A process that was not killed had finished before its time was up. Last step in the",
        "journal when it was killed:",
        "",
        f"| store | {' | '.join('none yet' if s == 'None' else s for s in steps)} |",
        f"|---|{'--:|' * len(steps)}",
    ]
    for row in done:
        counts = " | ".join(str(row["steps"].get(step, 0)) for step in steps)
        lines.append(f"| {row['store']} | {counts} |")
    lines += [
        "",
        "## A full disk",
        "",
        "No file may grow beyond a limit (0 bytes to 1 MB): the operation ends with one line that",
        "says what is the matter, or gets through. No live row is lost; once there is room, the",
        "same command ends ERASED.",
        "",
        "| store | limits tried | refused | got through | all good |",
        "|---|--:|--:|--:|--:|",
    ]
    for row in done:
        full = row["disk_full"]
        n = {how: sum(r["how"] == how for r in full["rows"]) for how in ("refused", "done")}
        lines.append(
            f"| {row['store']} | {full['limits']} | {n['refused']} | {n['done']} | "
            f"{full['good']} of {full['limits']} |"
        )
    lines += [
        "",
        "## A reader and a writer beside it",
        "",
        "A reader in a process of its own opens the store and reads all rows as fast as it can:",
        "every live row must be there each time it gets an answer. A writer adds rows: each that",
        "was acknowledged must be there in the end. Where a store allows one process at a time,",
        "either side is told so and asks again.",
        "",
        "| store | reads | refused | rows wrong | writes | refused | apply refused | good |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in done:
        reader, writer = row["others"]["reader"], row["others"]["writer"]
        refused = reader.get("refused", 0) + writer.get("refused", 0)
        lines.append(
            f"| {row['store']} | {reader.get('looks', 0)} | {reader.get('reads_refused', 0)} | "
            f"{reader.get('wrong', 0)} | {writer.get('writes', 0)} | "
            f"{writer.get('writes_refused', 0)} | {refused} | "
            f"{reader['good'] + writer['good']} of {reader['rounds'] + writer['rounds']} |"
        )
    return "\n".join(lines) + "\n"
