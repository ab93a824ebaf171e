"""The embedded stores that are killed, filled with rows and a plan."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from residue_stores import fill_chroma, fill_faiss, fill_jsonl, fill_lancedb, fill_qdrant

from ragshield.forget import plan_forget, write_plan
from ragshield.records import Batch, Passage
from ragshield.stores.url import open_store

DIM = 64


@dataclass(frozen=True)
class Embedded:
    """How a store in a folder is filled, and its URL."""

    fill: Callable[[Path, Batch], None]
    url: Callable[[Path], str]


def fill_sqlite(folder: Path, batch: Batch) -> None:
    from ragshield.stores.sqlite import create_sqlite

    create_sqlite(folder / "docs.sqlite", "docs", batch).close()


STORES = {
    "chroma": Embedded(fill_chroma, lambda f: f"chroma:{f}/db#docs"),
    "sqlite": Embedded(fill_sqlite, lambda f: f"sqlite:{f}/docs.sqlite#docs"),
    "jsonl": Embedded(fill_jsonl, lambda f: f"jsonl:{f}/docs.jsonl"),
    "faiss": Embedded(fill_faiss, lambda f: f"faiss:{f}/faiss"),
    "faiss HNSW": Embedded(partial(fill_faiss, kind="HNSW32"), lambda f: f"faiss:{f}/faiss"),
    "lancedb": Embedded(fill_lancedb, lambda f: f"lancedb:{f}/lance#docs"),
    "qdrant": Embedded(fill_qdrant, lambda f: f"qdrant:{f}/qdrant#docs"),
}


def make_rows(n: int) -> tuple[Batch, set[str]]:
    """Rows with a subject among them, vectors at length 1."""
    rng = np.random.default_rng(7)
    vocabulary = ["".join(rng.choice(list("abcdefghijklmnopqrst"), 7)) for _ in range(900)]
    texts = [
        f"Zebedee Quillfeather {' '.join(rng.choice(vocabulary, 22))}, as she told in {1900 + i}."
        if i % 20 == 3
        else f"{' '.join(rng.choice(vocabulary, 24)).capitalize()}."
        for i in range(n)
    ]
    vectors = rng.standard_normal((n, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    passages = tuple(
        Passage(f"row-{i:05}", text, f"file{i}.txt", {"page": i}) for i, text in enumerate(texts)
    )
    targets = {passage.id for passage in passages if "Quillfeather" in passage.text}
    return Batch(passages, vectors), targets


def filled(name: str, base: Path, work: Path, n: int) -> tuple[Path, Batch, set[str]]:
    """A folder to copy to `work` for each kill: store and plan; and the rows as stored."""
    template, store = base / "template", STORES[name]
    child = os.fork()  # what a library starts when it fills stays out of this process
    if not child:
        try:
            batch, targets = make_rows(n)
            work.mkdir()
            store.fill(work, batch)
            with open_store(store.url(work)) as opened:
                plan = plan_forget(opened, ids=sorted(targets))
                if {item.passage_id for item in plan.selected} != targets:
                    raise RuntimeError(f"{name}: the plan selects other rows than the targets")
                write_plan(plan, work / "plan.json")
                rows = list(opened.batches())
            vectors = np.vstack([b.vectors for b in rows])
            ids = [p.id for b in rows for p in b.passages]
            np.savez(base / "rows.npz", ids=np.array(ids), vectors=vectors)
            work.rename(template)
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"{name} could not be filled")
    batch, targets = make_rows(n)
    with np.load(base / "rows.npz") as saved:
        at = {str(name): i for i, name in enumerate(saved["ids"])}
        vectors = saved["vectors"][[at[p.id] for p in batch.passages]]
    return template, Batch(batch.passages, vectors), targets


def rows_of(url: str) -> dict[str, tuple[str, Any]]:
    """All rows: id to text and vector."""
    with open_store(url) as store:
        return {
            passage.id: (passage.text, vector)
            for batch in store.batches()
            for passage, vector in zip(batch.passages, batch.vectors, strict=True)
        }


def gone_bytes(folder: Path, batch: Batch, targets: set[str], *, with_plan: bool) -> int:
    """Target texts and vectors whose bytes lie in some file, by a plain search of the folder.

    The plan quotes the target until it is made final, so it is passed over before.
    """
    needles = []
    for passage, vector in zip(batch.passages, batch.vectors, strict=True):
        if passage.id in targets:
            needles += [passage.text.encode()[24:80], vector.astype("<f4").tobytes()]
    found = 0
    for path in folder.rglob("*"):
        if path.is_file() and (with_plan or not path.name.startswith("plan.json")):
            content = path.read_bytes()
            found += sum(needle in content for needle in needles)
    return found
