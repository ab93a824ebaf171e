"""The residue matrix in small: every embedded store with a recipe, before and after.

The large one, with 50,000 rows and servers, is benchmarks/residue.py.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from ragshield import registry
from ragshield.records import Batch, Passage, Spec
from ragshield.residue import residue
from ragshield.stores.url import open_store

DIM = 48
SYLLABLES = "ba de fio gu ka le mio nu pa re sio tu".split()


def made_up(n: int) -> Batch:
    rng = np.random.default_rng(n)
    words = np.array(["".join(rng.choice(SYLLABLES, 3)) for _ in range(900)])
    passages = tuple(
        Passage(
            f"passage-{i:07d}",
            f"{' '.join(words[rng.integers(0, 900, 30)])}, number {rng.integers(10**12)}.",
            f"https://example.org/{i}",
            {"topic": i % 7},
        )
        for i in range(n)
    )
    return Batch(passages, rng.standard_normal((n, DIM)).astype(np.float32))


def chroma(folder: Path, batch: Batch) -> None:
    from ragshield.stores.chroma import create_chroma

    create_chroma(folder / "db", "docs", batch).close()


def chroma_vacuum(folder: Path) -> None:
    command = [Path(sys.executable).parent / "chroma", "vacuum", "--force", "--path", folder / "db"]
    subprocess.run(command, check=True, capture_output=True)


def jsonl(folder: Path, batch: Batch) -> None:
    (folder / "docs.jsonl").write_text("")
    with open_store(f"jsonl:{folder}/docs.jsonl", writable=True) as store:
        store.add(batch)


def sqlite(folder: Path, batch: Batch) -> None:
    from ragshield.stores.sqlite import create_sqlite

    create_sqlite(folder / "docs.sqlite", "docs", batch, full_text=True).close()


def sqlite_delete(folder: Path, ids: list[str]) -> None:
    with closing(sqlite3.connect(folder / "docs.sqlite")) as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.executemany("DELETE FROM docs WHERE id = ?", [(name,) for name in ids])
        database.commit()


def faiss(folder: Path, batch: Batch) -> None:
    from ragshield.stores.faiss import create_faiss

    create_faiss(folder / "faiss", batch).close()


def faiss_hnsw(folder: Path, batch: Batch) -> None:
    from ragshield.stores.faiss import create_faiss

    create_faiss(folder / "faiss", batch, kind="HNSW16").close()


def lancedb(folder: Path, batch: Batch) -> None:
    from ragshield.stores.lancedb import create_lancedb

    create_lancedb(folder / "lance", "docs", batch).close()


def lancedb_vacuum(folder: Path) -> None:
    import lancedb

    table = lancedb.connect(folder / "lance").open_table("docs")
    table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)


def qdrant(folder: Path, batch: Batch) -> None:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(path=str(folder / "qdrant"))
    params = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
    client.create_collection("docs", vectors_config=params)
    client.close()
    with open_store(f"qdrant:{folder}/qdrant#docs", writable=True) as store:
        store.add(batch)


# Name: URL, how it is filled, the vendor's vacuum, and a deletion by other means.
STORES = {
    "chroma": ("chroma:{}/db#docs", chroma, chroma_vacuum, None),
    "jsonl": ("jsonl:{}/docs.jsonl", jsonl, None, None),
    "sqlite": ("sqlite:{}/docs.sqlite#docs", sqlite, None, sqlite_delete),
    "faiss": ("faiss:{}/faiss", faiss, None, None),
    "faiss HNSW": ("faiss:{}/faiss", faiss_hnsw, None, None),
    "lancedb": ("lancedb:{}/lance#docs", lancedb, lancedb_vacuum, None),
    "qdrant": ("qdrant:{}/qdrant#docs", qdrant, None, None),
}
SERVERS = {"chroma+http", "chroma+https", "pgvector"}
KEEPS = {"chroma": (True, True), "sqlite": (True, True), "lancedb": (True, True)}
"""Whether a deletion alone leaves texts and vectors, where less than a tenth is deleted."""


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """Each store filled once; a test takes a copy."""
    filled = {}

    def template(name: str, n: int):
        if (name, n) not in filled:
            folder = tmp_path_factory.mktemp("filled")
            STORES[name][1](folder, made_up(n))
            filled[name, n] = folder
        return filled[name, n]

    return template


def rows_of(url: str):
    with open_store(url) as store:
        return {
            p.id: (p, batch.vectors[i].tobytes())
            for batch in store.batches()
            for i, p in enumerate(batch.passages)
        }


def test_every_recipe_takes_part():
    assert set(registry.names("recipe")) - SERVERS <= {name.split()[0] for name in STORES}


@pytest.mark.parametrize(
    ("n", "share"),
    [
        (200, 0.0),
        (200, 0.05),
        (200, 0.5),
        (2000, 0.0),
        (2000, 0.05),
        pytest.param(2000, 0.5, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", list(STORES))
def test_nothing_is_left_after_a_purge_and_live_rows_are_as_they_were(
    templates, tmp_path, name, n, share
):
    pattern, _, vacuum, delete = STORES[name]
    work, batch = tmp_path / "work", made_up(n)
    shutil.copytree(templates(name, n), work)
    url = pattern.format(work)
    rng = np.random.default_rng(7)
    rows = np.sort(rng.choice(n, max(1, int(n * share)), replace=False)).tolist()
    gone = Batch(tuple(batch.passages[i] for i in rows), batch.vectors[rows])
    ids = [p.id for p in gone.passages]

    before = residue(url, gone)
    assert (before.n_seen_texts, before.n_seen_vectors) == (len(rows), len(rows))

    if delete is None:
        with open_store(url, writable=True) as store:
            assert store.delete(ids) == len(rows)
    else:
        delete(work, ids)
    live = rows_of(url)
    assert len(live) == n - len(rows)
    assert not set(ids) & set(live)
    left = residue(url, gone, baseline=before)
    if name in KEEPS and share < 0.1:
        assert (left.text_bytes > 0, left.vector_bytes > 0) == KEEPS[name]
        assert left.overall() == "RESIDUAL"
    if vacuum is not None and share == 0.05:
        spare = tmp_path / "vacuumed"
        shutil.copytree(work, spare)
        vacuum(spare)
        assert residue(pattern.format(spare), gone).vector_bytes > 0

    registry.build(Spec("recipe", url.partition(":")[0])).purge(url, ids)

    after = residue(url, gone, baseline=before)
    assert (after.text_bytes, after.vector_bytes) == (0, 0)
    assert [found.unread for found in after.found if found.unread] == []
    assert after.overall() in ("ERASED", "NOT_TESTED")
    assert after.unproven() == 0
    assert rows_of(url) == live
