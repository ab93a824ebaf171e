"""FAISS stores as LangChain saves them, as others make them, and half-deleted ones."""

from __future__ import annotations

import datetime
import json
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from light_stores import bytes_left, contents, docs, make, ranking

from ragshield import open_store
from ragshield.errors import InputError, StoreError, UsageError
from ragshield.records import Batch, Passage
from ragshield.stores.faiss import create_faiss
from ragshield.stores.faiss_files import pair_of
from ragshield.stores.faiss_index import without
from ragshield.stores.faiss_purge import FaissPurge

faiss = pytest.importorskip("faiss", reason="faiss is not installed")


@pytest.fixture
def docstore(monkeypatch) -> Any:
    """LangChain's InMemoryDocstore, or what its source (0.4.2) says it is."""
    try:
        from langchain_community.docstore.in_memory import InMemoryDocstore

        return InMemoryDocstore
    except ImportError:
        pass
    place = "langchain_community.docstore.in_memory"

    class InMemoryDocstore:
        def __init__(self, _dict: dict[str, Document] | None = None) -> None:
            self._dict = _dict if _dict is not None else {}

    InMemoryDocstore.__module__, InMemoryDocstore.__qualname__ = place, "InMemoryDocstore"
    for name in ("langchain_community", "langchain_community.docstore", place):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setattr(sys.modules[place], "InMemoryDocstore", InMemoryDocstore, raising=False)
    return InMemoryDocstore


def saved(folder: Path, docstore: Any, batch: Batch, kind: str = "Flat") -> str:
    """As `FAISS.save_local` does it, line by line."""
    folder.mkdir(exist_ok=True)
    documents = {
        p.id: Document(id=p.id, page_content=p.text, metadata={**p.meta, "source": p.source})
        for p in batch.passages
    }
    index = faiss.index_factory(batch.vectors.shape[1], kind)
    index.train(batch.vectors)
    index.add(batch.vectors)
    faiss.write_index(index, str(folder / "index.faiss"))
    with (folder / "index.pkl").open("wb") as file:
        pickle.dump((docstore(documents), dict(enumerate(documents))), file)
    return f"faiss:{folder}"


def loaded(folder: Path) -> tuple[Any, Any, dict[int, str]]:
    """As `FAISS.load_local` does it."""
    with (folder / "index.pkl").open("rb") as file:
        store, names = pickle.load(file)
    return faiss.read_index(str(folder / "index.faiss")), store, names


@pytest.mark.parametrize("kind", ["Flat", "HNSW8", "IVF4,Flat"])
def test_langchain_reads_what_is_left_as_if_it_had_saved_it(kind, docstore, tmp_path) -> None:
    batch = docs(60)
    url = saved(tmp_path, docstore, batch, kind)
    gone = ["doc-00003", "doc-00040"]
    FaissPurge().purge(url, gone)
    index, store, names = loaded(tmp_path)
    assert type(store) is docstore
    live = [p for p in batch.passages if p.id not in gone]
    assert store._dict == {
        p.id: Document(id=p.id, page_content=p.text, metadata={**p.meta, "source": p.source})
        for p in live
    }
    assert names == {i: p.id for i, p in enumerate(live)}
    assert index.ntotal == 58
    if kind.startswith("IVF"):
        index.nprobe = 4
    for row in (0, 2, 20, 57):  # each vector finds its own document, as LangChain looks it up
        vector = batch.vectors[[p.id for p in batch.passages].index(live[row].id)]
        _, found = index.search(vector.reshape(1, -1), 1)
        assert store._dict[names[int(found[0][0])]].page_content == live[row].text


def test_what_ragshield_adds_and_makes_is_langchains(docstore, tmp_path) -> None:
    batch = docs(10)
    create_faiss(tmp_path, Batch(batch.passages[:6], batch.vectors[:6])).close()
    with open_store(f"faiss:{tmp_path}", writable=True) as store:
        store.add(Batch(batch.passages[6:], batch.vectors[6:]))
    index, made, names = loaded(tmp_path)
    assert type(made) is docstore
    assert made._dict["doc-00008"] == Document(
        id="doc-00008", page_content=batch.passages[8].text, metadata={"n": 8, "source": "s8"}
    )
    assert isinstance(made._dict["doc-00001"].model_dump(), dict)
    assert names == {i: p.id for i, p in enumerate(batch.passages)}
    assert index.ntotal == 10


def test_values_that_are_no_text_or_number_stay_as_they_are_in_the_file(docstore, tmp_path):
    batch = docs(4)
    url = saved(tmp_path, docstore, batch)
    index, store, names = loaded(tmp_path)
    when = datetime.datetime(2024, 5, 6, 7)
    store._dict["doc-00002"].metadata.update(when=when, deep={"a": [1]}, path=Path("/x"))
    with (tmp_path / "index.pkl").open("wb") as file:
        pickle.dump((store, names), file)
    with open_store(url, writable=True) as opened:
        (passage,) = opened.get(["doc-00002"]).passages
        assert passage.meta == {"n": 2, "when": "2024-05-06 07:00:00", "deep": {"a": [1]}}
        assert opened.delete(["doc-00000"]) == 1
    assert loaded(tmp_path)[1]._dict["doc-00002"].metadata["when"] == when
    assert loaded(tmp_path)[1]._dict["doc-00002"].metadata["path"] == Path("/x")
    del index


class Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("it ran",)


def test_a_hostile_docstore_is_refused_and_not_run(docstore, tmp_path, capsys) -> None:
    url = saved(tmp_path, docstore, docs(3))
    with (tmp_path / "index.pkl").open("wb") as file:
        pickle.dump((Runs(), {0: "doc-00000"}), file)
    with pytest.raises(StoreError, match="is not what LangChain's FAISS saves"):
        open_store(url)
    with (tmp_path / "index.pkl").open("wb") as file:
        pickle.dump((docstore({"a": Runs()}), {0: "a"}), file)
    with pytest.raises(InputError, match="document 'a' is none of LangChain's"):
        open_store(url)
    assert capsys.readouterr().out == ""


def test_vectors_and_documents_that_lost_each_other(docstore, tmp_path) -> None:
    batch = docs(30)
    url = saved(tmp_path, docstore, batch, "HNSW8")
    index, store, names = loaded(tmp_path)
    del store._dict["doc-00004"]  # the vector stays, and its name
    del names[5]  # the vector stays, and the document
    with (tmp_path / "index.pkl").open("wb") as file:
        pickle.dump((store, names), file)
    with open_store(url) as opened:
        assert opened.count() == 28
        assert opened.get(["doc-00004", "doc-00005"]).passages == ()
        found = opened.search(batch.vectors[4], 28).hits
        assert {"doc-00004", "doc-00005"}.isdisjoint(hit.id for hit in found)
    done = FaissPurge().purge(url, ["doc-00004"])
    assert "2 vectors belonged to no passage; taken out" in done.notes
    assert "1 passages have no vector, so no search finds them; they were left" in done.notes
    assert bytes_left(tmp_path, Batch(batch.passages[4:5], batch.vectors[4:5]), ["doc-00004"]) == 0
    index, store, names = loaded(tmp_path)
    assert index.ntotal == len(names) == 28
    assert "doc-00005" in store._dict
    FaissPurge().purge(url, ["doc-00005"])
    assert "doc-00005" not in loaded(tmp_path)[1]._dict


def test_an_hnsw_graph_that_loses_much_is_the_one_that_an_index_of_the_rest_has(tmp_path) -> None:
    batch = docs(400)
    gone = [p.id for p in batch.passages[::3]]
    url = make("faiss-hnsw", tmp_path, batch)
    FaissPurge().purge(url, gone)
    index = faiss.read_index(str(tmp_path / "index.faiss"))
    fresh = faiss.IndexHNSWFlat(32, 16)
    fresh.add(batch.vectors[[i for i in range(400) if i % 3]])
    assert (index.hnsw.nb_neighbors(1), index.hnsw.efConstruction) == (16, 40)
    # The same but for how many threads linked it.
    assert faiss.vector_to_array(index.hnsw.levels).tolist() == (
        faiss.vector_to_array(fresh.hnsw.levels).tolist()
    )
    _, found = index.search(batch.vectors[:50], 10)
    _, expected = fresh.search(batch.vectors[:50], 10)
    same = [len(set(a) & set(b)) / 10 for a, b in zip(found, expected, strict=True)]
    assert np.mean(same) > 0.95


@pytest.mark.parametrize("metric", [faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT])
@pytest.mark.parametrize("n_gone", [1, 20, 200])
def test_a_mended_graph_finds_live_rows_as_well_as_one_built_anew(n_gone, metric) -> None:
    batch = docs(1000)
    rng = np.random.default_rng(n_gone)
    index = faiss.IndexHNSWFlat(32, 8, metric)
    index.add(batch.vectors)
    entry = index.hnsw.entry_point
    gone = np.unique([entry, *rng.choice(1000, n_gone - 1, replace=False)])
    live = np.setdiff1d(np.arange(1000), gone)
    mended = without(index, gone.astype(np.int64), "faiss:test")
    assert mended.ntotal == len(live)
    links = faiss.vector_to_array(mended.hnsw.neighbors)
    starts = faiss.vector_to_array(mended.hnsw.offsets).astype(int)
    assert links.max() < len(live)
    assert starts[-1] == len(links)
    assert len(starts) == len(live) + 1
    np.testing.assert_array_equal(mended.reconstruct_n(0, len(live)), batch.vectors[live])

    fresh, exact = faiss.IndexHNSWFlat(32, 8, metric), faiss.IndexFlat(32, metric)
    fresh.add(batch.vectors[live])
    exact.add(batch.vectors[live])
    for one in (mended, fresh):
        one.hnsw.efSearch = 64
    found, anew, true = (i.search(batch.vectors, 10)[1] for i in (mended, fresh, exact))
    recall = [
        np.mean([len(set(a) & set(b)) / 10 for a, b in zip(f, true, strict=True)])
        for f in (found, anew)
    ]
    assert recall[0] > recall[1] - 0.02
    assert recall[0] > 0.9
    mended.add(batch.vectors[gone])  # and it can grow again
    assert mended.search(batch.vectors[gone[:1]], 1)[1][0][0] == len(live)
    assert set(range(len(live))) <= reached(mended)


def reached(index: Any) -> set[int]:
    """Nodes that a walk over the lowest level's links from the entry point comes to."""
    links = faiss.vector_to_array(index.hnsw.neighbors)
    starts = faiss.vector_to_array(index.hnsw.offsets).astype(int)
    width = index.hnsw.nb_neighbors(0)
    seen, front = {int(index.hnsw.entry_point)}, [int(index.hnsw.entry_point)]
    while front:
        row = links[starts[(node := front.pop())] : starts[node] + width]
        new = {int(i) for i in row if i >= 0} - seen
        seen |= new
        front += new
    return seen


def test_labels_of_its_own_are_kept(tmp_path) -> None:
    batch = docs(20)
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(32))
    index.add_with_ids(batch.vectors, np.arange(20, dtype=np.int64) * 7 + 100)
    faiss.write_index(index, str(tmp_path / "kb.faiss"))
    lines = [
        json.dumps({"id": p.id, "text": p.text, "own": i}) for i, p in enumerate(batch.passages)
    ]
    (tmp_path / "kb.jsonl").write_text("\n".join(lines))
    url = f"faiss:{tmp_path}#kb"
    with open_store(url, writable=True) as store:
        assert store.search(batch.vectors[3], 1).hits[0].id == "doc-00003"
        assert store.delete(["doc-00000", "doc-00003"]) == 2
        assert store.search(batch.vectors[4], 1).hits[0].id == "doc-00004"
        store.add(Batch((Passage("new", "x"),), -batch.vectors[:1]))
        assert store.search(-batch.vectors[0], 1).hits[0].id == "new"
    index = faiss.read_index(str(tmp_path / "kb.faiss"))
    labels = [100 + 7 * i for i in range(20) if i not in (0, 3)]
    assert faiss.vector_to_array(index.id_map).tolist() == [*labels, 234]
    assert (tmp_path / "kb.jsonl").read_text().splitlines() == [
        *(line for i, line in enumerate(lines) if i not in (0, 3)),
        '{"id": "new", "text": "x"}',
    ]


def test_a_program_that_saved_after_a_killed_purge_keeps_what_it_saved(docstore, tmp_path):
    """The pair that the purge had ready is older than what lies there now."""
    from ragshield.stores import faiss_files

    url = saved(tmp_path, docstore, docs(20))
    pair = pair_of(url)
    done = faiss_files.finish
    try:
        faiss_files.finish = lambda _: True  # killed just before the renames
        with open_store(url, writable=True) as store:
            store.delete(["doc-00001"])
    finally:
        faiss_files.finish = done
    assert pair.marker.exists()
    assert "doc-00001" not in contents(url)  # readers go on to the new pair
    saved(tmp_path, docstore, docs(21))
    assert "doc-00020" in contents(url)
    FaissPurge().purge(url, [])
    assert len(contents(url)) == 21
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.faiss", "index.pkl"]


@pytest.mark.parametrize("kind", ["PQ4x4", "SQ8", "IVF4,SQ8", "LSH", "PCA8,Flat"])
def test_an_index_that_packs_its_vectors_is_refused(kind, docstore, tmp_path) -> None:
    batch = docs(300)
    url = saved(tmp_path, docstore, batch, kind)
    with pytest.raises(StoreError, match="cannot be read back one by one; Flat, IVF-Flat and HNSW"):
        open_store(url)


def test_says_what_is_missing_or_damaged(docstore, tmp_path) -> None:
    url = saved(tmp_path / "a", docstore, docs(3))
    (tmp_path / "empty").mkdir()
    for place, error, message in [
        ("faiss:", UsageError, "names no folder"),
        (f"faiss:{tmp_path}/none", StoreError, "there is no folder"),
        (f"faiss:{tmp_path}/empty", StoreError, r"no index.faiss \(there are: none\)"),
        (f"{url}#other", StoreError, "no index 'other'"),
    ]:
        with pytest.raises(error, match=message):
            open_store(place)
    (tmp_path / "a" / "index.faiss").write_bytes(b"IxF2 but no index")
    with pytest.raises(StoreError, match=r"index\.faiss is damaged or no FAISS index"):
        open_store(url)
    (tmp_path / "a" / "index.pkl").unlink()
    with pytest.raises(StoreError, match="no passages 'index'"):
        open_store(url)


def test_vectors_without_a_direction_are_never_found(docstore, tmp_path) -> None:
    batch = docs(5)
    vectors = batch.vectors.copy()
    vectors[1] = 0
    vectors[2, 3] = np.nan
    url = saved(tmp_path, docstore, Batch(batch.passages, vectors))
    with open_store(url) as store:
        hits = store.search(batch.vectors[0], 5).hits
        assert sorted(hit.id for hit in hits) == ["doc-00000", "doc-00003", "doc-00004"]


def test_a_new_store_is_not_written_over_another(tmp_path) -> None:
    create_faiss(tmp_path, docs(3)).close()
    with pytest.raises(StoreError, match="exists already"):
        create_faiss(tmp_path, docs(4))
    with pytest.raises(UsageError, match="no index 'Flatt'"):
        create_faiss(tmp_path, docs(4), kind="Flatt", replace=True)
    create_faiss(tmp_path, docs(4), replace=True).close()
    assert len(ranking(f"faiss:{tmp_path}", 10)[0]) == 4
