"""What forgetting costs, beside building the store anew and beside copying its live rows.

One subject (ten rows) is erased from stores of 1,000 to 100,000 rows: plan, then apply with every
step from the snapshot to the second look and a certificate. Beside it: copying all live rows
with their vectors into a fresh store, and building the store anew from its source, that is
embedding every text and adding it. Then, as MUSE asks of unlearning, many requests: 100 one
after the other, and 300 in one batch.

    python benchmarks/forget_cost.py                         # an hour, most of it filling stores
    python benchmarks/forget_cost.py --sizes 1000 --stores jsonl sqlite --requests 10

Results: benchmarks/results/forget_cost.md and .json. Embedding is measured on 256 texts and
extrapolated; everything else is done. All times are processor time, so that what else runs on
the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
from forget_cost_report import markdown
from forget_kills_stores import STORES

from ragshield.forget import apply_plan, asked, plan_forget, plan_requests, write_plan
from ragshield.forget.ending import finish
from ragshield.oracle import compared, exact, searched
from ragshield.proof import opened_key
from ragshield.records import Batch, Passage
from ragshield.stores.url import open_store

OUT_OF_SCOPE = ("memory of programs that have the index loaded",)
"""FAISS: no file shows it, so an operator declares it."""
RESULTS = Path(__file__).parent / "results"
SIZES = (1_000, 10_000, 100_000)
DIM, N_SUBJECT, K = 384, 10, 10
REQUESTS = {"rows": 3_000, "one by one": 100, "batch": 300}
SUBJECT = "Zebedee Quillfeather"


def make_rows(n: int, *, subjects: int = 1, each: int = N_SUBJECT) -> Batch:
    """Texts of some 300 characters and vectors in clusters, as embeddings lie."""
    rng = np.random.default_rng(11)
    listed = files("ragshield.wording").joinpath("words.txt").read_text(encoding="utf-8")
    vocabulary = np.array(sorted({w for w in listed.split() if w.isalpha() and len(w) > 3})[:8000])
    about = {int(i): k for k, i in enumerate(rng.permutation(n)[: subjects * each])}
    centres = rng.standard_normal((max(8, n // 50), DIM)).astype(np.float32)
    vectors = centres[rng.integers(0, len(centres), n)]
    vectors = vectors + 0.7 * rng.standard_normal((n, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = rng.integers(0, len(vocabulary), (n, 38))
    passages = []
    for i in range(n):
        text = " ".join(vocabulary[chosen[i]]).capitalize() + "."
        if i in about:
            text = f"{SUBJECT} the {about[i] // each}th: {text}"
        passages.append(Passage(f"row-{i:06}", text, f"file{i}.txt", {"n": i}))
    return Batch(tuple(passages), vectors.astype(np.float32))


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time of this process: others may be at work on the machine."""
    start = time.process_time()
    value = call()
    return time.process_time() - start, value


def size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


class Peak:
    """The most that a folder holds while something runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.before, self.most = folder, size_of(folder), 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            self.most = max(self.most, size_of(self.folder) - self.before)


def embedding_rate(n: int = 256) -> float:
    """Texts in a second of processor time, of the default encoder on one core."""
    import torch

    from ragshield.encoders import open_encoder

    torch.set_num_threads(1)

    encoder = open_encoder("minilm")
    texts = [passage.text for passage in make_rows(n).passages]
    encoder.encode(texts[:64])
    took, _ = seconds(lambda: encoder.encode(texts))
    return n / took


def one_subject(name: str, n: int, rate: float) -> dict[str, Any]:
    """Erase one subject from n rows, and what else one could have done."""
    base = Path(tempfile.mkdtemp(prefix="ragshield-cost-"))
    store, folder = STORES[name], base / "store"
    folder.mkdir()
    batch = make_rows(n)
    fill_s, _ = seconds(lambda: store.fill(folder, batch))
    url, plan = store.url(folder), folder / "plan.json"
    with open_store(url) as opened:
        plan_s, made = seconds(lambda: plan_forget(opened, subject=SUBJECT))
    write_plan(made, plan)
    n_bytes = size_of(folder)
    marks: list[tuple[str, float]] = []
    clock = time.process_time
    with Peak(folder) as peak:
        apply_s, done = seconds(
            lambda: apply_plan(
                plan, out_of_scope=OUT_OF_SCOPE, on_step=lambda s: marks.append((s, clock()))
            )
        )
        marks.append(("", clock()))
    key, _ = opened_key(base / "key.pem")
    certify_s, ended = seconds(
        lambda: finish([plan], final=True, certificate=base / "c.json", signing_key=key)
    )
    steps = {a: round(t2 - t1, 3) for (a, t1), (_, t2) in pairwise(marks)}

    def copy() -> None:
        with open_store(url) as opened:
            rows = list(opened.batches())
        whole = Batch(
            tuple(p for b in rows for p in b.passages), np.vstack([b.vectors for b in rows])
        )
        (base / "copy").mkdir()
        store.fill(base / "copy", whole)

    copy_s, _ = seconds(copy)
    found = {
        "store": name,
        "rows": n,
        "deleted": done.n_deleted,
        "verdict": done.verdict,
        "overall": ended.overall,
        "plan_s": plan_s,
        "apply_s": apply_s,
        "certify_s": certify_s,
        "steps": steps,
        "store_bytes": n_bytes,
        "extra_bytes": peak.most,
        "copy_s": copy_s,
        "copy_bytes": size_of(base / "copy"),
        "fill_s": fill_s,
        "embed_s": n / rate,
        "rebuild_s": fill_s + n / rate,
        "share_of_rebuild": apply_s / (fill_s + n / rate),
        "share_of_copy": apply_s / copy_s,
    }
    shutil.rmtree(base)
    return found


def many_requests(name: str, n: int, n_one_by_one: int, n_batch: int) -> dict[str, Any]:
    """Requests one after the other, then a batch: does anything decay?"""
    base = Path(tempfile.mkdtemp(prefix="ragshield-cost-"))
    store, folder = STORES[name], base / "store"
    folder.mkdir()
    batch = make_rows(n, subjects=n_one_by_one + n_batch, each=2)
    store.fill(folder, batch)
    url = store.url(folder)
    subject = {p.id: p.text.split(":")[0] for p in batch.passages if p.text.startswith(SUBJECT)}
    names = sorted(set(subject.values()))
    wanted = {name: [x for x, y in subject.items() if y == name] for name in names}
    rng = np.random.default_rng(3)
    sample = batch.vectors[rng.permutation(n)[:40]]
    erased: set[str] = set()
    before_bytes, times, plan_times, latency = size_of(folder), [], [], []

    def planned(which: str, path: Path) -> Path:
        with open_store(url) as opened:
            took, made = seconds(lambda: plan_forget(opened, ids=wanted[which], allow_large=True))
        plan_times.append(took)
        write_plan(made, path)
        return path

    def search_ms() -> float:
        with open_store(url) as opened:
            opened.search(sample[0], K)
            took, _ = seconds(lambda: [opened.search(row, K) for row in sample])
        return took / len(sample) * 1000

    latency.append(search_ms())
    for i, which in enumerate(names[:n_one_by_one]):
        plan = planned(which, base / f"plan-{i}.json")
        took, done = seconds(lambda p=plan: apply_plan(p, out_of_scope=OUT_OF_SCOPE))
        if done.verdict != "ERASED":
            raise RuntimeError(f"{name}: request {i} ended {done.verdict}: {done.reasons}")
        times.append(took)
        erased.update(wanted[which])
        finish([plan], final=True)
    latency.append(search_ms())
    rest = names[n_one_by_one : n_one_by_one + n_batch]
    plans = [base / f"batch-{i}.json" for i in range(len(rest))]
    with open_store(url) as opened:
        asking = [asked(ids=wanted[which]) for which in rest]
        batch_plan_s, made = seconds(lambda: plan_requests(opened, asking, allow_large=True))
    for plan, path in zip(made, plans, strict=True):
        write_plan(plan, path)
    batch_s, done = seconds(lambda: apply_plan(plans, out_of_scope=OUT_OF_SCOPE))
    erased.update(x for which in rest for x in wanted[which])
    latency.append(search_ms())
    with open_store(url) as opened:
        questions = {"retain": sample}
        mine = {k: searched(opened, rows, K) for k, rows in questions.items()}
        n_left = opened.count()
    oracle = {k: exact([batch], rows, K, never=erased) for k, rows in questions.items()}
    with open_store(url) as opened:
        live = list(opened.batches())
    (base / "anew").mkdir()
    whole = Batch(tuple(p for b in live for p in b.passages), np.vstack([b.vectors for b in live]))
    store.fill(base / "anew", whole)
    with open_store(store.url(base / "anew")) as opened:
        anew = {k: searched(opened, rows, K) for k, rows in questions.items()}
    found = {
        "store": name,
        "rows": n,
        "requests": n_one_by_one,
        "first_s": float(np.median(times[:10])),
        "last_s": float(np.median(times[-10:])),
        "total_s": float(np.sum(times)),
        "batch": len(plans),
        "plan_s": float(np.median(plan_times)),
        "batch_plan_s": batch_plan_s,
        "batch_s": batch_s,
        "batch_verdict": done.verdict,
        "n_left": n_left,
        "n_expected": n - len(erased),
        "search_ms": latency,
        "bytes": [before_bytes, size_of(folder)],
        "rbo_exact": compared(mine, oracle, k=K).groups["retain"].rbo,
        "rbo_rebuilt_exact": compared(anew, oracle, k=K).groups["retain"].rbo,
        "ks_p": compared(mine, oracle, k=K).groups["retain"].ks_p,
    }
    shutil.rmtree(base)
    return found


def in_child(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """In a process of its own, so that no library keeps anything from one to the next."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            answer = call()
        except BaseException:
            answer = {"failed": traceback.format_exc()[-2000:]}
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(json.dumps(answer, default=str).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    found: dict[str, Any] = json.loads(content) if content else {"failed": "died"}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=list(SIZES), help="none: requests")
    parser.add_argument("--stores", nargs="+", choices=sorted(STORES), metavar="STORE")
    parser.add_argument("--requests", type=int, default=REQUESTS["one by one"])
    parser.add_argument("--batch", type=int, default=REQUESTS["batch"])
    parser.add_argument("--rate", type=float, help="texts embedded a second, if known already")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="folder for results")
    given = parser.parse_args()
    path = given.output / "forget_cost.json"
    known = json.loads(path.read_text()) if path.exists() else {"subject": [], "requests": []}
    rate = given.rate or in_child(lambda: {"rate": embedding_rate()})["rate"]
    known["rate"], known["cores"] = rate, os.cpu_count()

    def keep(part: str, row: dict[str, Any], like: dict[str, Any]) -> None:
        row = {**like, **row}
        rows = [r for r in known[part] if any(r[k] != v for k, v in like.items())]
        known[part] = [*rows, row]
        path.write_text(json.dumps(known, indent=1) + "\n")
        (given.output / "forget_cost.md").write_text(markdown(known), encoding="utf-8")
        print(json.dumps({k: v for k, v in row.items() if k != "steps"})[:700], flush=True)

    for name in given.stores or list(STORES):
        for n in given.sizes:
            like = {"store": name, "rows": n}
            keep("subject", in_child(lambda s=name, r=n: one_subject(s, r, rate)), like)
        if given.requests:
            rows = REQUESTS["rows"]
            call = partial(many_requests, name, rows, given.requests, given.batch)
            keep("requests", in_child(call), {"store": name})
    return 0


if __name__ == "__main__":
    sys.exit(main())
