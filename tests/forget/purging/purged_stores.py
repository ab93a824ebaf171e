"""Stores from which another program deleted rows, and a plain search for their bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.records import Batch, Passage
from ragshield.vectors import unit_rows

DIM = 24
N = 300
GONE = [f"{7_000 + i}" for i in (3, 50, 51, 170, 299)]


def docs(n: int = N, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    passages = tuple(
        Passage(str(7_000 + i), f"Row {i} says {rng.bytes(40 + i % 90).hex()}.", f"s{i}", {"n": i})
        for i in range(n)
    )
    return Batch(passages, unit_rows(rng.standard_normal((n, DIM)).astype(np.float32)))


def fill_chroma(folder: Path, batch: Batch) -> str:
    pytest.importorskip("chromadb")
    from ragshield.stores.chroma import create_chroma

    create_chroma(folder / "db", "docs", batch).close()
    return f"chroma:{folder}/db#docs"


def delete_chroma(folder: Path, ids: list[str]) -> None:
    import chromadb

    client = chromadb.PersistentClient(str(folder / "db"))
    client.get_collection("docs", embedding_function=None).delete(ids)
    client.close()


def fill_sqlite(folder: Path, batch: Batch) -> str:
    from ragshield.stores.sqlite import create_sqlite

    create_sqlite(folder / "docs.sqlite", "docs", batch, full_text=True).close()
    return f"sqlite:{folder}/docs.sqlite#docs"


def delete_sqlite(folder: Path, ids: list[str]) -> None:
    with closing(sqlite3.connect(folder / "docs.sqlite")) as database, database:
        database.execute("PRAGMA secure_delete = OFF")
        database.executemany("DELETE FROM docs WHERE id = ?", [(i,) for i in ids])


def fill_qdrant(folder: Path, batch: Batch) -> str:
    qdrant = pytest.importorskip("qdrant_client")
    client = qdrant.QdrantClient(path=str(folder / "q"))
    params = qdrant.models.VectorParams(size=DIM, distance=qdrant.models.Distance.COSINE)
    client.create_collection("docs", vectors_config=params)
    client.close()
    with open_store(f"qdrant:{folder}/q#docs", writable=True) as store:
        store.add(batch)
    return f"qdrant:{folder}/q#docs"


def delete_qdrant(folder: Path, ids: list[str]) -> None:
    from ragshield.stores.qdrant_keys import key_of

    path = folder / "q" / "collection" / "docs" / "storage.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA secure_delete = OFF")
        database.executemany("DELETE FROM points WHERE id = ?", [(key_of(int(i)),) for i in ids])


def fill_lancedb(folder: Path, batch: Batch) -> str:
    pytest.importorskip("lancedb")
    from ragshield.stores.lancedb import create_lancedb

    create_lancedb(folder / "lance", "docs", batch).close()
    return f"lancedb:{folder}/lance#docs"


def delete_lancedb(folder: Path, ids: list[str]) -> None:
    import lancedb

    names = ", ".join(f"'{i}'" for i in ids)
    lancedb.connect(folder / "lance").open_table("docs").delete(f"id IN ({names})")


def fill_faiss(folder: Path, batch: Batch) -> str:
    pytest.importorskip("faiss")
    from ragshield.stores.faiss import create_faiss

    create_faiss(folder / "index", batch, kind="HNSW16").close()
    return f"faiss:{folder}/index"


def delete_faiss(folder: Path, ids: list[str]) -> None:
    """As LangChain does with an index that cannot lose a vector: forget whose it was."""
    from ragshield.stores.faiss_files import pair_of
    from ragshield.stores.faiss_passages import Docstore

    pair = pair_of(f"faiss:{folder}/index")
    store = Docstore.read(pair.passages, "")
    gone = {label for label, passage in store.labels.items() if passage.id in set(ids)}
    stay = [label for label in store.labels if label not in gone]
    with pair.passages.open("wb") as file:
        store.without(frozenset(ids), frozenset(gone), stay, moved=False).write(file)


def fill_jsonl(folder: Path, batch: Batch) -> str:
    (folder / "docs.jsonl").write_text("")
    with open_store(f"jsonl:{folder}/docs.jsonl", writable=True) as store:
        store.add(batch)
    return f"jsonl:{folder}/docs.jsonl"


def delete_jsonl(folder: Path, ids: list[str]) -> None:
    """A deletion whose first attempt was killed, with the file half written beside."""
    whole = (folder / "docs.jsonl").read_bytes()
    (folder / ".docs.jsonl.k1ll3d_x").write_bytes(whole)
    with open_store(f"jsonl:{folder}/docs.jsonl", writable=True) as store:
        store.delete(ids)


@dataclass(frozen=True)
class Kind:
    fill: Callable[[Path, Batch], str]
    delete: Callable[[Path, list[str]], None]
    keeps: tuple[str, ...] = ("texts", "vectors")


KINDS = {
    "chroma": Kind(fill_chroma, delete_chroma),
    "sqlite": Kind(fill_sqlite, delete_sqlite),
    "qdrant": Kind(fill_qdrant, delete_qdrant),
    "lancedb": Kind(fill_lancedb, delete_lancedb, ("vectors",)),
    "faiss": Kind(fill_faiss, delete_faiss, ("vectors",)),
    "jsonl": Kind(fill_jsonl, delete_jsonl),
}
OPEN_AFTERWARDS = {"faiss": ("memory of programs",)}


def left(folder: Path, batch: Batch, ids: list[str]) -> dict[str, int]:
    """What a plain search of all bytes finds of rows; knows nothing of any recipe."""
    everything = b"\0".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())
    assert batch.vectors is not None
    rows = [i for i, passage in enumerate(batch.passages) if passage.id in set(ids)]

    def has_vector(row: np.ndarray) -> bool:
        pieces = [row[:6].astype("<f4").tobytes(), row[:1].astype(">f8").tobytes() + b"G"]
        pieces.append(", ".join(repr(float(str(x))) for x in row[:4]).encode())
        return any(piece in everything for piece in pieces)

    texts = [batch.passages[i].text.encode() for i in rows]
    return {
        "texts": sum(text[16:48] in everything or text[-40:-4] in everything for text in texts),
        "vectors": sum(has_vector(batch.vectors[i]) for i in rows),
    }


def contents(url: str) -> dict[str, tuple[Passage, bytes]]:
    with open_store(url) as store:
        return {
            passage.id: (passage, row.tobytes())
            for part in store.batches()
            for passage, row in zip(part.passages, part.vectors, strict=True)
        }


def made(kind: str, folder: Path) -> tuple[str, Batch, dict[str, tuple[Passage, bytes]]]:
    """A store from which another program deleted rows, and what lives in it."""
    batch = docs()
    url = KINDS[kind].fill(folder, batch)
    before = contents(url)
    KINDS[kind].delete(folder, GONE)
    live = {key: row for key, row in before.items() if key not in GONE}
    assert contents(url) == live
    found = left(folder, batch, GONE)
    assert all(found[what] for what in KINDS[kind].keeps), found
    return url, batch, live
