"""A full disk, and a reader and a writer beside the operation."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from forget_kills_stores import DIM, rows_of

from ragshield.errors import RagshieldError
from ragshield.records import Batch, Passage
from ragshield.stores.url import open_store

LIMITS = (0, 2_000, 20_000, 60_000, 120_000, 250_000, 500_000, 1_000_000)
ROUNDS = 5

InChild = Callable[..., dict[str, Any]]


def disk_full(
    fresh: Callable[[], None],
    work: Path,
    url: str,
    batch: Batch,
    targets: set[str],
    in_child: InChild,
    finished: Callable[..., dict[str, Any]],
    looked: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """No file may grow beyond a limit; afterwards there is room again."""
    from forget_kills import operation

    rows = []
    for limit in LIMITS:
        fresh()

        def limited(limit: int = limit) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            operation(work, final=False)

        first = in_child(limited)
        after = in_child(lambda: looked(work, url, batch, targets)).get("value")
        end = in_child(lambda: finished(work, url, batch, targets, False)).get("value")
        good = (
            after is not None
            and end is not None
            and not (after["lost"] or after["changed"] or end["lost"] or end["changed"])
            and end["verdict"] == "ERASED"
            and end["bytes"] == 0
        )
        how = "refused" if "refused" in first else "done" if "value" in first else "failed"
        said = str(first.get("refused") or first.get("failed") or "")
        said = said.replace(str(work), "FOLDER")[-300:]
        if not good or how == "failed":
            print("disk full", limit, how, said, after, end, flush=True)
        rows.append({"limit": limit, "how": how, "said": said, "good": good})
    return {"limits": len(rows), "good": sum(r["good"] for r in rows), "rows": rows}


def beside_others(
    fresh: Callable[[], None],
    work: Path,
    url: str,
    batch: Batch,
    targets: set[str],
    in_child: InChild,
    operation: Callable[..., None],
) -> dict[str, Any]:
    """A reader and a writer in processes of their own, while a plan is applied."""
    found: dict[str, Any] = {}
    for name, beside in (("reader", _read), ("writer", _write)):
        totals: Counter[str] = Counter()
        good = 0
        for _ in range(ROUNDS):
            fresh()
            stop = work.parent / "stop"
            log = work.parent / "log"
            for path in (stop, log):
                path.unlink(missing_ok=True)
            other = os.fork()
            if not other:
                try:
                    log.write_text(repr(beside(url, batch, targets, stop)))
                finally:
                    os._exit(0)
            answer: dict[str, Any] = {}
            for _ in range(40):  # a store that somebody has open says so, and is asked again
                answer = in_child(lambda: operation(work, final=False))
                totals["applied" if "value" in answer else "refused"] += 1
                if "value" in answer:
                    break
                if "failed" in answer:
                    print(name, answer["failed"], flush=True)
                time.sleep(0.1)
            stop.write_text("")
            os.waitpid(other, 0)
            seen: dict[str, Any] = eval(log.read_text()) if log.exists() else {"died": 1}
            totals.update({k: v for k, v in seen.items() if isinstance(v, int)})
            there = rows_of_in_child(in_child, url)
            expected = {p.id for p in batch.passages} - targets | set(seen.get("added", ()))
            whole = "value" in answer and not seen.get("wrong") and not seen.get("died")
            # An addition that was refused may still have come through: nothing is lost by it.
            if whole and expected <= there and there - expected <= set(seen.get("maybe", ())):
                good += 1
            else:
                print(name, url, answer, {**seen, "added": len(seen.get("added", ()))}, flush=True)
                print(
                    "missing", sorted(expected - there)[:5], "extra", sorted(there - expected)[:5]
                )
        found[name] = {"rounds": ROUNDS, "good": good, **totals}
    return found


def rows_of_in_child(in_child: InChild, url: str) -> set[str]:
    return set(in_child(lambda: sorted(rows_of(url))).get("value", ()))


def _read(url: str, batch: Batch, targets: set[str], stop: Path) -> dict[str, Any]:
    """Read all rows again and again; every live row must be there, as it was."""
    looks = refused = wrong = 0
    while not stop.exists():
        try:
            there = rows_of(url)
        except RagshieldError:
            refused += 1
            time.sleep(0.02)
            continue
        looks += 1
        for passage, vector in zip(batch.passages, batch.vectors, strict=True):
            if passage.id not in targets:
                row = there.get(passage.id)
                wrong += row is None or row[0] != passage.text or not np.array_equal(row[1], vector)
        time.sleep(0.02)
    return {"looks": looks, "reads_refused": refused, "wrong": wrong}


def _write(url: str, batch: Batch, targets: set[str], stop: Path) -> dict[str, Any]:
    """Add rows again and again; what was acknowledged must be there in the end."""
    added: list[str] = []
    maybe: list[str] = []
    rng = np.random.default_rng(1)
    while not stop.exists():
        name = f"new-{len(added) + len(maybe):04}"
        vector = rng.standard_normal((1, DIM)).astype(np.float32)
        vector /= np.linalg.norm(vector)
        text = f"A row that arrived meanwhile, number {len(added)}."
        try:
            with open_store(url, writable=True) as store:
                store.add(Batch((Passage(name, text),), vector))
            added.append(name)
        except RagshieldError:
            maybe.append(name)
        time.sleep(0.15)
    return {"writes": len(added), "writes_refused": len(maybe), "added": added, "maybe": maybe}
