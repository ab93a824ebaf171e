"""Where the lines of a JSON Lines file lie, and what is known of it after a change."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.forget import apply_plan, plan_forget, write_plan
from ragshield.records import Batch, Passage
from ragshield.stores import jsonl
from ragshield.stores.jsonl_lines import lines_of
from ragshield.stores.keeping import is_keeping, keep, keeping_reads, kept


def _rows(n: int, dim: int = 8) -> Batch:
    vectors = np.random.default_rng(n).standard_normal((n, dim)).astype(np.float32)
    return Batch(tuple(Passage(f"row-{i}", f"Text {i} of café\u2028.") for i in range(n)), vectors)


@pytest.fixture
def reads(monkeypatch) -> list[Path]:
    """The file, as often as a store reads it from its beginning to its end."""
    found: list[Path] = []
    original = jsonl.objects_of

    def counted(path: Path):
        found.append(path)
        return original(path)

    monkeypatch.setattr(jsonl, "objects_of", counted)
    return found


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\nb\n", [b"a\n", b"b\n"]),
        (b"a\r\nb", [b"a\r\n", b"b"]),
        (b"a\rb\r\rc\n\n", [b"a\r", b"b\r", b"\r", b"c\n", b"\n"]),
        (b"a\xe2\x80\xa8b\x0bc\n", [b"a\xe2\x80\xa8b\x0bc\n"]),
        (b"a\r", [b"a\r"]),
        (b"", []),
    ],
)
def test_lines_end_where_text_files_break_them(tmp_path, content, lines) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_bytes(content)
    found = list(lines_of(path))
    assert [line.content for line in found] == lines
    assert [line.number for line in found] == list(range(1, len(lines) + 1))
    assert [content[line.start :][: len(line.content)] for line in found] == lines


@pytest.mark.parametrize("end", ["", "\n", "\n\n \n"])
def test_what_is_known_after_a_deletion_is_what_the_file_says(tmp_path, end) -> None:
    path = tmp_path / "docs.jsonl"
    rows = [json.dumps({"id": f"r{i}", "text": f"é{i}", "vector": [i, 1]}) for i in range(6)]
    rows[2] = f"\n{rows[2]}\r\n"
    rows[4] = json.dumps({"id": "r4", "text": "bare"})
    path.write_text("\n".join(rows) + end, newline="")
    with open_store(f"jsonl:{path}", writable=True) as store:
        store.search(np.ones(2, dtype=np.float32), 1)
        for gone in (["r1", "r3"], ["r5"], ["r0"], ["r2"]):
            assert store.delete(gone) == len(gone)
            with open_store(f"jsonl:{path}") as fresh:
                assert store.count() == fresh.count()
                assert store.dim == fresh.dim
                ids = [p.id for batch in fresh.batches() for p in batch.passages]
                mine, theirs = store.get(ids), fresh.get(ids)
                assert mine.passages == theirs.passages
                if fresh.dim is None:
                    assert mine.vectors is None
                    continue
                np.testing.assert_array_equal(mine.vectors, theirs.vectors)
                question = np.array([1, 2], dtype=np.float32)
                assert store.search(question, 9).hits == fresh.search(question, 9).hits
        assert store.get(["r4"]).passages == (Passage("r4", "bare"),)


def test_vectors_come_back_to_the_bit_from_short_decimals(tmp_path) -> None:
    (tmp_path / "docs.jsonl").touch()
    batch = _rows(50)
    tiny = np.float32([1e-45, 3.4e38, 0.1, -1 / 3, 16777217, 1e-7, 5e-324 + 1e-30, 2])
    vectors = np.vstack([batch.vectors, tiny])
    whole = Batch((*batch.passages, Passage("tiny", "x")), vectors)
    with open_store(f"jsonl:{tmp_path}/docs.jsonl", writable=True) as store:
        store.add(whole)
        ids = [p.id for p in whole.passages]
        assert store.get(ids).vectors.tobytes() == vectors.tobytes()
    line = (tmp_path / "docs.jsonl").read_text().splitlines()[-1]
    assert "0.1," in line


def test_getting_passages_reads_their_lines_alone(tmp_path, reads) -> None:
    path = tmp_path / "docs.jsonl"
    path.touch()
    with open_store(f"jsonl:{path}", writable=True) as store:
        store.add(_rows(20))
        reads.clear()
        assert [p.id for p in store.get(["row-7", "row-3"]).passages] == ["row-7", "row-3"]
        assert store.delete(["row-3"]) == 1
        assert [p.id for p in store.get(["row-7", "row-3", "row-19"]).passages] == [
            "row-7",
            "row-19",
        ]
        assert reads == []
        store.search(np.ones(8, dtype=np.float32), 3)
        store.search(-np.ones(8, dtype=np.float32), 3)
        assert len(reads) == 1


def test_forgetting_parses_the_file_once_and_then_looks_at_its_bytes(tmp_path, reads) -> None:
    path = tmp_path / "docs.jsonl"
    path.touch()
    with open_store(f"jsonl:{path}", writable=True) as store:
        store.add(_rows(6000))  # more than are compared with an index built anew
    with open_store(f"jsonl:{path}") as store:
        write_plan(plan_forget(store, ids=["row-3", "row-9"]), tmp_path / "plan.json")
    reads.clear()
    assert apply_plan(tmp_path / "plan.json").verdict == "ERASED"
    assert len(reads) == 1
    assert not is_keeping()


def test_what_a_job_keeps_is_let_go_with_it(tmp_path) -> None:
    keep(tmp_path, "read outside of any job")
    with keeping_reads():
        assert kept(tmp_path) is None
        keep(tmp_path, "read once")
        assert kept(tmp_path) == "read once"
    assert kept(tmp_path) is None


def test_what_a_job_keeps_is_read_again_once_another_program_changed_it(tmp_path) -> None:
    path = tmp_path / "docs.jsonl"
    path.touch()
    with keeping_reads():
        with open_store(f"jsonl:{path}", writable=True) as store:
            store.add(_rows(3))
        with path.open("a") as file:
            file.write('{"id": "late", "text": "x", "vector": [1, 1, 1, 1, 1, 1, 1, 1]}\n')
        with open_store(f"jsonl:{path}") as store:
            assert store.count() == 4
            hits = store.search(np.ones(8, dtype=np.float32), 1).hits
            assert [hit.id for hit in hits] == ["late"]
