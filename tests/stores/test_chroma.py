from __future__ import annotations

import math
import os
import sqlite3
import uuid

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import InputError, StoreError, UsageError
from ragshield.records import Batch, Passage
from ragshield.stores.chroma import create_chroma


def _batch(n: int = 10, dim: int = 8, scale: float = 1.0) -> Batch:
    rows = np.random.default_rng(0).standard_normal((n, dim)) * scale
    return Batch(tuple(Passage(f"p{i}", f"text {i}") for i in range(n)), rows.astype(np.float32))


def test_a_missing_or_foreign_folder_is_named_and_nothing_is_made(tmp_path) -> None:
    with pytest.raises(StoreError, match="there is no folder"):
        open_store(f"chroma:{tmp_path}/none#docs")
    with pytest.raises(StoreError, match=r"holds no chroma\.sqlite3"):
        open_store(f"chroma:{tmp_path}#docs", writable=True)
    with pytest.raises(UsageError, match="names no folder"):
        open_store("chroma:#docs")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no database at all" * 100, "damaged or no database"),
        (b"", "not one of Chroma's"),
        (b"SQLite format 3\x00" + b"\xff" * 5000, "damaged or no database"),
    ],
)
def test_a_damaged_database_is_one_clear_error_and_stays_as_it_is(
    tmp_path, content, message
) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(content)
    with pytest.raises(StoreError, match=message):
        open_store(f"chroma:{tmp_path}#docs")
    assert (tmp_path / "chroma.sqlite3").read_bytes() == content


def test_a_foreign_database_and_a_cut_off_one_are_refused(tmp_path) -> None:
    with sqlite3.connect(tmp_path / "chroma.sqlite3") as database:
        database.execute("create table t (a)")
    database.close()
    with pytest.raises(StoreError, match="not one of Chroma's"):
        open_store(f"chroma:{tmp_path}#docs")
    create_chroma(tmp_path / "db", "docs", _batch()).close()
    file = tmp_path / "db" / "chroma.sqlite3"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(StoreError, match="chroma:"), open_store(f"chroma:{tmp_path}/db#docs") as s:
        list(s.batches())


def test_an_unknown_or_unnamed_collection_lists_those_there_are(tmp_path) -> None:
    create_chroma(tmp_path / "db", "docs", _batch()).close()
    create_chroma(tmp_path / "db", "more", _batch()).close()
    with pytest.raises(StoreError, match=r"'doc'; did you mean 'docs'\? \(there are: docs, more\)"):
        open_store(f"chroma:{tmp_path}/db#doc")
    for url in (f"chroma:{tmp_path}/db", f"chroma:{tmp_path}/db#"):
        with pytest.raises(StoreError, match=r"add #NAME \(there are: docs, more\)"):
            open_store(url)


def test_creating_needs_replace_to_overwrite_and_persists_no_function(tmp_path) -> None:
    import chromadb

    create_chroma(tmp_path / "db", "docs", [_batch(4), Batch((), None)]).close()
    with pytest.raises(StoreError, match="exists already; pass replace=True"):
        create_chroma(tmp_path / "db", "docs", _batch(2))
    with create_chroma(tmp_path / "db", "docs", _batch(2), replace=True) as store:
        assert store.count() == 2
    with chromadb.PersistentClient(str(tmp_path / "db")) as client:
        configuration = client.get_collection("docs", embedding_function=None).configuration_json
    assert configuration["embedding_function"] == {"type": "legacy"}
    assert configuration["hnsw"]["space"] == "cosine"
    with pytest.raises(StoreError, match="Expected a name containing 3-512 characters"):
        create_chroma(tmp_path / "db", "a", _batch(2))


@pytest.mark.parametrize("space", ["cosine", "l2", "ip"])
@pytest.mark.parametrize("k", [10, 100, 300])
def test_search_finds_k_of_300_in_every_space(tmp_path, space, k) -> None:
    batch = _batch(300, 64, scale=3.0)
    assert batch.vectors is not None
    batch.vectors[7] = 1e-6  # nearly at the origin: in l2 it draws the whole index to itself
    question = np.random.default_rng(9).standard_normal(64).astype(np.float32)
    with create_chroma(tmp_path / "db", "docs", batch, space=space) as store:
        found = store.search(question, k)
    assert len({hit.id for hit in found.hits}) == k
    products = batch.vectors @ question
    similarity = products / np.linalg.norm(batch.vectors, axis=1) / np.linalg.norm(question)
    nearness = {
        "cosine": similarity,
        "ip": products,
        "l2": -((batch.vectors - question) ** 2).sum(axis=1),
    }[space]
    order = [int(hit.id[1:]) for hit in found.hits]
    assert all(np.diff(nearness[order]) <= 1e-3)
    recall = len(set(order) & set(np.argsort(-nearness)[:k].tolist())) / k
    assert recall >= 0.3  # the index is approximate, most of all in l2, and built by threads
    np.testing.assert_allclose([h.similarity for h in found.hits], similarity[order], atol=1e-5)


def test_vectors_come_back_bit_for_bit_from_an_l2_collection(tmp_path) -> None:
    batch = _batch(1500, 32)
    with create_chroma(tmp_path / "db", "docs", batch, space="l2") as store:
        rows = np.vstack([part.vectors for part in store.batches(700)])
    np.testing.assert_array_equal(rows, batch.vectors)


def test_rows_without_document_or_metadata_and_with_an_odd_source(tmp_path) -> None:
    import chromadb

    with chromadb.PersistentClient(str(tmp_path / "db")) as client:
        collection = client.create_collection("docs", embedding_function=None)
        collection.add(
            ids=["a", "b", "c"],
            embeddings=[[1, 0], [0, 1], [0, 0]],
            documents=None,
            metadatas=[None, {"source": 5, "n": 1}, {"source": "s", "list": [1, 2]}],
        )
    with open_store(f"chroma:{tmp_path}/db#docs") as store:
        (batch,) = store.batches()
        assert batch.passages == (
            Passage("a", ""),
            Passage("b", "", None, {"source": 5, "n": 1}),
            Passage("c", "", "s", {"list": [1, 2]}),
        )
        assert batch.vectors is not None
        assert batch.vectors.tolist() == [[1, 0], [0, 1], [0, 0]]  # zeros are given as stored
        assert store.search(np.array([0, 1], dtype=np.float32), 1).hits[0].id == "b"


@pytest.mark.parametrize(
    ("passage", "message"),
    [
        (Passage("a", "x", None, {"chroma:x": 1}), "begins with 'chroma:'"),
        (Passage("a", "x", None, {"x": math.nan}), "is nan; Chroma cannot hold that"),
        (Passage("a", "x", None, {"x": 2**70}), "64-bit"),
        (Passage("a", "x", None, {"x": {"y": 1}}), "is an object"),  # type: ignore[dict-item]
        (Passage("a", "x", "s", {"source": "t"}), "has a source and also metadata 'source'"),
        (Passage("a\ud800", "x"), "lone surrogate"),
    ],
)
def test_what_chroma_would_change_or_drop_silently_is_refused(tmp_path, passage, message) -> None:
    with create_chroma(tmp_path / "db", "docs", _batch(3)) as store:
        with pytest.raises(InputError, match=message):
            store.add(Batch((passage,), np.ones((1, 8), dtype=np.float32)))
        assert store.count() == 3


def test_a_failure_in_the_middle_of_adding_takes_back_what_was_added(tmp_path, monkeypatch) -> None:
    from chromadb.api.rust import RustBindingsAPI

    from ragshield.stores import chroma_rows

    monkeypatch.setattr(chroma_rows, "_MAX_BYTES", 2000)
    real, calls = RustBindingsAPI._add, []

    def failing(self, *args, **kwargs):
        calls.append(len(kwargs["ids"]))
        if len(calls) == 3:
            raise RuntimeError("disk full")
        return real(self, *args, **kwargs)

    with create_chroma(tmp_path / "db", "docs", _batch(2)) as store:
        monkeypatch.setattr(RustBindingsAPI, "_add", failing)
        more = Batch(tuple(Passage(f"q{i}", "x" * 100) for i in range(30)), _batch(30).vectors)
        with pytest.raises(StoreError, match="Chroma failed: disk full"):
            store.add(more)
        assert calls[0] < 30
        assert store.count() == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_can_be_read(tmp_path) -> None:
    create_chroma(tmp_path / "db", "docs", _batch()).close()
    (tmp_path / "db" / "chroma.sqlite3").chmod(0o444)
    with open_store(f"chroma:{tmp_path}/db#docs") as store:
        assert store.count() == 10


def test_a_closed_store_says_so(tmp_path) -> None:
    store = create_chroma(tmp_path / "db", "docs", _batch())
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.count()


@pytest.mark.parametrize("url", ["chroma+http://:80#docs", "chroma+http://host:port#docs"])
def test_a_malformed_server_address_is_a_usage_error(url) -> None:
    with pytest.raises(UsageError, match="store URL"):
        open_store(url)


def test_an_unreachable_server_is_one_clear_error() -> None:
    with pytest.raises(StoreError, match=r"the server does not answer .*chroma run"):
        open_store("chroma+http://127.0.0.1:9#docs")


@pytest.mark.server
def test_server_collections_are_listed_and_a_replaced_one_is_found_again(chroma_server) -> None:
    name = f"docs-{uuid.uuid4().hex}"
    chroma_server.create(name)
    with pytest.raises(StoreError, match=f"did you mean '{name}'"):
        open_store(chroma_server.url(name[:-1]))
    with open_store(chroma_server.url(name), writable=True) as store:
        store.add(_batch(3))
        import chromadb

        client = chromadb.HttpClient("127.0.0.1", chroma_server.port)
        client.delete_collection(name)
        with pytest.raises(StoreError, match=f"no collection '{name}'"):
            store.count()
        chroma_server.create(name)
        client.close()
        assert store.count() == 0


@pytest.mark.server
def test_a_write_larger_than_a_request_may_be_goes_in_parts(chroma_server) -> None:
    name = f"docs-{uuid.uuid4().hex}"
    chroma_server.create(name)
    texts = tuple(Passage(f"p{i}", "x" * 1_000_000) for i in range(45))
    with open_store(chroma_server.url(name), writable=True) as store:
        store.add(Batch(texts, _batch(45).vectors))
        assert store.count() == 45


@pytest.mark.server
def test_a_server_that_drops_out_is_one_clear_error(own_chroma_server) -> None:
    own_chroma_server.create("docs")
    with open_store(own_chroma_server.url("docs"), writable=True) as store:
        store.add(_batch(30))
        batches = store.batches(10)
        assert len(next(batches)) == 10
        own_chroma_server.stop()
        with pytest.raises(StoreError, match="the server does not answer"):
            next(batches)
        with pytest.raises(StoreError, match="the server does not answer"):
            store.delete(["p1"])
