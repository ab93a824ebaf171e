from __future__ import annotations

import os
import pickle
import sqlite3
import uuid
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import StoreError
from ragshield.records import Batch, Passage
from ragshield.stores import qdrant_bulk, qdrant_contents
from ragshield.stores.keeping import keeping_reads
from ragshield.stores.qdrant_bulk import read_points, shape_of
from ragshield.stores.qdrant_points import dense_vector, read_point, write_point

qdrant_client = pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
models = qdrant_client.models

IDS = (0, 1, 255, 256, 65_535, 70_000, 2**31, 2**40, 2**64 - 1, str(uuid.UUID(int=7)))


def _assert_read_alike(pickles: list[bytes], name: str | None) -> None:
    points, vectors = read_points(pickles, name, "here")
    assert len(points) == len(vectors) == len(pickles)
    for point, vector, pickled in zip(points, vectors, pickles, strict=True):
        whole = read_point(pickled, "here")
        expected = dense_vector(whole, name)
        assert (point.id, point.payload) == (whole.id, whole.payload)
        if expected is None:
            assert vector is None
        else:
            assert vector is not None
            assert (vector.dtype, vector.tobytes()) == (np.float32, expected.tobytes())


def _n_read_whole(pickles: list[bytes], name: str | None, monkeypatch) -> int:
    """How many pickles are read with all their numbers."""
    whole = []

    def spy(pickled: bytes, where: str) -> object:
        if pickled in pickles:
            whole.append(pickled)
        return read_point(pickled, where)

    with monkeypatch.context() as patch:
        patch.setattr(qdrant_bulk, "read_point", spy)
        read_points(pickles, name, "here")
    return len(whole) - 1  # the first one is, to learn its shape


def _vector(rng: np.random.Generator, dim: int) -> np.ndarray:
    return rng.standard_normal(dim).astype(np.float32)


@pytest.mark.parametrize("dim", [2, 3, 384, 999, 1000, 1001, 1999, 2001, 2500])
@pytest.mark.parametrize("name", [None, "dense"])
def test_points_with_every_kind_of_id_are_read_as_one_by_one(dim, name, monkeypatch) -> None:
    rng = np.random.default_rng(dim)
    payloads = [{"page_content": "x" * n, "metadata": {"n": n}} for n in (0, 9, 255, 256, 300)]
    pickles = [
        write_point(own, _vector(rng, dim), name, payloads[i % 5]) for i, own in enumerate(IDS)
    ]
    _assert_read_alike(pickles, name)
    assert _n_read_whole(pickles, name, monkeypatch) == 0


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_what_has_another_shape_than_the_first_is_read_whole() -> None:
    rng = np.random.default_rng(1)
    payload = {"page_content": "snow"}
    first = write_point(1, _vector(rng, 8), None, payload)
    others = [
        write_point(2, _vector(rng, 7), None, payload),
        write_point(3, _vector(rng, 9), None, payload),
        write_point(4, _vector(rng, 8), "other", payload),
        pickle.dumps(models.PointStruct(id=5, vector=[1, 2, 3, 4, 5, 6, 7, 8], payload=payload)),
        pickle.dumps(models.PointStruct.model_construct(id=6, vector=[1] * 8, payload=payload)),
        pickle.dumps(models.PointStruct.model_construct(id=7, vector=None, payload=None)),
        pickle.dumps(models.PointStruct.model_construct(id=8, vector=[0.5] * 8, payload=None)),
        pickle.dumps(
            models.PointStruct.model_construct(id=9, vector=[0.5] * 8, payload=payload), protocol=5
        ),
        write_point("x" * 300, _vector(rng, 8), None, payload),
        write_point(10, _vector(rng, 8), None, {"page_content": "y" * 70_000}),
        write_point(11, np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e38, 1e-45, 7]), None, {}),
        write_point(12, np.full(8, 1e300), None, payload),
    ]
    for head in ([first], []):
        _assert_read_alike([*head, *others], None)
    _assert_read_alike([others[2], first, *others], "other")


def test_several_vectors_are_told_apart() -> None:
    pickles = [
        pickle.dumps(
            models.PointStruct(
                id=i, vector={"a": [1.5, i], "b": [0.5, 2.5, i]}, payload={"text": "t"}
            )
        )
        for i in range(1, 30)
    ]
    _assert_read_alike(pickles, "a")
    _assert_read_alike(pickles, "b")
    _assert_read_alike(pickles, "none of them")


def test_a_text_that_imitates_a_vector_is_a_text() -> None:
    rng = np.random.default_rng(2)
    first = write_point(1, _vector(rng, 8), None, {"page_content": "snow"})
    shape = shape_of(first, None, "here")
    assert shape is not None
    imitation = (shape.middle + shape.region).decode("latin-1")
    pickles = [
        write_point(own, _vector(rng, 8), None, {"page_content": imitation, imitation: imitation})
        for own in (1, imitation[:90])
    ]
    _assert_read_alike([first, *pickles], None)
    _assert_read_alike([*pickles, first], None)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_every_byte_of_a_point_that_is_damaged_gives_what_reading_it_whole_gives() -> None:
    rng = np.random.default_rng(3)
    first = write_point(1, _vector(rng, 4), None, {"page_content": "snow"})
    good = write_point(2, _vector(rng, 4), None, {"page_content": "rain"})
    shape = shape_of(first, None, "here")
    assert shape is not None
    for at in range(len(good)):
        for flip in (0x01, 0x20, 0xFF):
            bad = good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :]
            try:
                whole = read_point(bad, "here")
                vector = dense_vector(whole, None)
            except (StoreError, ValueError, TypeError):
                continue  # what cannot be read whole may be refused, or read in part
            (point,), (found,) = (part[1:] for part in read_points([first, bad], None, "here"))
            assert (point.id, point.payload) == (whole.id, whole.payload), (at, flip)
            assert (vector is None) == (found is None)
            if vector is not None and found is not None:
                assert found.tobytes() == vector.tobytes(), (at, flip)


def _collection(folder: Path, n: int) -> str:
    client = qdrant_client.QdrantClient(path=str(folder))
    params = models.VectorParams(size=8, distance=models.Distance.COSINE)
    client.create_collection("docs", vectors_config=params)
    client.close()
    url = f"qdrant:{folder}#docs"
    rng = np.random.default_rng(n)
    passages = tuple(Passage(str(i), f"row {i}", f"s{i}", {"n": i}) for i in range(n))
    with open_store(url, writable=True) as store:
        store.add(Batch(passages, rng.standard_normal((n, 8)).astype(np.float32)))
    return url


def _reads(monkeypatch) -> list[int]:
    """Grows by the number of points whenever a collection is read from its file."""
    seen: list[int] = []

    def spy(*given: object) -> object:
        found = read_points(*given)  # type: ignore[arg-type]
        seen.append(len(found[0]))
        return found

    monkeypatch.setattr(qdrant_contents, "read_points", spy)
    return seen


def test_a_collection_is_read_once_while_a_job_keeps_what_it_reads(tmp_path, monkeypatch) -> None:
    url, seen = _collection(tmp_path, 50), _reads(monkeypatch)
    question = np.ones(8, dtype=np.float32)
    with keeping_reads():
        for _ in range(3):
            with open_store(url) as store:
                assert store.count() == 50
                assert store.get(["7"]).passages[0].text == "row 7"
                assert len(store.search(question, 5).hits) == 5
        assert seen == [50]
        with open_store(url, writable=True) as store:
            store.delete(["7"])
        with open_store(url) as store:
            assert len(store.get(["7"])) == 0
            assert "7" not in {hit.id for hit in store.search(question, 50).hits}
        assert seen == [50, 49]
        with open_store(f"{url}?text=metadata") as store:
            assert store.get(["8"]).passages[0].text == ""
        assert seen == [50, 49, 49]
    with open_store(url) as store:
        assert store.count() == 49
    assert seen == [50, 49, 49, 49]


def test_a_change_within_one_tick_of_the_clock_is_seen(tmp_path) -> None:
    url = _collection(tmp_path, 20)
    path = tmp_path / "collection" / "docs" / "storage.sqlite"
    with keeping_reads(), open_store(url) as store:
        assert store.count() == 20
        before = path.stat()
        with sqlite3.connect(path) as database:
            database.execute("DELETE FROM points WHERE rowid = 3")
        database.close()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
        assert store.count() == 19
        with open_store(url) as other:
            assert other.count() == 19


def test_search_is_the_same_with_and_without_what_was_kept(tmp_path) -> None:
    url = _collection(tmp_path, 40)
    questions = np.random.default_rng(9).standard_normal((10, 8)).astype(np.float32)

    def found() -> list[list[tuple[str, float]]]:
        lists = []
        for question in questions:
            with open_store(url) as store:
                hits = store.search(question, 40).hits
                lists.append([(hit.id, hit.similarity) for hit in hits])
        return lists

    with keeping_reads():
        kept = found()
    assert kept == found()
