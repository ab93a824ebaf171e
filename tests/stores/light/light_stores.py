"""Stores of every kind that are one or two files, made, deleted from and searched as bytes."""

from __future__ import annotations

import random
import sqlite3
import string
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragshield import open_store
from ragshield.records import Batch, Passage
from ragshield.stores.faiss import create_faiss
from ragshield.stores.faiss_files import pair_of
from ragshield.stores.faiss_passages import Docstore
from ragshield.stores.sqlite import create_sqlite
from ragshield.vectors import unit_rows

DIM = 32
KINDS = (
    "jsonl",
    "sqlite",
    "sqlite-wal",
    "sqlite-mapped",
    "faiss",
    "faiss-ivf",
    "faiss-hnsw",
    "faiss-lines",
)


def docs(n: int, seed: int = 0) -> Batch:
    """Rows with a word of their own each; every tenth text is longer than a page."""
    rng = random.Random(seed)
    passages = []
    for i in range(n):
        own = "".join(rng.choices(string.ascii_letters, k=24))
        filler = " ".join(
            rng.choices(("snow", "rain", "wind", "fog"), k=900 if i % 10 == 0 else 12)
        )
        passages.append(Passage(f"doc-{i:05d}", f"{own} {filler} {own[::-1]}", f"s{i}", {"n": i}))
    vectors = np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)
    return Batch(tuple(passages), unit_rows(vectors))


def make(kind: str, folder: Path, batch: Batch) -> str:
    """A store of this kind; gives its URL."""
    family, _, variant = kind.partition("-")
    if family == "jsonl":
        (folder / "docs.jsonl").write_text("")
        with open_store(f"jsonl:{folder}/docs.jsonl", writable=True) as store:
            store.add(batch)
        return store.url
    if family == "faiss":
        made = {"ivf": "IVF4,Flat", "hnsw": "HNSW16"}.get(variant, "Flat")
        with create_faiss(folder, batch, kind=made, lines=variant == "lines") as store:
            return store.url.removesuffix("#index")
    path = folder / "docs.sqlite"
    with closing(sqlite3.connect(path)) as database:
        if variant == "mapped":
            database.execute("PRAGMA auto_vacuum = FULL")
        database.execute(f"PRAGMA journal_mode = {'WAL' if variant == 'wal' else 'DELETE'}")
        database.execute("VACUUM")
    with create_sqlite(path, "docs", batch, full_text=True) as made_store:
        return made_store.url


def delete_elsewhere(kind: str, url: str, ids: Sequence[str]) -> None:
    """Delete as a program does that knows nothing of ragshield, where it can."""
    if kind.startswith("sqlite"):
        path = url.removeprefix("sqlite:").partition("#")[0]
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("PRAGMA secure_delete = OFF")
            database.executemany("DELETE FROM docs WHERE id = ?", [(i,) for i in ids])
    elif kind == "faiss-hnsw":
        # HNSW cannot lose a vector, so programs forget only whose it was.
        pair = pair_of(url)
        store = Docstore.read(pair.passages, url)
        gone = {label for label, p in store.labels.items() if p.id in set(ids)}
        stay = [label for label in store.labels if label not in gone]
        with pair.passages.open("wb") as file:
            store.without(frozenset(ids), frozenset(gone), stay, moved=False).write(file)


def needles(batch: Batch, ids: Sequence[str]) -> NDArray[np.uint64]:
    """Stretches of 8 bytes that only these rows hold, of texts and of vectors."""
    wanted, found = set(ids), []
    for passage, vector in zip(batch.passages, batch.vectors, strict=True):
        if passage.id not in wanted:
            continue
        own = passage.text[:24].encode()
        found += [own[:8], own[8:16], own[-8:], own[::-1][:8], own[::-1][-8:]]
        found.append(own.lower()[8:16])  # a full-text index keeps words in lower case
        row = vector.tobytes()
        found += [row[at : at + 8] for at in range(0, len(row), 24)]
    return np.unique(np.frombuffer(b"".join(found), dtype=np.uint64))


def bytes_left(folder: Path, batch: Batch, ids: Sequence[str]) -> int:
    """How many of these stretches lie in any file of the folder."""
    wanted, n_found = needles(batch, ids), 0
    gone = set(ids)
    rows = [v for p, v in zip(batch.passages, batch.vectors, strict=True) if p.id in gone][:50]
    numbers = [f"{float(row[5])!r}, {float(row[6])!r}".encode() for row in rows]
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        if len(data) >= 8:
            windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(data, np.uint8), 8)
            keys = np.ascontiguousarray(windows).view(np.uint64).ravel()
            at = np.searchsorted(wanted, keys).clip(max=len(wanted) - 1)
            n_found += len(np.unique(keys[wanted[at] == keys]))
        n_found += sum(number in data for number in numbers)
    return n_found


def contents(url: str) -> dict[str, tuple[Passage, bytes]]:
    """Everything that can be read from a store."""
    with open_store(url) as store:
        return {
            passage.id: (passage, row.tobytes())
            for part in store.batches()
            for passage, row in zip(part.passages, part.vectors, strict=True)
        }


def ranking(url: str, k: int = 10) -> list[list[str]]:
    """Ids found for some questions."""
    with open_store(url) as store:
        questions = np.random.default_rng(99).standard_normal((5, DIM)).astype(np.float32)
        return [[hit.id for hit in store.search(q, k).hits] for q in questions]
