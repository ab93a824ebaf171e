from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import IncompleteError, StoreError, UsageError
from ragshield.protocols import Recipe
from ragshield.records import Batch, Passage, Spec
from ragshield.registry import build
from ragshield.stores.chroma import create_chroma
from ragshield.stores.chroma_copy import holders
from ragshield.stores.chroma_purge import ChromaPurge

DIM = 24


def _docs(n: int, seed: int = 0, start: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    passages = tuple(
        Passage(
            f"doc-{start + i:05d}",
            f'Row {i}: "{rng.bytes(20).hex()}"\n' + f"and {rng.bytes(12).hex()} again. " * (i % 4),
            f"https://example.org/{rng.bytes(5).hex()}",
            {"n": i, "owner": f"owner {rng.bytes(6).hex()}"},
        )
        for i in range(n)
    )
    vectors = rng.standard_normal((n, DIM)).astype(np.float32)
    return Batch(passages, vectors * np.float32(1.7))


def _with_long_text(docs: Batch, row: int) -> Batch:
    """One text that SQLite spreads over several pages."""
    long = "".join(random.Random(row).choices("abcdefghij klmnop", k=30_000))
    passages = list(docs.passages)
    passages[row] = Passage(passages[row].id, long, passages[row].source, passages[row].meta)
    return Batch(tuple(passages), docs.vectors)


def _gone(n: int, share: str) -> list[int]:
    n_gone = 1 if share == "one row" else round(n * float(share.rstrip("%")) / 100)
    return sorted(random.Random(7).sample(range(n), n_gone))


def _stretches(text: str) -> list[bytes]:
    """Every 16 bytes of a text that stand for nothing else, as they lie there and in JSON."""
    return [text[i : i + 16].encode() for i in range(8, len(text) - 16, 16)]


def _some(stretches: list[bytes]) -> list[bytes]:
    """Some ten of them, from start to end."""
    return stretches[:: -(-len(stretches) // 10) or 1]


def _unit(vectors: np.ndarray) -> np.ndarray:
    """At length 1, as a loop in C over 32-bit numbers gives it."""
    squares = np.zeros(len(vectors), dtype=np.float32)
    for i in range(DIM):
        squares = squares + vectors[:, i] * vectors[:, i]
    return vectors * (np.float32(1) / np.sqrt(squares))[:, None]


def _left(folder: Path, docs: Batch, rows: Sequence[int]) -> dict[str, int]:
    """What a plain search of all bytes finds of these rows. Knows nothing of the recipe."""
    everything = b"\0".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())
    gone = set(rows)
    live = {w for i, p in enumerate(docs.passages) if i not in gone for w in _stretches(p.text)}
    unit = _unit(docs.vectors)

    def vector_is_there(i: int) -> bool:  # eight numbers in a row, of either form
        return any(
            v[i, at : at + 8].tobytes() in everything
            for v in (docs.vectors, unit)
            for at in range(0, DIM, 8)
        )

    texts = [[s for s in _some(_stretches(docs.passages[i].text)) if s not in live] for i in rows]
    return {
        "texts": sum(any(s in everything for s in found) for found in texts),
        "vectors": sum(vector_is_there(i) for i in rows),
        "ids": sum(docs.passages[i].id.encode() in everything for i in rows),
        "metadata": sum(
            str(docs.passages[i].meta["owner"]).encode() in everything
            or str(docs.passages[i].source).encode() in everything
            for i in rows
        ),
    }


def _read(url: str) -> tuple[tuple[Passage, ...], bytes]:
    """All rows, by id, with the very bits of their vectors."""
    with open_store(url) as store:
        parts = list(store.batches())
    passages = [p for part in parts for p in part.passages]
    vectors = np.vstack([part.vectors for part in parts])
    order = sorted(range(len(passages)), key=lambda i: passages[i].id)
    return tuple(passages[i] for i in order), vectors[order].tobytes()


def _answers(url: str, questions: np.ndarray, k: int = 10) -> list[list[str]]:
    with open_store(url) as store:
        return [[hit.id for hit in store.search(q, k).hits] for q in questions]


def _purge(url: str, docs: Batch, rows: Sequence[int]):
    ids = [docs.passages[i].id for i in rows]
    with open_store(url, writable=True) as store:
        store.delete(ids)
    return ChromaPurge().purge(url, ids)


def _check_sound(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "chroma.sqlite3")) as database:
        assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
        table = "embedding_fulltext_search"
        database.execute(f"insert into {table} ({table}) values ('integrity-check')")


def test_the_recipe_is_registered_and_offers_all_that_a_recipe_must() -> None:
    recipe = build(Spec("recipe", "chroma"))
    assert isinstance(recipe, Recipe)
    assert recipe.describe("chroma:x#y")["store"] == "chroma"


@pytest.mark.parametrize("share", ["one row", "5%", "50%"])
@pytest.mark.parametrize("n", [200, 2000])
def test_nothing_is_left_in_any_file_and_live_rows_are_identical(tmp_path, n, share) -> None:
    docs = _docs(n)
    gone = _gone(n, share)
    docs = _with_long_text(docs, gone[0])
    url = f"chroma:{tmp_path}/db#docs"
    create_chroma(tmp_path / "db", "docs", docs).close()
    ids = [docs.passages[i].id for i in gone]
    with open_store(url, writable=True) as store:
        store.delete(ids)
    before = _read(url)
    looked_for = gone[:: -(-len(gone) // 40)]  # each search reads every byte of every file
    found = _left(tmp_path / "db", docs, looked_for)
    # The search does find what is there; Chroma may have written over a few by itself.
    assert found["texts"] >= 0.9 * len(looked_for)
    assert found["vectors"] >= 0.9 * len(looked_for)
    purged = ChromaPurge().purge(url, ids)
    assert purged.how == "in place"
    assert purged.n_bytes_written > 0
    nothing = {"texts": 0, "vectors": 0, "ids": 0, "metadata": 0}
    assert _left(tmp_path / "db", docs, looked_for) == nothing
    assert ChromaPurge().purge(url, ids).how == "nothing"
    assert _read(url) == before
    assert _left(tmp_path / "db", docs, looked_for) == nothing  # nor after Chroma opened it
    _check_sound(tmp_path / "db")


@pytest.mark.parametrize(
    "space", ["cosine", *(pytest.param(s, marks=pytest.mark.slow) for s in ("l2", "ip"))]
)
def test_chroma_adds_saves_deletes_and_is_purged_again(tmp_path, space) -> None:
    docs, more = _docs(1500), _docs(1300, seed=1, start=5000)
    url = f"chroma:{tmp_path}/db#docs"
    create_chroma(tmp_path / "db", "docs", docs, space=space).close()
    first, second = [3, 700, 1499], [4, 701]
    _purge(url, docs, first)
    with open_store(url, writable=True) as store:
        store.add(more)  # more than Chroma's sync_threshold: it saves its index
        store.add(Batch(docs.passages[3:4], docs.vectors[3:4] * 2))  # an id comes back
    _purge(url, docs, second)
    _purge(url, more, [0, 1299])
    nothing = {"texts": 0, "vectors": 0, "ids": 0, "metadata": 0}
    assert _left(tmp_path / "db", docs, [4, 700, 701, 1499]) == nothing
    assert _left(tmp_path / "db", more, [0, 1299]) == nothing
    live = {p.id for i, p in enumerate(docs.passages) if i not in (700, 1499, 4, 701)}
    live |= {p.id for p in more.passages[1:-1]}
    passages, _ = _read(url)
    assert {p.id for p in passages} == live
    with open_store(url) as store:
        assert {hit.id for hit in store.search(docs.vectors[0], len(live)).hits} == live
    _check_sound(tmp_path / "db")


def test_answers_stay_the_same_in_all_but_a_few_and_get_no_worse(tmp_path) -> None:
    docs = _docs(2000)
    url = f"chroma:{tmp_path}/db#docs"
    create_chroma(tmp_path / "db", "docs", docs).close()
    gone = _gone(2000, "5%")
    with open_store(url, writable=True) as store:
        store.delete(docs.passages[i].id for i in gone)
    questions = np.vstack([docs.vectors[gone], docs.vectors[:100]]) + np.float32(0.1)
    before = _answers(url, questions)
    ChromaPurge().purge(url, [])
    after = _answers(url, questions)
    live = [i for i in range(2000) if i not in set(gone)]
    unit = docs.vectors / np.linalg.norm(docs.vectors, axis=1, keepdims=True)
    nearest = [
        {docs.passages[live[i]].id for i in np.argsort(-(unit[live] @ q))[:10]} for q in questions
    ]
    recall = [
        np.mean([len(set(a) & b) for a, b in zip(found, nearest, strict=True)])
        for found in (before, after)
    ]
    assert recall[1] >= recall[0] - 0.02
    assert np.mean([a == b for a, b in zip(before, after, strict=True)]) > 0.95


def test_other_collections_metadata_and_configuration_are_untouched(tmp_path) -> None:
    import chromadb

    docs, other = _docs(1200), _docs(1200, seed=2)
    url = f"chroma:{tmp_path}/db#docs"
    with chromadb.PersistentClient(str(tmp_path / "db")) as client:
        client.create_collection(
            "docs",
            embedding_function=None,
            metadata={"owner": "library"},
            configuration={"hnsw": {"space": "l2", "max_neighbors": 20}},
        )
    create_chroma(tmp_path / "db", "other", other).close()
    with open_store(url, writable=True) as store:
        store.add(docs)

    def settings() -> list[object]:
        with closing(sqlite3.connect(tmp_path / "db" / "chroma.sqlite3")) as database:
            return [
                database.execute(f"select * from {table} order by 1, 2").fetchall()
                for table in ("collections", "collection_metadata", "segments", "databases")
            ]

    before = settings(), _read(f"chroma:{tmp_path}/db#other")
    _purge(url, docs, [1, 1100])
    assert (settings(), _read(f"chroma:{tmp_path}/db#other")) == before


def test_what_deleted_collections_left_goes_and_is_reported(tmp_path) -> None:
    import chromadb

    docs, old = _docs(300), _docs(1200, seed=3, start=7000)
    url = f"chroma:{tmp_path}/db#docs"
    create_chroma(tmp_path / "db", "old", old).close()
    create_chroma(tmp_path / "db", "docs", docs).close()
    with chromadb.PersistentClient(str(tmp_path / "db")) as client:
        client.delete_collection("old")
    keep = tmp_path / "db" / "00000000-0000-4000-8000-000000000000"
    keep.mkdir()
    (keep / "notes.txt").write_text("not Chroma's")
    assert _left(tmp_path / "db", old, range(0, 1200, 20))["vectors"] > 50
    purged = ChromaPurge().purge(url, [])
    assert "index folders of deleted collections, removed: 1" in purged.notes
    assert set(_left(tmp_path / "db", old, range(0, 1200, 20)).values()) == {0}
    assert (keep / "notes.txt").read_text() == "not Chroma's"


def test_an_id_that_came_back_keeps_its_new_row_only(tmp_path) -> None:
    docs = _docs(1100)
    url = f"chroma:{tmp_path}/db#docs"
    create_chroma(tmp_path / "db", "docs", docs).close()
    new = Batch((Passage("doc-00005", "another text altogether"),), -docs.vectors[5:6])
    with open_store(url, writable=True) as store:
        store.delete(["doc-00005"])
        store.add(new)
    ChromaPurge().purge(url, [])
    found = _left(tmp_path / "db", docs, [5])
    assert (found["texts"], found["vectors"], found["metadata"]) == (0, 0, 0)
    with open_store(url) as store:
        batch = store.get(["doc-00005"])
        assert store.search(new.vectors[0], 1).hits[0].id == "doc-00005"
    assert batch.passages == new.passages
    np.testing.assert_allclose(batch.vectors, new.vectors, rtol=1e-6)


def test_rows_that_were_not_deleted_before_are_deleted_by_the_purge(tmp_path) -> None:
    docs = _docs(1100)
    url = f"chroma:{tmp_path}/db#docs"
    create_chroma(tmp_path / "db", "docs", docs).close()
    ChromaPurge().purge(url, ["doc-00007", "doc-01099", "no such row"])
    assert set(_left(tmp_path / "db", docs, [7, 1099]).values()) == {0}
    assert len(_read(url)[0]) == 1098


def test_a_store_in_wal_mode_is_purged_with_its_log(tmp_path) -> None:
    docs = _docs(300)
    url = f"chroma:{tmp_path}/db#docs"
    create_chroma(tmp_path / "db", "docs", docs).close()
    with closing(sqlite3.connect(tmp_path / "db" / "chroma.sqlite3")) as database:
        database.execute("pragma journal_mode = wal")
    _purge(url, docs, [8])
    assert set(_left(tmp_path / "db", docs, [8]).values()) == {0}
    assert len(_read(url)[0]) == 299


def test_a_store_in_use_is_refused_and_named(tmp_path) -> None:
    docs = _docs(20)
    url = f"chroma:{tmp_path}/db#docs"
    create_chroma(tmp_path / "db", "docs", docs).close()
    with open_store(url) as store:
        assert store.count() == 20
        with pytest.raises(StoreError, match="this process has the database open itself"):
            ChromaPurge().purge(url, ["doc-00001"])
    script = f"from ragshield import open_store; s = open_store({url!r}); s.count(); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", script + "; s.close()"], stdin=subprocess.PIPE, text=True
    )
    try:
        while not holders(tmp_path / "db"):
            assert other.poll() is None
        with pytest.raises(StoreError, match=f"process {other.pid} has this database open"):
            ChromaPurge().purge(url, ["doc-00001"])
    finally:
        other.communicate("\n", timeout=20)
    assert len(_read(url)[0]) == 20


def test_what_cannot_be_purged_is_one_clear_error(tmp_path, monkeypatch) -> None:
    docs = _docs(1100)
    url = f"chroma:{tmp_path}/db#docs"
    with pytest.raises(StoreError, match="there is no folder"):
        ChromaPurge().purge(url, [])
    create_chroma(tmp_path / "db", "docs", docs).close()
    with pytest.raises(StoreError, match="no collection 'dogs'"):
        ChromaPurge().purge(f"chroma:{tmp_path}/db#dogs", [])
    with pytest.raises(UsageError, match="names no folder"):
        ChromaPurge().purge("chroma:", [])
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)
        with pytest.raises(StoreError, match="no permission to change"):
            ChromaPurge().purge(url, [])
    (folder,) = [f for f in (tmp_path / "db").iterdir() if f.is_dir()]
    header = folder / "header.bin"
    whole = header.read_bytes()
    for broken in (whole[:50], b"\xff" * 100):
        header.write_bytes(broken)
        with pytest.raises(StoreError, match="index is damaged"):
            ChromaPurge().purge(url, [])
    header.write_bytes(whole)
    with pytest.raises(IncompleteError, match="disk"):
        _purge_on_full_disk(url, monkeypatch)
    assert len(_read(url)[0]) == 1099  # the row was deleted first
    ChromaPurge().purge(url, ["doc-00002"])
    assert set(_left(tmp_path / "db", docs, [2]).values()) == {0}


def _purge_on_full_disk(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on disk")

    with monkeypatch.context() as patch:
        patch.setattr("ragshield.stores.chroma_purge_log.pwrite", full)
        ChromaPurge().purge(url, ["doc-00002"])
