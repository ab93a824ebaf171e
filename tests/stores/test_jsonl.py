from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import InputError, StoreError, UsageError
from ragshield.records import Batch, Passage


def _file(folder: Path, *lines: object) -> str:
    path = folder / "docs.jsonl"
    path.write_text("".join(f"{v if isinstance(v, str) else json.dumps(v)}\n" for v in lines))
    return f"jsonl:{path}"


def test_reads_both_spellings_and_keeps_other_keys_as_metadata(tmp_path) -> None:
    url = _file(
        tmp_path,
        {"id": "a", "text": "x", "source": "s", "meta": {"n": 1}, "vector": [1, 0]},
        "",
        {"id": 7, "text": "y", "metadata": {"n": 2}, "embedding": [0, 2], "title": "T"},
    )
    with open_store(url) as store:
        (batch,) = store.batches()
        assert batch.passages == (
            Passage("a", "x", "s", {"n": 1}),
            Passage("7", "y", None, {"title": "T", "n": 2}),
        )
        assert batch.vectors is not None
        assert batch.vectors.tolist() == [[1, 0], [0, 2]]
        assert [hit.id for hit in store.search(np.array([0.1, 1], dtype=np.float32), 5).hits] == [
            "7",
            "a",
        ]


def test_texts_without_vectors_read_fine_and_say_what_to_do_when_searched(tmp_path) -> None:
    with open_store(_file(tmp_path, {"id": "a", "text": "x"})) as store:
        (batch,) = store.batches()
        assert (batch.vectors, store.dim, store.count()) == (None, None, 1)
        with pytest.raises(StoreError, match=r"texts without vectors.*add a 'vector'"):
            store.search(np.ones(2, dtype=np.float32), 1)


def test_unhealthy_vectors_are_given_as_stored_and_never_found(tmp_path) -> None:
    url = _file(
        tmp_path,
        {"id": "good", "text": "x", "vector": [1, 1]},
        '{"id": "nan", "text": "x", "vector": [NaN, 1]}',
        {"id": "null", "text": "x", "vector": [None, 1]},
        {"id": "zero", "text": "x", "vector": [0, 0]},
        {"id": "none", "text": "x"},
    )
    with open_store(url) as store:
        (batch,) = store.batches()
        nan = float("nan")
        np.testing.assert_array_equal(
            batch.vectors, np.array([[1, 1], [nan, 1], [nan, 1], [0, 0], [nan, nan]])
        )
        hits = store.search(np.ones(2, dtype=np.float32), 5).hits
        assert [(hit.id, round(hit.similarity, 6)) for hit in hits] == [("good", 1.0)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"id": "a", "text": "x"}', '{"id": '], "line 2: not JSON"),
        (["[1]"], "line 1: expected a JSON object"),
        ([{"text": "x"}], "line 1: 'id' is None"),
        ([{"id": "", "text": "x"}], "line 1: 'id' is ''"),
        ([{"id": "a"}], "line 1: 'text' is None"),
        ([{"id": "a", "text": 5}], "line 1: 'text' is 5"),
        ([{"id": "a", "text": "x", "source": 5}], "line 1: 'source' is 5"),
        ([{"id": "a", "text": "x", "meta": []}], "line 1: 'meta' is"),
        ([{"id": "a", "text": "x", "vector": "no"}], "line 1: 'vector' is 'no'"),
        ([{"id": "a", "text": "x", "vector": ["no"]}], "line 1: 'vector' cannot be read"),
        ([{"id": "a", "text": "x", "vector": [[1]]}], "line 1: 'vector' is nested"),
        (
            [{"id": "a", "text": "x"}, "", {"id": "a", "text": "y"}],
            "line 3: id 'a' is on line 1 already",
        ),
        (
            [{"id": "a", "text": "x", "vector": [1]}, {"id": "b", "text": "y", "vector": [1, 2]}],
            "line 2: vector has 2 dimensions, the one on line 1 has 1",
        ),
    ],
)
def test_names_the_line_of_every_fault(tmp_path, lines, message) -> None:
    with pytest.raises(InputError, match=message):
        open_store(_file(tmp_path, *lines))


def test_names_what_is_no_utf_8(tmp_path) -> None:
    (tmp_path / "docs.jsonl").write_bytes(b'{"id": "a", "text": "caf\xe9"}\n')
    with pytest.raises(InputError, match="not UTF-8"):
        open_store(f"jsonl:{tmp_path}/docs.jsonl")


def test_says_what_is_missing(tmp_path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        open_store(f"jsonl:{tmp_path}/none.jsonl")
    with pytest.raises(StoreError, match="is a folder"):
        open_store(f"jsonl:{tmp_path}")
    with pytest.raises(UsageError, match="names no file"):
        open_store("jsonl:")


def test_gzipped_files_can_be_read_and_not_changed(tmp_path) -> None:
    path = tmp_path / "docs.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"id": "a", "text": "x", "vector": [1]}\n'))
    with open_store(f"jsonl:{path}") as store:
        assert store.get(["a"]).passages == (Passage("a", "x"),)
    with pytest.raises(StoreError, match="gunzip it"):
        open_store(f"jsonl:{path}", writable=True)


def test_lines_that_stay_are_kept_character_for_character(tmp_path) -> None:
    lines = ['{"text":"x",  "id":"a","extra":{"deep":[1]}}', '{"id": "b", "text": "\\u00e9"}']
    url = _file(tmp_path, *lines, {"id": "c", "text": "gone"})
    with open_store(url, writable=True) as store:
        assert store.delete(["c"]) == 1
        store.add(Batch((Passage("d", "é"),), np.ones((1, 2), dtype=np.float32)))
    written = (tmp_path / "docs.jsonl").read_text().splitlines()
    assert written == [*lines, '{"id": "d", "text": "é", "vector": [1.0, 1.0]}']
    assert list(tmp_path.iterdir()) == [tmp_path / "docs.jsonl"]


def test_a_failing_write_leaves_the_file_as_it_was(tmp_path, monkeypatch) -> None:
    url = _file(tmp_path, {"id": "a", "text": "x", "vector": [1]})
    before = (tmp_path / "docs.jsonl").read_bytes()
    store = open_store(url, writable=True)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.delete(["a"])
    assert (tmp_path / "docs.jsonl").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "docs.jsonl"]


def test_changes_by_another_program_are_seen(tmp_path) -> None:
    url = _file(tmp_path, {"id": "a", "text": "x", "vector": [1]})
    with open_store(url, writable=True) as store:
        assert store.get(["a", "b"]).passages == (Passage("a", "x"),)
        batches = store.batches(1)
        with (tmp_path / "docs.jsonl").open("a") as file:
            file.write('{"id": "b", "text": "y", "vector": [2]}\n')
        assert [p.id for batch in batches for p in batch.passages] == ["a", "b"]
        assert store.count() == 2
        assert store.delete(["b"]) == 1
        assert store.get(["a", "b"]).passages == (Passage("a", "x"),)
