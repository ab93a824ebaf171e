from __future__ import annotations

import pickle
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import InputError, StoreError, UsageError
from ragshield.records import Batch, Passage

qdrant_client = pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
models = qdrant_client.models


def _client(folder: Path) -> object:
    return qdrant_client.QdrantClient(path=str(folder))


def _create(folder: Path, points: list[object], **vectors: object) -> str:
    client = _client(folder)
    config = vectors or models.VectorParams(size=3, distance=models.Distance.DOT)
    client.create_collection("docs", vectors_config=config)
    client.upsert("docs", points)
    client.close()
    return f"qdrant:{folder}#docs"


def _point(own: object, vector: object, **payload: object) -> object:
    return models.PointStruct(id=own, vector=vector, payload=payload)


def test_reads_what_langchain_writes(tmp_path) -> None:
    own = str(uuid.uuid4())
    metadata = {"source": "a.pdf", "page": 3, "tags": ["x"]}
    url = _create(tmp_path, [_point(own, [1, 2, 3], page_content="snow", metadata=metadata)])
    with open_store(url) as store:
        (batch,) = store.batches()
    assert batch.passages == (Passage(own, "snow", "a.pdf", {"page": 3, "tags": ["x"]}),)
    assert batch.vectors is not None
    assert batch.vectors.tolist() == [[1, 2, 3]]


def test_reads_what_llamaindex_and_others_write(tmp_path) -> None:
    node = '{"id_": "n1", "text": "rain", "metadata": {}}'
    url = _create(tmp_path / "a", [_point(1, [1, 2, 3], _node_content=node, doc_id="d")])
    with open_store(url) as store:
        assert store.get(["1"]).passages == (
            Passage("1", "rain", None, {"_node_content": node, "doc_id": "d"}),
        )
    url = _create(tmp_path / "b", [_point(7, [1, 2, 3], document="hail", source="s", n=2)])
    with open_store(url) as store:
        assert store.get(["7"]).passages == (Passage("7", "hail", "s", {"n": 2}),)


def test_named_vectors_and_named_keys_are_read_as_asked(tmp_path) -> None:
    size = models.VectorParams(size=2, distance=models.Distance.COSINE)
    point = _point(1, {"a": [3.0, 4.0], "b": [1.0, 0.0]}, title="t", words="body text")
    url = _create(tmp_path, [point], a=size, b=size)
    with pytest.raises(StoreError, match=r"several vectors \(a, b\); name one with \?vector=a"):
        open_store(url)
    with open_store(f"{url}?vector=b&text=words") as store:
        (batch,) = store.batches()
    assert batch.passages == (Passage("1", "body text", None, {"title": "t"}),)
    assert batch.vectors is not None
    assert batch.vectors.tolist() == [[1, 0]]
    with pytest.raises(StoreError, match="no key of the payload is recognisable"):
        list(open_store(f"{url}?vector=b").batches())
    with pytest.raises(StoreError, match="no vector 'c'"):
        open_store(f"{url}?vector=c")
    with pytest.raises(UsageError, match="option 'word=x' is not known"):
        open_store(f"{url}?word=x")


def test_qdrant_finds_what_was_added_and_not_what_was_deleted(tmp_path) -> None:
    url = _create(tmp_path, [_point(1, [1, 2, 3], page_content="snow", metadata={})])
    rows = np.array([[3, 2, 1], [0, 0, 9]], dtype=np.float32)
    with open_store(url, writable=True) as store:
        store.add(Batch((Passage("any id", "hail", "s"), Passage("42", "rain")), rows))
        assert store.delete(["1"]) == 1
    client = _client(tmp_path)
    found = client.query_points("docs", query=[0.0, 0.0, 1.0], limit=5, with_vectors=True).points
    assert [(p.payload["page_content"], p.vector) for p in found] == [
        ("rain", [0, 0, 9]),
        ("hail", [3, 2, 1]),
    ]
    assert found[0].id == 42
    client.upsert("docs", [_point(5, [1.0, 1.0, 1.0], page_content="new", metadata={})])
    client.close()
    with open_store(url) as store:
        assert [p.id for b in store.batches() for p in b.passages] == ["any id", "42", "5"]


def test_a_folder_that_a_client_has_open_is_read_and_not_changed(tmp_path) -> None:
    url = _create(tmp_path, [_point(1, [1, 2, 3], text="snow")])
    store = open_store(url, writable=True)
    client = _client(tmp_path)
    try:
        with open_store(url) as reading:
            assert reading.count() == 1
        with pytest.raises(StoreError, match="a Qdrant client has the folder open"):
            open_store(url, writable=True)
        with pytest.raises(StoreError, match="a Qdrant client has the folder open"):
            store.delete(["1"])
    finally:
        client.close()
    assert store.delete(["1"]) == 1


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('ran')",)


def test_a_pickle_that_would_run_code_is_refused_and_reported(tmp_path) -> None:
    url = _create(tmp_path, [_point(1, [1, 2, 3], text="snow")])
    with open_store(url) as store:
        assert store.configuration_findings() == []
    path = tmp_path / "collection" / "docs" / "storage.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("UPDATE points SET point = ?", (pickle.dumps(_Bomb()),))
    database.close()
    with open_store(url) as store:
        with pytest.raises(StoreError, match=r"cannot be read \(it names builtins.exec\)"):
            store.count()
        (finding,) = store.configuration_findings()
    assert finding.suspicion == 1.0
    assert finding.evidence == {"names": ["builtins.exec"]}


def test_says_what_is_missing_or_damaged(tmp_path) -> None:
    url = _create(tmp_path, [_point(1, [1, 2, 3], text="snow")])
    with pytest.raises(StoreError, match="did you mean 'docs'"):
        open_store(f"qdrant:{tmp_path}#doc")
    with pytest.raises(StoreError, match="no folder of Qdrant's local mode"):
        open_store(f"qdrant:{tmp_path}/none#docs")
    with pytest.raises(UsageError, match="names no folder"):
        open_store("qdrant:#docs")
    (tmp_path / "collection" / "docs" / "storage.sqlite").write_bytes(b"no database" * 99)
    with pytest.raises(StoreError, match="not a database"):
        open_store(url).count()


def test_what_a_llamaindex_collection_cannot_take_is_refused(tmp_path) -> None:
    node = '{"id_": "n1", "text": "rain", "metadata": {}}'
    url = _create(tmp_path, [_point(1, [1, 2, 3], _node_content=node, doc_id="d")])
    with open_store(url, writable=True) as store:
        before = store.get(["1"])
        with pytest.raises(InputError, match="is no node of LlamaIndex"):
            store.add(Batch((Passage("2", "snow"),), np.ones((1, 3), dtype=np.float32)))
        assert store.delete(["1"]) == 1
        store.add(before)
        assert store.get(["1"]).passages == before.passages


def test_reading_needs_no_qdrant_client(tmp_path) -> None:
    url = _create(tmp_path, [_point(1, [1, 2, 3], text="snow")])
    code = (
        "import sys\n"
        "sys.modules['qdrant_client'] = None\n"
        "from ragshield import open_store\n"
        "print(open_store(sys.argv[1]).get(['1']).passages[0].text)\n"
    )
    run = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True)
    assert run.stdout == "snow\n", run.stderr


def test_points_under_old_keys_and_stored_twice_are_deleted_whole(tmp_path) -> None:
    import base64

    own = "ED197B69-BB1F-465B-AC10-F42842017A52"
    url = _create(tmp_path, [_point(own, [1, 2, 3], text="snow"), _point(3, [1, 1, 1], text="x")])
    path = tmp_path / "collection" / "docs" / "storage.sqlite"
    old = base64.b64encode(pickle.dumps(own, protocol=2)).decode()
    with sqlite3.connect(path) as database:
        (pickled,) = database.execute("SELECT point FROM points ORDER BY rowid").fetchone()
        database.execute("INSERT INTO points VALUES (?, ?)", (old, pickled))
    database.close()
    with open_store(url, writable=True) as store:
        assert store.count() == 2
        assert store.delete([own.lower(), "4"]) == 1
        assert store.count() == 1
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM points").fetchone() == (1,)
    database.close()


def test_an_id_that_qdrant_does_not_allow_is_no_other_passages_id(tmp_path) -> None:
    from ragshield.stores.qdrant_points import point_id

    url = _create(tmp_path, [_point(1, [1, 2, 3], text="snow")])
    with open_store(url, writable=True) as store:
        store.add(Batch((Passage("any id", "hail"),), np.ones((1, 3), dtype=np.float32)))
        assert store.delete([str(point_id("any id"))]) == 0
        assert store.delete(["any id"]) == 1
