"""The report's sections on stated rates, time, threads and memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from guard_tables import full, table


def fresh_stores(result: dict[str, Any]) -> Iterator[str]:
    """Whether the stated rate held on stores of their own."""
    found = result.get("fresh")
    if not found:
        return
    yield "## Does the stated rate hold on fresh stores?"
    yield (
        "Disjoint honest stores: dictionary entries that the large store does not hold, Debian's "
        "documents in halves, invented authors, documents in five styles, labelled evidence. "
        "Each is calibrated on questions drawn from it (budget 0.01 where they are enough) and "
        "tested with other drawn questions, with headword questions (`What is X?`) or with the "
        "real ones that the data has. The calibration promises for questions like those it was "
        "given: the drawn ones. The interval is for the store's actual rate; the observed one "
        "has a sampling error of its own, so `compatible` says whether the two intervals meet."
    )

    def stated(row: dict[str, Any]) -> str:
        said = row["stated"]
        return f"{said['value']:.4f} [{said['low']:.4f}, {said['high']:.4f}]"

    lines = [
        [
            row["store"],
            f"{row['passages']:,}",
            f"{row['n_questions']} {row['questions']}",
            f"{row['stated']['n']} ({row['stated']['budget']:.3f})",
            stated(row),
            full(row["observed"], 4),
            "within" if row["within"] else "below" if row["below"] else "above",
            "yes" if row["compatible"] else "no",
        ]
        for row in found["rows"]
    ]
    head = "store,passages,tested with,calibrated on (budget),stated,observed,place,compatible"
    yield table(head.split(","), lines)
    counted = [
        f"{kind}: {c['within']} of {c['n']} within, {c['below']} below, "
        f"{c['n'] - c['within'] - c['below']} above; {c['compatible']} compatible"
        for kind, c in found["held"].items()
        if c["n"]
    ]
    yield "Stores by kind of question tested with: " + ". ".join(counted) + "."


def running(result: dict[str, Any]) -> Iterator[str]:
    """Time by k, threads, asyncio and memory."""
    if "speed" not in result:
        return
    rows = result["speed"]
    sizes = sorted({row["k"] for row in rows})
    names = list(dict.fromkeys(row["defender"] for row in rows))
    at = {(row["defender"], row["k"]): row for row in rows}
    yield "## Time for one judgement, beside `ragdefender` 0.2.0, in milliseconds"
    yield (
        "One run, one thread, the same passages: random ones of the really retrieved contexts of "
        "(a), some eighty words each. The guard and "
        "our RAGDefender read the stored vectors; the package's `defend()` embeds the passages at "
        "each call, and fails on a single one. Median (95th percentile) n. Cold: no text was seen "
        "before; seen: all were."
    )
    lines = []
    for name in names:
        line = [name]
        for k in sizes:
            row = at.get((name, k))
            line.append(
                f"{row['median_ms']:.2f} ({row['p95_ms']:.2f}) n={row['n']}" if row else "-"
            )
        lines.append(line)
    ratios = {int(k): v for k, v in result["ratios"].items()}
    for state in ("cold", "seen"):
        shown = [f"{ratios[k][state]:,.0f}" if k in ratios else "-" for k in sizes]
        lines.append([f"`defend()` single_hop / guard, {state}", *shown])
    yield table(["defender", *(f"k = {k}" for k in sizes)], lines)
    load = result["load"]
    loop = load["asyncio"]
    yield (
        f"**Threads.** {load['n_threads']} threads judged {load['n_judged']:,} retrievals of ten "
        f"with one guard: {load['n_differing']} verdicts differed from a single thread's; "
        f"{load['per_second_threads']:,.0f} judgements a second, "
        f"{load['per_second_one_thread']:,.0f} with one thread (Python's lock is shared). "
        f"**asyncio.** {loop['n_judged']} questions at once: {loop['n_differing']} verdicts "
        f"differed, {loop['per_second']:,.0f} a second, and a clock beside them was held up by "
        f"{loop['longest_block_ms']:.0f} ms at most."
    )
    yield "**Memory.** Largest Python allocation of one judgement (tracemalloc), KiB:"
    yield table(
        ["k", "texts", "median", "largest", "n"],
        [
            [str(m["k"]), m["texts"], f"{m['median_kib']:.0f}", f"{m['max_kib']:.0f}", str(m["n"])]
            for m in result["memory"]
        ],
    )


def overhead(result: dict[str, Any]) -> Iterator[str]:
    """What the guard adds to LangChain over Chroma."""
    found = result.get("langchain")
    if not found:
        return
    yield "## Inside a LangChain retriever over Chroma"
    yield (
        f"A Chroma collection of {found['n_passages']:,} passages on disk, k = {found['k']}; each "
        "question asked of the retriever alone and of the guarded one, in turns, in one run. The "
        "default guard searches deeper than k (20) and reads the stored vectors. `added` is the "
        "median of the paired differences with its 95 % interval; share: added / alone. Reading 20 "
        f"stored vectors by id takes {found['reading_ms']:.2f} ms of it."
    )
    yield table(
        ["setting", "alone, ms", "guarded, ms", "added, ms", "share", "n"],
        [
            [
                row["setting"],
                f"{row['alone_ms']:.2f}",
                f"{row['guarded_ms']:.2f}",
                f"{row['added_ms']:.2f} [{row['added_low_ms']:.2f}, {row['added_high_ms']:.2f}]",
                f"{row['share']:.0%}",
                str(row["n"]),
            ]
            for row in found["rows"]
        ],
    )
