"""Kill -9 over the whole operation of forgetting, again and again, on every embedded store.

A plan is applied with a certificate, every other time made final. The process is killed
after a random time, at 200 points for each store. Then, in a fresh process: every live row
is there, bit for bit; and either the same command finishes the work (ERASED, certificate valid,
no byte of the target in any file), or undo takes it back (all rows as before). Then the same
with a full disk, with a reader and with a writer beside it.

    python benchmarks/forget_kills.py                        # 200 points a store, an hour
    python benchmarks/forget_kills.py --points 20 --stores jsonl sqlite

Results: benchmarks/results/forget_kills.md and .json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from forget_kills_others import beside_others, disk_full
from forget_kills_report import markdown
from forget_kills_stores import STORES, filled, gone_bytes, rows_of

from ragshield.errors import RagshieldError, UsageError
from ragshield.forget import apply_plan, undo
from ragshield.forget.ending import finish, is_final
from ragshield.forget.saved.history import known_state
from ragshield.proof import opened_key, read_certificate
from ragshield.records import Batch

RESULTS = Path(__file__).parent / "results"
N_ROWS = 300
OUT_OF_SCOPE = ("memory of programs that have the index loaded",)
"""FAISS: no file shows it, so an operator declares it, as the certificate then says."""


def preload(name: str) -> None:
    """Import what the operation imports late, or most kills would fall into an import."""
    import scipy.stats  # noqa: F401

    # lancedb starts a thread when it is imported, which no forked process would have.
    libraries = {"chroma": "chromadb", "qdrant": "qdrant_client", "faiss": "faiss"}
    library = libraries.get(name.split()[0])
    if library:
        importlib.import_module(library)


def operation(folder: Path, *, final: bool) -> None:
    """The whole of it, as `ragshield forget apply --certificate [--final]` does it."""
    plan = folder / "plan.json"
    if not is_final(plan):
        apply_plan(plan, out_of_scope=OUT_OF_SCOPE)
    key, _ = opened_key(folder.parent / "signing.pem")
    finish([plan], final=final, certificate=folder / "cert.json", signing_key=key)


def in_child(call: Callable[[], Any], *, kill_after_s: float | None = None) -> dict[str, Any]:
    """Run a call in a process of its own; kill it after a while if asked to."""
    reader, writer = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if not child:
        os.close(reader)
        answer: dict[str, Any]
        try:
            answer = {"value": call()}
        except RagshieldError as error:
            answer = {"refused": f"{type(error).__name__}: {error}"}
        except BaseException:
            answer = {"failed": traceback.format_exc()[-1500:]}
        os.write(writer, json.dumps(answer, default=str).encode())
        os._exit(0)
    os.close(writer)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    _, status = os.waitpid(child, 0)
    found: dict[str, Any] = json.loads(content) if content else {}
    if kill_after_s is None and os.WIFSIGNALED(status):
        found = {"failed": f"died of signal {os.WTERMSIG(status)}"}
    return {**found, "seconds": time.monotonic() - started, "killed": os.WIFSIGNALED(status)}


def looked(folder: Path, url: str, batch: Batch, targets: set[str]) -> dict[str, Any]:
    """How things stand right after the kill: what is there, and what is not as it was."""
    there = rows_of(url)
    lost, changed = compare(there, batch, targets, exact=True)
    plan = folder / "plan.json"
    step = known_state(plan).step if plan.with_name("plan.json.journal").exists() else None
    return {"lost": lost, "changed": changed, "left": len(targets & set(there)), "step": step}


def compare(
    there: dict[str, Any], batch: Batch, leave_out: set[str], *, exact: bool
) -> tuple[int, int]:
    """How many rows are lost, and how many are not as they were."""
    lost = changed = 0
    for passage, vector in zip(batch.passages, batch.vectors, strict=True):
        if passage.id in leave_out:
            continue
        found = there.get(passage.id)
        if found is None:
            lost += 1
        elif found[0] != passage.text or not (
            np.array_equal(found[1], vector) if exact else np.allclose(found[1], vector, atol=1e-6)
        ):
            changed += 1
    return lost, changed


def finished(
    folder: Path, url: str, batch: Batch, targets: set[str], final: bool
) -> dict[str, Any]:
    """Run the same command again; everything must be erased, and everything else there."""
    operation(folder, final=final)
    there = rows_of(url)
    lost, changed = compare(there, batch, targets, exact=True)
    checked = read_certificate(folder / "cert.json")
    return {
        "lost": lost,
        "changed": changed,
        "left": len(targets & set(there)),
        "verdict": checked.content["verdict"]["stores"],
        "overall": checked.overall,
        "bytes": gone_bytes(folder, batch, targets, with_plan=final),
        "key_left": (folder / "plan.json.key").exists(),
    }


def rolled_back(folder: Path, url: str, batch: Batch) -> dict[str, Any]:
    """Undo; everything must be as it was before."""
    try:
        undo(folder / "plan.json")
        how = "undone"
    except UsageError as error:
        if "nothing of" not in str(error) and "never applied" not in str(error):
            raise
        how = "nothing was deleted"
    there = rows_of(url)
    lost, changed = compare(there, batch, set(), exact=False)
    return {"lost": lost, "changed": changed, "extra": len(there) - len(batch), "how": how}


def is_good(point: dict[str, Any]) -> bool:
    after, end = point["after"].get("value"), point["end"].get("value")
    if after is None or end is None or after["lost"] or after["changed"]:
        return False
    if end["lost"] or end["changed"]:
        return False
    if point["mode"] == "undo":
        return bool(end["extra"] == 0)
    whole = end["verdict"] == "ERASED" and end["left"] == 0 and end["bytes"] == 0
    return whole and (
        point["mode"] == "finish" or (end["overall"] == "ERASED" and not end["key_left"])
    )


def kill_store(name: str, n_points: int, seed: int) -> dict[str, Any]:
    rng = random.Random(f"{name} {seed}")
    base = Path(tempfile.mkdtemp(prefix="ragshield-kills-"))
    opened_key(base / "signing.pem")
    work = base / "work"
    template, batch, targets = filled(name, base, work, N_ROWS)
    url = STORES[name].url(work)
    preload(name)

    def fresh() -> None:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(template, work)

    times = []
    for _ in range(3):
        fresh()
        done = in_child(lambda: operation(work, final=True))
        if "value" not in done:
            raise RuntimeError(f"{name}: {done}")
        times.append(done["seconds"])
    whole_s = sorted(times)[1]
    # After a restart rows may be spelled as the store gives them: that is the yardstick.
    points = []
    for i in range(n_points):
        fresh()
        mode = ("finish", "undo", "final")[i % 3]
        after_s = rng.uniform(0, whole_s * 1.05)
        killed = in_child(lambda m=mode: operation(work, final=m == "final"), kill_after_s=after_s)
        point: dict[str, Any] = {"mode": mode, "after_s": after_s, "killed": killed["killed"]}
        point["after"] = in_child(lambda: looked(work, url, batch, targets))
        if mode == "undo":
            point["end"] = in_child(lambda: rolled_back(work, url, batch))
        else:
            final = mode == "final"
            point["end"] = in_child(lambda f=final: finished(work, url, batch, targets, f))
        point["good"] = is_good(point)
        if not point["good"]:
            print(name, json.dumps(point, default=str)[:3000], flush=True)
        points.append(point)
    steps = Counter(str(p["after"].get("value", {}).get("step")) for p in points if p["killed"])
    found = {
        "store": name,
        "rows": N_ROWS,
        "targets": len(targets),
        "points": n_points,
        "killed": sum(p["killed"] for p in points),
        "steps": dict(steps),
        "good": sum(p["good"] for p in points),
        "finished": sum(p["good"] for p in points if p["mode"] != "undo"),
        "undone": sum(p["good"] for p in points if p["mode"] == "undo"),
        "whole_s": whole_s,
        "disk_full": disk_full(fresh, work, url, batch, targets, in_child, finished, looked),
        "others": beside_others(fresh, work, url, batch, targets, in_child, operation),
    }
    shutil.rmtree(base, ignore_errors=True)
    return found


def joined(first: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """The points of two runs of one store together; what was done beside them, of the latter."""
    if "failed" in more:
        return more
    counted = ("points", "killed", "good", "finished", "undone")
    steps = Counter(first["steps"]) + Counter(more["steps"])
    return {**more, **{key: first[key] + more[key] for key in counted}, "steps": dict(steps)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=200, help="kills for each store")
    parser.add_argument("--stores", nargs="+", choices=sorted(STORES), metavar="STORE")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other points")
    parser.add_argument("--more", action="store_true", help="add to the points recorded there")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="folder for results")
    given = parser.parse_args()
    path = given.output / "forget_kills.json"
    for name in given.stores or list(STORES):
        started = time.monotonic()
        # Each store in a process of its own: what one leaves open must not reach another.
        answer = in_child(lambda n=name: kill_store(n, given.points, given.seed))
        row = answer.get("value") or {"store": name, "failed": str(answer)[-1500:]}
        took = time.monotonic() - started
        print(f"{name}: {row.get('good')} of {row.get('points')} good, {took:.0f} s", flush=True)
        rows = json.loads(path.read_text()) if path.exists() else []
        known = [r for r in rows if r["store"] == name and "failed" not in r]
        if given.more and known:
            row = joined(known[0], row)
        rows = [r for r in rows if r["store"] != name] + [row]
        rows.sort(key=lambda r: list(STORES).index(r["store"]))
        path.write_text(json.dumps(rows, indent=1) + "\n")
        (given.output / "forget_kills.md").write_text(markdown(rows), encoding="utf-8")
    rows = json.loads(path.read_text())
    return int(any("failed" in r or r["good"] < r["points"] for r in rows))


if __name__ == "__main__":
    sys.exit(main())
