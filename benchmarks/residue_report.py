"""The residue matrix as Markdown."""

from __future__ import annotations

from typing import Any


def markdown(page: dict[str, Any]) -> str:
    """One table a store, and what the columns mean."""
    lines = [
        "# Residue: what deletion leaves in a store's files",
        "",
        "Bytes of deleted texts / of deleted vectors found in all files of the store, decoded",
        "where a format hides them. Before the deletion every deleted text and vector was",
        "visible, unless the row says otherwise. *Delete*: through the store's own interface.",
        "*Vacuum*: what the vendor offers, on a copy of the store after the deletion (for",
        "PostgreSQL on itself). *ragshield*: the recipe's purge after the deletion. *Live rows*:",
        "ids, texts, metadata and vectors bit for bit as before the purge; *orders*: of",
        f"{_questions(page)} questions, those with the same 10 hits in the same order.",
        "",
        f"Vectors of {page['dim']} float32 numbers, texts of about 300 characters. "
        f"{page['machine']}.",
        "Times are of the purge alone, on a machine that other work kept busy: they show what is",
        "possible, not what is typical.",
        "",
    ]
    if page["left_out"]:
        lines += [f"**Not in the matrix: {', '.join(page['left_out'])}.**", ""]
    if page["not_run"]:
        missing = ", ".join(f"{name}: {n}" for name, n in page["not_run"].items())
        lines += [
            f"Cells not measured ({missing}); `residue.py --join benchmarks/results/residue.json` "
            "goes on with them.",
            "",
        ]
    n_clean = sum(_clean(c) for c in page["cells"])
    lines += [
        f"**{n_clean} of {len(page['cells'])} cells: nothing found after ragshield, and every live "
        "row as it was.**",
        "",
    ]
    for store in dict.fromkeys(c["store"] for c in page["cells"]):
        vendor = page["vendors"].get(store) or "the vendor offers none"
        lines += [f"## {store}", "", f"Vacuum: {vendor}.", ""]
        lines += [
            "| rows | deleted | delete | vacuum | ragshield | live rows | orders | purge |",
            "|---:|---:|---:|---:|---:|---|---:|---:|",
        ]
        mine = [c for c in page["cells"] if c["store"] == store]
        lines += [_row(c) for c in mine]
        notes = dict.fromkeys(
            note for c in mine for note in (*c.get("notes", ()), *_untested(c), *_not_seen(c))
        )
        lines += ["", *(f"- {note}" for note in notes), ""] if notes else [""]
    return "\n".join(lines)


def _row(c: dict[str, Any]) -> str:
    if "failed" in c:
        share = "1" if not c["share"] else f"{c['share']:.0%}"
        return f"| {c['rows']:,} | {share} | **failed:** {c['failed']} | | | | | |"
    seen = [_bytes(c.get(step)) for step in ("delete", "vacuum")]
    mine = _bytes(c["ragshield"])
    live = f"{c['n_live']:,} identical" if c["live_identical"] else "**changed**"
    orders = f"{c['orders_identical']}/{c['n_questions']}"
    purge = f"{c['purge_s']:.2f} s, {c['how']}"
    cells = [f"{c['rows']:,}", f"{c['n_deleted']:,}", *seen, mine, live, orders, purge]
    return f"| {' | '.join(cells)} |"


def _bytes(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    cell = f"{found['text_bytes']:,} / {found['vector_bytes']:,}"
    return f"{cell} **unread: {len(found['unread'])}**" if found["unread"] else cell


def _clean(c: dict[str, Any]) -> bool:
    after = c.get("ragshield")
    return bool(
        after
        and c["live_identical"]
        and not (after["text_bytes"] or after["vector_bytes"] or after["unread"])
    )


def _untested(c: dict[str, Any]) -> list[str]:
    return [f"not searched: {place}" for place in c.get("ragshield", {}).get("untested", ())]


def _not_seen(c: dict[str, Any]) -> list[str]:
    before = c.get("before")
    if not before:
        return []
    missing = [
        f"{c['n_deleted'] - before[what]:,} {what}"
        for what in ("texts", "vectors")
        if before[what] < c["n_deleted"]
    ]
    where = f"{c['rows']:,} rows, {c['n_deleted']:,} deleted"
    return [f"{where}: not visible before: {', '.join(missing)}"] if missing else []


def _questions(page: dict[str, Any]) -> str:
    return str(max((c.get("n_questions", 0) for c in page["cells"]), default=0))
