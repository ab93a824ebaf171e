"""The tables of what forgetting costs."""

from __future__ import annotations

from typing import Any


def markdown(found: dict[str, Any]) -> str:
    """What `forget_cost.json` says, for people."""
    order = {name: i for i, name in enumerate(dict.fromkeys(r["store"] for r in found["subject"]))}
    subject = sorted(found["subject"], key=lambda r: (order[r["store"]], r["rows"]))
    lines = [
        "# What forgetting costs",
        "",
        f"`python benchmarks/forget_cost.py` on {found['cores']} cores. One subject of ten rows is",
        "erased from a store: blocked, snapshotted, looked for in all files, deleted, purged,",
        "looked for again, and the store asked again (*apply*). Beside it the two other ways:",
        "*copy*, all live rows with their vectors into a fresh store; *rebuild*, every text",
        f"embedded again (at {found['rate']:.0f} texts a second on one core, extrapolated) and",
        "added. Neither of them looks whether anything is left. All times are processor time: what",
        "else ran on the machine does not count.",
        "",
        "| store | rows | plan | apply | copy | rebuild | apply / rebuild | apply / copy | "
        "certificate, final | verdict |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in subject:
        if "failed" in row:
            lines.append(f"| {row['store']} | {row['rows']:,} | failed | | | | | | | |")
            continue
        lines.append(
            f"| {row['store']} | {row['rows']:,} | {row['plan_s']:.1f} s | "
            f"{row['apply_s']:.1f} s | {row['copy_s']:.1f} s | "
            f"{row['rebuild_s']:.0f} s | {row['share_of_rebuild']:.1%} | "
            f"{row['share_of_copy']:.0%} | {row['certify_s']:.1f} s | {row['verdict']} |"
        )
    done = [row for row in subject if "failed" not in row]
    names = list(dict.fromkeys(step for row in done for step in row["steps"]))
    steps = [s for s in names if any(r["steps"].get(s, 0) >= 0.05 for r in done)]
    lines += [
        "",
        "Where the time of apply goes, in seconds:",
        "",
        f"| store | rows | {' | '.join(steps)} |",
        f"|---|--:|{'--:|' * len(steps)}",
    ]
    for row in done:
        times = " | ".join(f"{row['steps'].get(step, 0):.2f}" for step in steps)
        lines.append(f"| {row['store']} | {row['rows']:,} | {times} |")
    lines += [
        "",
        "Disk: what the store takes, and how much more there was at most while it was purged (the",
        "snapshot and journals with it); a copy or a rebuild needs a second store.",
        "",
        "| store | rows | store | apply, at most more | copy |",
        "|---|--:|--:|--:|--:|",
    ]
    for row in done:
        lines.append(
            f"| {row['store']} | {row['rows']:,} | {_mb(row['store_bytes'])} | "
            f"{_mb(max(0, row['extra_bytes']))} | {_mb(row['copy_bytes'])} |"
        )
    lines += _requests(found["requests"])
    return "\n".join(lines) + "\n"


def _requests(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    lines = [
        "",
        "## Many requests",
        "",
        "MUSE's sustainability: requests of two rows each, one after the other, each ending ERASED",
        "and made final; then a batch in one purge. *First* and *last* are medians of ten.",
        "RBO compares what the store retrieves in the end with an exact index that never held any",
        "of it; beside it the same for a store filled anew, which is as near as its index comes.",
        "",
        "*Plan one*: the median of planning a request by itself; *plan all*: the batch planned in",
        "the same readings.",
        "",
        "| store | rows | one by one | first | last | plan one | batch | plan all | purge all | "
        "a request | rows left | search before, after | RBO | RBO anew | KS p |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|---|--:|--:|--:|",
    ]
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['store']} | failed | | | | | | | | | | | | | |")
            continue
        left = (
            "all"
            if row["n_left"] == row["n_expected"]
            else f"{row['n_left']} of {row['n_expected']}"
        )
        lines.append(
            f"| {row['store']} | {row['rows']:,} | {row['requests']} | {row['first_s']:.2f} s | "
            f"{row['last_s']:.2f} s | {row['plan_s']:.2f} s | {row['batch']} | "
            f"{row['batch_plan_s']:.1f} s | {row['batch_s']:.1f} s | "
            f"{(row['batch_plan_s'] + row['batch_s']) / max(1, row['batch']):.3f} s | {left} | "
            f"{row['search_ms'][0]:.1f}, {row['search_ms'][-1]:.1f} ms | {row['rbo_exact']:.4f} | "
            f"{row['rbo_rebuilt_exact']:.4f} | {row['ks_p']:.3f} |"
        )
    return lines


def _mb(n: int) -> str:
    return f"{n / 1e6:.1f} MB"
