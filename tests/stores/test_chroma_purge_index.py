from __future__ import annotations

import json
import os
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import StoreError
from ragshield.records import Batch, Passage
from ragshield.stores.chroma import create_chroma
from ragshield.stores.chroma_purge import ChromaPurge
from ragshield.stores.chroma_purge_index import open_graph, stand_ins

DIM = 12


def _docs(n: int) -> Batch:
    rng = np.random.default_rng(2)
    passages = tuple(
        Passage(f"doc-{i}", f'row\t{i}: "{rng.bytes(25).hex()}"', None, {"n": i}) for i in range(n)
    )
    return Batch(passages, rng.standard_normal((n, DIM)).astype(np.float32))


def _make(tmp_path: Path, n: int, gone: list[int], space: str = "cosine") -> tuple[str, Path]:
    docs = _docs(n)
    with create_chroma(tmp_path / "db", "docs", docs, space=space) as store:  # type: ignore[arg-type]
        store.delete([f"doc-{i}" for i in gone])
    (folder,) = [f for f in (tmp_path / "db").iterdir() if f.is_dir()]
    return f"chroma:{tmp_path}/db#docs", folder


def test_a_dead_row_stands_where_its_live_neighbours_are_at_their_length(tmp_path) -> None:
    _, folder = _make(tmp_path, 1200, [], space="l2")
    graph = open_graph(folder, "here")
    assert graph is not None
    dead = np.array([5, 700])
    found = stand_ins(graph, dead)
    for row, vector in zip(dead, found, strict=True):
        links = graph.rows["links"][row][: graph.rows["n_links"][row]]
        around = graph.rows["vector"][[i for i in links if i not in dead]]
        direction = around.mean(axis=0) / np.linalg.norm(around.mean(axis=0))
        length = np.linalg.norm(around, axis=1).mean()
        np.testing.assert_allclose(vector, direction * length, rtol=1e-4)


def test_rows_without_live_neighbours_take_after_placed_ones_and_else_are_zero(tmp_path) -> None:
    _, folder = _make(tmp_path, 1200, [])
    graph = open_graph(folder, "here")
    assert graph is not None
    everything = np.arange(len(graph.rows))
    assert not stand_ins(graph, everything).any()
    but_one = everything[everything != 9]
    found = stand_ins(graph, but_one)
    alone = np.asarray(graph.rows["vector"][9])
    np.testing.assert_allclose(found, np.broadcast_to(alone, found.shape), rtol=1e-3, atol=1e-5)


def test_a_neighbour_that_goes_later_leaves_nothing_in_earlier_stand_ins(tmp_path) -> None:
    url, folder = _make(tmp_path, 1200, [5])
    ChromaPurge().purge(url, [])
    graph = open_graph(folder, url)
    assert graph is not None
    maps = pickle.loads((folder / "index_metadata.pickle").read_bytes())
    (nameless,) = [i for i in maps["id_to_label"] if i.startswith("erased-")]
    row = int(np.flatnonzero(graph.rows["label"] == maps["id_to_label"][nameless])[0])
    first = np.array(graph.rows["vector"][row])
    near = graph.rows["links"][row][: graph.rows["n_links"][row]]
    ids = [maps["label_to_id"][int(label)] for label in graph.rows["label"][near[:4]]]
    ChromaPurge().purge(url, ids)
    graph = open_graph(folder, url)
    assert graph is not None
    rest = graph.rows["vector"][near[4:]].mean(axis=0)
    second = graph.rows["vector"][row]
    assert not np.allclose(first, second, atol=1e-3)
    assert second @ rest / np.linalg.norm(rest) == pytest.approx(np.linalg.norm(second), rel=1e-3)


def test_maps_that_would_run_code_are_refused_and_not_run(tmp_path) -> None:
    url, folder = _make(tmp_path, 1200, [5])

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/ran",)

    before = (folder / "data_level0.bin").read_bytes()
    (folder / "index_metadata.pickle").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(StoreError, match="damaged or not plain data"):
        ChromaPurge().purge(url, [])
    assert not (tmp_path / "ran").exists()
    assert (folder / "data_level0.bin").read_bytes() == before


def test_links_to_nowhere_are_damage_and_nothing_is_changed(tmp_path) -> None:
    url, folder = _make(tmp_path, 1200, [5])
    file = folder / "data_level0.bin"
    content = bytearray(file.read_bytes())
    content[4:8] = b"\xff\xff\xff\x7f"
    file.write_bytes(content)
    with pytest.raises(StoreError, match="links to nowhere; the index is damaged"):
        ChromaPurge().purge(url, [])
    assert file.read_bytes() == content


def test_changes_that_chroma_only_logged_are_applied_first(tmp_path) -> None:
    url, _ = _make(tmp_path, 1200, [5])
    vector = np.arange(DIM, dtype=np.float32)
    with closing(sqlite3.connect(tmp_path / "db" / "chroma.sqlite3")) as database, database:
        (topic,) = database.execute("select distinct topic from embeddings_queue").fetchone()
        database.execute(
            "insert into embeddings_queue (operation, topic, id, vector, encoding, metadata) "
            "values (0, ?, 'late', ?, 'FLOAT32', ?)",
            (topic, vector.tobytes(), json.dumps({"chroma:document": "a late row"})),
        )
    ChromaPurge().purge(url, ["doc-6"])
    with open_store(url) as store:
        assert store.count() == 1199
        assert store.get(["late", "doc-6"]).passages == (Passage("late", "a late row"),)
        assert store.search(vector, 1).hits[0].id == "late"


def test_an_emptied_collection_holds_nothing_and_can_be_filled_again(tmp_path) -> None:
    for n in (200, 1200):
        url, folder = _make(tmp_path / str(n), n, list(range(n)))
        assert any("the collection is empty" in n for n in ChromaPurge().purge(url, []).notes)
        everything = b"".join(p.read_bytes() for p in folder.parent.rglob("*") if p.is_file())
        docs = _docs(n)
        for i in (0, n // 2, n - 1):
            assert docs.vectors[i].tobytes() not in everything
            assert docs.passages[i].text[-28:].encode() not in everything
        with open_store(url, writable=True) as store:
            assert store.count() == 0
            store.add(docs)
            assert store.count() == n
            assert len(store.search(docs.vectors[0], n).hits) == n


def test_surfaces_show_what_formats_hide_before_and_nothing_afterwards(tmp_path) -> None:
    url, _ = _make(tmp_path, 1100, [])
    with open_store(url, writable=True) as store:
        store.add(Batch((Passage("late", 'says\t"so"'),), np.full((1, DIM), 3.3, np.float32)))
        given = store.get(["doc-5", "late"]).vectors
        store.delete(["doc-5", "late"])
    recipe = ChromaPurge()

    def seen() -> dict[str, bytes]:
        return {s.name.split("/")[-1]: b"".join(s.blocks()) for s in recipe.surfaces(url)}

    before = seen()
    rows, log = "data_level0.bin, vectors as given", "chroma.sqlite3, table embeddings_queue"
    assert given is not None
    assert given[0].tobytes() in before[rows]
    assert given[1].tobytes() in before[f"{log}, vectors"]
    assert b'says\t"so"\n' in before[f"{log}, texts"]
    assert b'says\\t\\"so\\"' in before["chroma.sqlite3"]  # why the log is decoded
    assert [s.n_bytes for s in recipe.surfaces(url) if s.kind == "file"] == [
        path.stat().st_size for path in recipe.files(url)
    ]
    recipe.purge(url, ["doc-5", "late"])
    after = seen()
    assert given[0].tobytes() not in after[rows]
    assert given[1].tobytes() not in after[f"{log}, vectors"]
    assert b"says" not in after[f"{log}, texts"]
    assert set(after) == set(before)


def test_forms_are_the_bytes_that_chroma_keeps(tmp_path) -> None:
    docs = _docs(1100)
    for space, form in (("l2", 0), ("cosine", 1)):
        _, folder = _make(tmp_path / space, 1100, [], space=space)
        content = (folder / "data_level0.bin").read_bytes()
        forms = ChromaPurge().forms(docs.vectors)
        assert all(row.tobytes() in content for row in forms[form][:1000:50])


def test_the_cost_is_told_without_changing_anything(tmp_path) -> None:
    url, _ = _make(tmp_path, 1200, [5])
    before = {path: path.read_bytes() for path in ChromaPurge().files(url)}
    cost = ChromaPurge().cost(url, 1)
    assert cost.how.startswith("in place")
    assert 0 < cost.seconds < 5
    assert 0 < cost.disk_bytes < 3 * sum(map(len, before.values()))
    assert {path: path.read_bytes() for path in ChromaPurge().files(url)} == before
