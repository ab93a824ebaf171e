from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import InputError, StoreError, UsageError
from ragshield.records import Batch, Passage

lancedb = pytest.importorskip("lancedb", reason="lancedb is not installed")


def _create(folder: Path, rows: list[dict[str, Any]], name: str = "docs") -> str:
    lancedb.connect(folder).create_table(name, rows)
    return f"lancedb:{folder}#{name}"


def _one(*passages: Passage, dim: int = 2) -> Batch:
    return Batch(passages, np.ones((len(passages), dim), dtype=np.float32))


def test_reads_and_restores_what_langchain_writes(tmp_path) -> None:
    rows = [
        {"vector": [1.0, 2.0], "id": "b", "text": "snow", "metadata": {"source": "x", "page": 3}},
        {
            "vector": [3.0, 4.0],
            "id": "a",
            "text": "rain",
            "metadata": {"source": "y", "page": None},
        },
    ]
    with open_store(_create(tmp_path, rows), writable=True) as store:
        (batch,) = store.batches()
        assert batch.passages == (
            Passage("a", "rain", "y"),
            Passage("b", "snow", "x", {"page": 3}),
        )
        assert batch.vectors is not None
        assert batch.vectors.tolist() == [[3, 4], [1, 2]]
        before = store.get(["b"])
        store.delete(["b"])
        store.add(before)
        assert store.get(["b"]).passages == before.passages
        with pytest.raises(InputError, match="has no field 'colour'"):
            store.add(_one(Passage("c", "hail", None, {"colour": "red"})))
    table = lancedb.connect(tmp_path).open_table("docs")
    (row,) = table.search().where("id = 'b'").to_list()
    assert (row["text"], row["metadata"]) == ("snow", {"source": "x", "page": 3})


def test_reads_and_restores_what_llamaindex_writes(tmp_path) -> None:
    meta = {"_node_content": '{"text": ""}', "doc_id": "d", "ref_doc_id": "d"}
    row = {"id": "n1", "doc_id": "d", "vector": [1.0, 0.0], "text": "hail", "metadata": meta}
    with open_store(_create(tmp_path, [row]), writable=True) as store:
        before = store.get(["n1"])
        assert before.passages == (Passage("n1", "hail", None, meta),)
        store.delete(["n1"])
        store.add(before)
        assert store.get(["n1"]).passages == before.passages
    assert lancedb.connect(tmp_path).open_table("docs").search().to_list()[0]["doc_id"] == "d"


def test_other_columns_are_metadata_and_names_may_be_given(tmp_path) -> None:
    row = {"key": 7, "words": "snow", "emb": [1.0, 0.0], "title": [1.0], "year": 1999}
    url = _create(tmp_path, [row, {**row, "key": 12}])
    with pytest.raises(StoreError, match=r"no column is recognisable as the id .*\?id=COLUMN"):
        open_store(f"{url}?vector=emb")
    with open_store(f"{url}?id=key&text=words&vector=emb", writable=True) as store:
        assert store.get(["7"]).passages == (Passage("7", "snow", None, {"year": 1999}),)
        assert store.delete(["12", "nobody"]) == 1
        store.add(_one(Passage("12", "rain", None, {"year": 5})))
        assert store.get(["12"]).passages == (Passage("12", "rain", None, {"year": 5}),)
        with pytest.raises(InputError, match="the table's ids are whole numbers"):
            store.add(_one(Passage("twelve", "rain")))
        with pytest.raises(InputError, match="no column for metadata 'n'"):
            store.add(_one(Passage("13", "rain", None, {"n": 1})))
    with pytest.raises(StoreError, match="no column 'nope'; there are"):
        open_store(f"{url}?id=nope")
    with pytest.raises(UsageError, match="option 'colour=red' is not known"):
        open_store(f"{url}?colour=red")


def test_half_precision_and_missing_vectors_are_read(tmp_path) -> None:
    import pyarrow as pa

    table = pa.table(
        {
            "id": ["a", "b"],
            "text": ["x", "y"],
            "vector": pa.array([[0.5, 2.0], None], type=pa.list_(pa.float16(), 2)),
        }
    )
    import lance

    lance.write_dataset(table, str(tmp_path / "docs.lance"))
    with open_store(f"lancedb:{tmp_path}#docs", writable=True) as store:
        (batch,) = store.batches()
        np.testing.assert_array_equal(batch.vectors, [[0.5, 2], [np.nan, np.nan]])
        assert [hit.id for hit in store.search(np.ones(2, np.float32), 2).hits] == ["a"]
        store.add(_one(Passage("c", "z")))
        np.testing.assert_array_equal(store.get(["c"]).vectors, [[1, 1]])


def test_rows_come_in_the_order_of_ids_wherever_lance_moves_them(tmp_path) -> None:
    from datetime import timedelta

    rows = [{"id": f"p{i:03d}", "text": "x", "vector": [float(i), 1.0]} for i in range(300)]
    url = _create(tmp_path, rows[200:])
    table = lancedb.connect(tmp_path).open_table("docs")
    table.add(rows[:200])

    def ids() -> list[str]:
        with open_store(url) as store:
            return [p.id for batch in store.batches(64) for p in batch.passages]

    assert ids() == [row["id"] for row in rows]
    table.delete("id = 'p250'")
    table.optimize(cleanup_older_than=timedelta(days=1))
    assert ids() == [row["id"] for row in rows if row["id"] != "p250"]


def test_a_batch_under_way_keeps_to_the_version_it_began_with(tmp_path) -> None:
    rows = [{"id": f"p{i}", "text": "x", "vector": [1.0, 1.0]} for i in range(4)]
    with open_store(_create(tmp_path, rows), writable=True) as store:
        batches = store.batches(2)
        first = next(batches)
        assert store.delete(["p3"]) == 1
        assert [p.id for p in (*first.passages, *next(batches).passages)] == [
            "p0",
            "p1",
            "p2",
            "p3",
        ]
        assert store.count() == 3


def test_the_condition_of_a_delete_does_not_repeat_ids_in_the_log(tmp_path) -> None:
    rows = [{"id": f"secret-{i}", "text": "x", "vector": [1.0, 1.0]} for i in range(4)]
    with open_store(_create(tmp_path, rows), writable=True) as store:
        store.delete(["secret-1"])
    written = b"".join(
        p.read_bytes()
        for name in ("_transactions", "_versions")
        for p in tmp_path.rglob(f"{name}/*")
    )
    assert b"secret-1" not in written


def test_says_what_is_missing(tmp_path) -> None:
    url = _create(tmp_path, [{"id": "a", "text": "x", "vector": [1.0, 1.0]}])
    with open_store(f"lancedb:{tmp_path}") as store:  # the only table need not be named
        assert store.count() == 1
    with pytest.raises(StoreError, match="did you mean 'docs'"):
        open_store(f"{url[:-1]}")
    with pytest.raises(StoreError, match="no folder"):
        open_store(f"lancedb:{tmp_path}/none#docs")
    with pytest.raises(UsageError, match="names no folder"):
        open_store("lancedb:#docs")
    with pytest.raises(StoreError, match="several columns hold vectors"):
        open_store(
            _create(tmp_path, [{"id": "a", "text": "x", "u": [1.0, 2.0], "v": [1.0, 2.0]}], "two")
        )
