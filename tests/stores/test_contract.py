"""Every kind of store gives what the memory store gives."""

from __future__ import annotations

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import InputError, StoreError, UsageError
from ragshield.protocols import MutableStore, Store
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MemoryStore
from ragshield.vectors import unit_rows

_STORES_OF_UTF_8 = ("chroma", "lancedb", "pgvector", "sqlite")


def _batch(n: int = 300, dim: int = 16, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    passages = tuple(
        Passage(
            id=f"p{i:04d}",
            text=f"Passage {i} tells of {'snow, Schnee, 雪' if i % 3 else 'rain'}.\n",
            source=f"https://example.org/{i}" if i % 2 else None,
            meta={"n": i, "share": i / 7, "flag": i % 2 == 0, "title": f"T{i}"} if i % 5 else {},
        )
        for i in range(n)
    )
    return Batch(passages, unit_rows(rng.standard_normal((n, dim)).astype(np.float32)))


def _only(vectors: object, *passages: Passage) -> Batch:
    return Batch(passages, np.array(vectors, dtype=np.float32))


def _all(store: Store, size: int = 1024) -> Batch:
    parts = list(store.batches(size))
    passages = tuple(passage for part in parts for passage in part.passages)
    rows = [part.vectors for part in parts if part.vectors is not None]
    return Batch(passages, np.vstack(rows) if rows else None)


def test_reads_back_ids_texts_sources_and_metadata_exactly(fill) -> None:
    batch = _batch()
    with open_store(fill(batch)) as store:
        read = _all(store, 64)
        assert read.passages == batch.passages
        assert store.count() == 300
        assert store.dim == 16


def test_reads_back_vectors_bit_for_bit_or_within_one_rounding(fill, request) -> None:
    batch = _batch()
    with open_store(fill(batch)) as store:
        read = _all(store).vectors
    assert read is not None
    assert read.dtype == np.float32
    if "chroma" in request.node.callspec.id:  # its cosine index keeps unit vectors
        np.testing.assert_allclose(read, batch.vectors, rtol=0, atol=6e-8)
    else:
        np.testing.assert_array_equal(read, batch.vectors)


@pytest.mark.parametrize("size", [1, 7, 299, 300, 301, 5000])
def test_batches_have_at_most_the_size_asked_for_and_cover_all_once(fill, size) -> None:
    with open_store(fill(_batch())) as store:
        if size == 1:
            first = next(iter(store.batches(1)))
            assert [p.id for p in first.passages] == ["p0000"]
            return
        parts = list(store.batches(size))
    assert max(len(part) for part in parts) == min(size, 300)
    assert [p.id for part in parts for p in part.passages] == [f"p{i:04d}" for i in range(300)]
    assert all(part.vectors is not None and len(part.vectors) == len(part) for part in parts)


@pytest.mark.parametrize("k", [1, 10, 37, 100, 300, 450])
def test_search_gives_the_order_and_similarities_of_the_memory_store(fill, k, request) -> None:
    batch = _batch()
    yardstick = MemoryStore("memory:", batch)
    # Chroma's index is approximate, and its graph differs from one run to the next.
    n_missed = k // 25 if "chroma" in request.node.callspec.id else 0
    with open_store(fill(batch)) as store:
        for seed in range(5):
            question = np.random.default_rng(100 + seed).standard_normal(16).astype(np.float32)
            found, expected = store.search(question, k), yardstick.search(question, k)
            place = {hit.id: i for i, hit in enumerate(yardstick.search(question, 300).hits)}
            places = [place[hit.id] for hit in found.hits]
            assert places == sorted(places)
            assert len(places) == len(set(places)) == min(k, 300)
            assert len(set(places) - set(range(k))) <= n_missed
            rows = [i for i, p in enumerate(places) if p < k]
            theirs = [places[i] for i in rows]
            assert [found.hits[i].passage for i in rows] == [
                expected.hits[p].passage for p in theirs
            ]
            np.testing.assert_allclose(
                [found.hits[i].similarity for i in rows],
                [expected.hits[p].similarity for p in theirs],
                atol=1e-5,
            )
            np.testing.assert_allclose(found.vectors[rows], expected.vectors[theirs], atol=1e-6)


def test_get_keeps_the_order_asked_and_leaves_out_what_is_not_there(fill) -> None:
    batch = _batch()
    with open_store(fill(batch)) as store:
        read = store.get(["p0007", "nobody", "p0003", "", "\ud800", "p0250"])
        assert [p.id for p in read.passages] == ["p0007", "p0003", "p0250"]
        assert read.vectors is not None
        np.testing.assert_allclose(read.vectors, batch.vectors[[7, 3, 250]], atol=6e-8)
        assert store.get([]).passages == ()
        assert store.get(["nobody"]).passages == ()


def test_delete_counts_what_existed_and_leaves_the_rest(fill) -> None:
    batch = _batch(40)
    url = fill(batch)
    with open_store(url, writable=True) as store:
        assert store.delete(["p0001", "p0001", "nobody", "p0002", "\ud800"]) == 2
        assert store.delete(["p0001"]) == 0
        assert store.delete([]) == 0
        assert store.count() == 38
    with open_store(url) as store:
        kept = _all(store)
    assert kept.passages == tuple(p for p in batch.passages if p.id not in ("p0001", "p0002"))
    np.testing.assert_allclose(kept.vectors, batch.vectors[[0, *range(3, 40)]], atol=6e-8)


def test_deleted_passages_can_be_added_again_as_they_were(fill) -> None:
    batch = _batch(20)
    with open_store(fill(batch), writable=True) as store:
        before = store.get(["p0004", "p0005"])
        store.delete(["p0004", "p0005"])
        store.add(before)
        after = store.get(["p0004", "p0005"])
        assert after.passages == before.passages == batch.passages[4:6]
        np.testing.assert_allclose(after.vectors, before.vectors, atol=6e-8)


def test_an_empty_store_reads_as_empty_and_says_so_when_searched(fill) -> None:
    url = fill(_batch(2))
    with open_store(url, writable=True) as store:
        store.delete(["p0000", "p0001"])
        assert (store.count(), store.dim, list(store.batches())) == (0, None, [])
        with pytest.raises(StoreError, match="is empty or holds no vectors"):
            store.search(np.ones(16, dtype=np.float32), 3)


@pytest.mark.parametrize(
    ("vector", "k", "error", "message"),
    [
        (np.ones(5), 3, InputError, "5 dimensions, the store has 16"),
        (np.ones(16), 0, UsageError, "k is 0"),
        (np.full(16, np.nan), 3, InputError, "NaN"),
        (np.zeros(16), 3, InputError, "zeros"),
    ],
)
def test_search_refuses_unusable_questions(fill, vector, k, error, message) -> None:
    with (
        open_store(fill(_batch(30))) as store,
        pytest.raises(error, match=message),
    ):
        store.search(vector.astype(np.float32), k)


def _bad_additions() -> dict[str, tuple[Batch, str]]:
    one = [0.5] * 16
    new, other = Passage("new", "a"), Passage("other", "b")
    return {
        "existing id": (_only([one, one], new, Passage("p0003", "b")), "'p0003' exists already"),
        "twice in the batch": (_only([one, one], new, new), "'new' occurs twice"),
        "empty id": (_only([one, one], new, Passage("", "b")), "empty id"),
        "no vectors": (Batch((new,), None), "no vectors"),
        "NaN": (_only([one, [float("nan")] * 16], new, other), "row 1 holds NaN"),
        "infinite": (_only([one, [float("inf")] * 16], new, other), "row 1 holds NaN or inf"),
        "zeros": (_only([one, [0.0] * 16], new, other), "row 1 is all zeros"),
        "another width": (_only([[1.0, 2.0]], new), "2 dimensions, the store has 16"),
        "a row missing": (_only([one], new, other), "1 rows for 2 passages"),
    }


@pytest.mark.parametrize("case", sorted(_bad_additions()))
def test_refused_additions_leave_the_store_as_it_was(fill, case) -> None:
    batch = _batch(30)
    addition, message = _bad_additions()[case]
    with open_store(fill(batch), writable=True) as store:
        with pytest.raises(InputError, match=message):
            store.add(addition)
        assert _all(store).passages == batch.passages


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 1_000_000,
        "nul \x00 and \x01\x1f\x7f",
        "na\u0301ïve \U0001f600 \u202e \u2028",
        "\r\n",
    ],
    ids=["empty", "1 MB", "control", "unicode", "line ends"],
)
def test_odd_texts_come_back_unchanged(fill, text, request) -> None:
    with open_store(fill(_batch(3)), writable=True) as store:
        if "\0" in text and "pgvector" in request.node.callspec.id:
            with pytest.raises(InputError, match="text holds a NUL character"):
                store.add(_only([[1.0] * 16], Passage("odd", text)))
            return
        store.add(_only([[1.0] * 16], Passage("odd", text, "s", {"key": text[:100]})))
    with open_store(store.url) as read:
        assert read.get(["odd"]).passages == (Passage("odd", text, "s", {"key": text[:100]}),)


def test_a_lone_surrogate_comes_back_or_is_refused_with_a_reason(fill, request) -> None:
    passage = Passage("odd", "bytes \ud800 cut")
    addition = _only([[1.0] * 16], passage)
    with open_store(fill(_batch(3)), writable=True) as store:
        if any(kind in request.node.callspec.id for kind in _STORES_OF_UTF_8):
            with pytest.raises(InputError, match="passage 'odd': text holds a lone surrogate"):
                store.add(addition)
            assert store.count() == 3
        else:
            store.add(addition)
            assert store.get(["odd"]).passages == (passage,)


def test_a_store_opened_for_reading_has_nothing_that_changes_it(fill) -> None:
    batch = _batch()
    url = fill(batch)
    with open_store(url) as store:
        assert isinstance(store, Store)
        assert not isinstance(store, MutableStore)
        assert not any(hasattr(store, name) for name in ("add", "delete", "update", "upsert"))
        _all(store)
        store.search(np.ones(16, dtype=np.float32), 10)
        store.get(["p0001"])
        store.configuration_findings()
    with open_store(url, writable=True) as store:
        assert isinstance(store, MutableStore)
        assert _all(store).passages == batch.passages


def test_closing_twice_and_a_batch_size_below_one(fill) -> None:
    store = open_store(fill(_batch(3)))
    with pytest.raises(UsageError, match="batch size is 0"):
        next(iter(store.batches(0)))
    store.close()
    store.close()
