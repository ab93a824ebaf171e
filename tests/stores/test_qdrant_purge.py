from __future__ import annotations

import json
import os
import pickletools
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import IncompleteError, StoreError
from ragshield.protocols import Recipe
from ragshield.records import Batch, Passage, Spec
from ragshield.registry import build
from ragshield.vectors import unit_rows

qdrant_client = pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
models = qdrant_client.models

DIM = 24
CLEAN = {"texts": 0, "vectors": 0}


def _docs(n: int) -> Batch:
    rng = np.random.default_rng(n)
    passages = tuple(
        Passage(str(i), f"Row {i} says {rng.bytes(20 + 30 * (i % 40)).hex()}.", f"s{i}", {"n": i})
        for i in range(n)
    )
    return Batch(passages, unit_rows(rng.standard_normal((n, DIM)).astype(np.float32)))


def _fill(folder: Path, docs: Batch) -> str:
    """A collection that Qdrant's own client made, in LangChain's layout."""
    client = qdrant_client.QdrantClient(path=str(folder))
    params = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
    client.create_collection("docs", vectors_config=params)
    client.close()
    from ragshield.stores.qdrant_points import write_point

    rows = []
    for p, v in zip(docs.passages, docs.vectors, strict=True):
        payload = {"page_content": p.text, "metadata": {"source": p.source, **p.meta}}
        rows.append((f"key{p.id}", write_point(int(p.id), v, None, payload)))
    with sqlite3.connect(folder / "collection" / "docs" / "storage.sqlite") as database:
        database.executemany("INSERT INTO points VALUES (?, ?)", rows)
    database.close()
    return f"qdrant:{folder}#docs"


def _delete_as_other_builds_do(folder: Path, ids: Sequence[str]) -> None:
    """As Qdrant's client deletes where SQLite was built without secure_delete."""
    with sqlite3.connect(folder / "collection" / "docs" / "storage.sqlite") as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.executemany("DELETE FROM points WHERE id = ?", [(f"key{i}",) for i in ids])
    database.close()


def _left(folder: Path, docs: Batch, rows: Sequence[int]) -> dict[str, int]:
    """How many deleted texts and vectors lie in any file: plain search, and pickles taken apart."""
    raw = b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())
    words: set[object] = set()
    numbers: list[float] = []
    with sqlite3.connect(folder / "collection" / "docs" / "storage.sqlite") as database:
        for (pickled,) in database.execute("SELECT point FROM points"):
            for _, argument, _ in pickletools.genops(pickled):
                if isinstance(argument, float):
                    numbers.append(argument)
                else:
                    words.add(argument)
    database.close()
    stored = np.array(numbers).astype(np.float32).tobytes()

    def has_vector(i: int) -> bool:
        row = docs.vectors[i]
        pieces = [row.astype(">f8")[k : k + 1].tobytes() for k in range(DIM)]
        return (
            row.tobytes() in stored or b"G".join(pieces[:6]) in raw or b"G".join(pieces[-6:]) in raw
        )

    return {
        "texts": sum(
            docs.passages[i].text in words or docs.passages[i].text[-30:].encode() in raw
            for i in rows
        ),
        "vectors": sum(map(has_vector, rows)),
    }


def _everything(url: str) -> Batch:
    with open_store(url) as store:
        parts = list(store.batches())
    return Batch(
        tuple(p for part in parts for p in part.passages),
        np.vstack([part.vectors for part in parts]),
    )


def _assert_live(url: str, docs: Batch, gone: Sequence[int]) -> None:
    live = [i for i in range(len(docs)) if i not in set(gone)]
    now = _everything(url)
    assert now.passages == tuple(docs.passages[i] for i in live)
    np.testing.assert_array_equal(now.vectors, docs.vectors[live])


def _recipe() -> Recipe:
    recipe: Recipe = build(Spec("recipe", "qdrant"))
    return recipe


def _gone(n: int, share: str) -> list[int]:
    n_gone = 1 if share == "one row" else max(1, round(n * float(share.rstrip("%")) / 100))
    return sorted(random.Random(7).sample(range(n), n_gone))


def test_the_recipe_offers_all_that_a_recipe_must() -> None:
    assert isinstance(_recipe(), Recipe)


@pytest.mark.parametrize("share", ["one row", "1 %", "5 %", "10 %", "50 %"])
@pytest.mark.parametrize("n", [200, 2000])
def test_no_byte_of_deleted_points_is_left_and_live_ones_are_as_they_were(
    tmp_path, n, share
) -> None:
    docs, gone = _docs(n), _gone(n, share)
    url = _fill(tmp_path, docs)
    ids = [docs.passages[i].id for i in gone]
    some = gone[:: max(1, len(gone) // 50)]
    assert _left(tmp_path, docs, some) == {"texts": len(some), "vectors": len(some)}
    _delete_as_other_builds_do(tmp_path, ids)
    before = _left(tmp_path, docs, some)
    assert before["texts"] + before["vectors"] > 0
    assert _recipe().purge(url, ids).how == "in place"
    assert _left(tmp_path, docs, some) == CLEAN
    _assert_live(url, docs, gone)


def test_points_that_are_still_there_are_deleted_and_overwritten(tmp_path) -> None:
    docs = _docs(200)
    url = _fill(tmp_path, docs)
    assert _recipe().purge(url, ["5", "6", "nobody"]).how == "in place"
    assert _left(tmp_path, docs, [5, 6]) == CLEAN
    _assert_live(url, docs, [5, 6])
    assert _recipe().purge(url, ["5", "6"]) == ("nothing", 0, ())


def test_qdrant_opens_finds_adds_and_deletes_after_a_purge(tmp_path) -> None:
    docs = _docs(300)
    url = _fill(tmp_path, docs)
    questions = unit_rows(np.random.default_rng(1).standard_normal((20, DIM)).astype(np.float32))

    def found() -> list[list[int]]:
        client = qdrant_client.QdrantClient(path=str(tmp_path))
        client.delete("docs", [7])
        results = [
            [p.id for p in client.query_points("docs", query=q.tolist(), limit=30).points]
            for q in questions
        ]
        client.close()
        return results

    before = found()
    _recipe().purge(url, ["7"])
    assert found() == before
    client = qdrant_client.QdrantClient(path=str(tmp_path))
    new = models.PointStruct(id=7, vector=docs.vectors[7].tolist(), payload={"page_content": "n"})
    client.upsert("docs", [new])
    client.delete("docs", [8])
    client.close()
    _recipe().purge(url, ["8"])
    assert _left(tmp_path, docs, [8]) == CLEAN
    with open_store(url) as store:
        assert store.get(["7"]).passages == (Passage("7", "n"),)


def test_surfaces_show_points_before_and_not_after(tmp_path) -> None:
    docs = _docs(200)
    url = _fill(tmp_path, docs)
    recipe = _recipe()
    text = docs.passages[5].text.encode()
    forms = [form[0].tobytes() for form in recipe.forms(docs.vectors[5:6])]

    def seen() -> dict[str, tuple[bool, bool]]:
        found = {}
        for surface in recipe.surfaces(url):
            whole = b"".join(surface.blocks())
            assert surface.n_bytes in (None, len(whole))
            found[surface.name] = (text in whole, any(form in whole for form in forms))
        return found

    name = "collection/docs/storage.sqlite"
    assert seen() == {
        name: (True, True),
        "meta.json": (False, False),
        "points, read": (True, True),
    }
    recipe.purge(url, ["5"])
    assert seen() == dict.fromkeys((name, "meta.json", "points, read"), (False, False))
    assert recipe.files(url) == (tmp_path / name, tmp_path / "meta.json")


@pytest.mark.parametrize("dim", [1, 3, 999, 1000, 1001, 2500])
def test_the_form_of_a_pickle_is_the_one_that_python_writes(dim) -> None:
    import pickle

    from ragshield.stores.qdrant_points import pickled_vectors

    rows = np.random.default_rng(dim).standard_normal((2, dim)).astype(np.float32)
    for i in range(2):
        assert pickled_vectors(rows)[i].tobytes() in pickle.dumps([float(x) for x in rows[i]])


def test_a_folder_in_use_a_read_only_one_and_an_old_storage_are_refused(
    tmp_path, monkeypatch
) -> None:
    docs = _docs(20)
    url = _fill(tmp_path, docs)
    client = qdrant_client.QdrantClient(path=str(tmp_path))
    with pytest.raises(StoreError, match="a Qdrant client has the folder open"):
        _recipe().purge(url, ["1"])
    client.close()
    old = tmp_path / "collection" / "docs" / "storage.dbm"
    old.write_bytes(b"points of long ago")
    with pytest.raises(StoreError, match=r"storage.dbm is the storage of a Qdrant client before"):
        _recipe().purge(url, ["1"])
    old.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
        with pytest.raises(StoreError, match="no permission to change"):
            _recipe().purge(url, ["1"])
    _assert_live(url, docs, [])


def test_a_full_disk_loses_no_point_and_the_next_call_finishes(tmp_path, monkeypatch) -> None:
    docs = _docs(2000)
    url = _fill(tmp_path, docs)
    _delete_as_other_builds_do(tmp_path, ["5"])

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(IncompleteError, match="No space left on device"):
            _recipe().purge(url, ["5"])
    _assert_live(url, docs, [5])
    _recipe().purge(url, ["5"])
    assert _left(tmp_path, docs, [5]) == CLEAN
    _assert_live(url, docs, [5])


@pytest.mark.parametrize("moment", range(8))
def test_killed_at_any_moment_the_next_call_finishes_the_work(tmp_path, moment) -> None:
    docs = _docs(2000)
    url = _fill(tmp_path, docs)
    _delete_as_other_builds_do(tmp_path, ["5"])
    ids = ["5", "6", "1500"]
    code = (
        "import sys\n"
        "from ragshield.stores.qdrant_purge import QdrantPurge\n"
        "print('ready', flush=True)\n"
        "QdrantPurge().purge(sys.argv[1], sys.argv[2:])\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, url, *ids], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(0.01 * 1.5**moment)
    child.send_signal(signal.SIGKILL)
    child.wait()
    _recipe().purge(url, ids)
    assert _left(tmp_path, docs, [5, 6, 1500]) == CLEAN
    _assert_live(url, docs, [5, 6, 1500])
    assert sorted(p.name for p in (tmp_path / "collection" / "docs").iterdir()) == [
        "storage.sqlite"
    ]


def test_cost_and_description(tmp_path) -> None:
    url = _fill(tmp_path, _docs(200))
    cost = _recipe().cost(url, 1)
    assert (cost.how, cost.disk_bytes) == ("in place", 16384)
    assert 0 < cost.seconds < 1
    facts = _recipe().describe(url)
    assert facts["sqlite"] == sqlite3.sqlite_version
    assert str(tmp_path) not in json.dumps(dict(facts))
    assert _recipe().untested(url) == ()
