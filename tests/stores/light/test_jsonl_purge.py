"""What JSON Lines hold besides their lines, and how lines are told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from ragshield import open_store
from ragshield.errors import StoreError
from ragshield.stores.jsonl_purge import JsonlPurge, is_one_of

LINES = [
    {"id": "a", "text": "stays"},
    {"id": "b", "text": "goes away, caf\u00e9", "meta": {"id": "a"}},
    {"id": 7, "text": "a number"},
]


def filled(folder: Path, *, name: str = "docs.jsonl") -> str:
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return f"jsonl:{folder / name}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"id": "a", "text": "x"}', True),
        ('{"text": "x", "id" : "a"}', True),
        ('{"text": "\\"id\\": \\"b\\"", "id": "a"}', True),
        ('{"id": "\\u0061", "text": "x"}', True),
        ('{"\\u0069d": "a", "text": "x"}', True),
        ('{"id": 7, "text": "x"}', True),
        ('{"id": "b", "meta": {"id": "a"}}', False),
        ('{"id": "b", "text": "id a"}', False),
        ('{"id": "ab", "text": "x"}', False),
        ('{"id": "a", "text": ', False),
        ("", False),
    ],
)
def test_a_line_is_told_by_its_own_id(line, expected) -> None:
    assert is_one_of(line.encode(), frozenset({"a", "7"})) is expected


def test_other_lines_the_mode_and_an_end_without_a_newline_stay(tmp_path) -> None:
    path = tmp_path / "docs.jsonl"
    text = '{"text":"x",  "id":"a"}\n\n{"id": "b", "text": "gone"}\r\n{"id": "c", "text": "end"}'
    path.write_bytes(text.encode())
    path.chmod(0o600)
    done = JsonlPurge().purge(f"jsonl:{path}", ["b", "nobody"])
    assert path.read_bytes() == b'{"text":"x",  "id":"a"}\n\n{"id": "c", "text": "end"}'
    assert (done.how, done.n_bytes_written) == ("copy", len(path.read_bytes()))
    assert path.stat().st_mode & 0o777 == 0o600


def test_temporary_files_of_killed_writes_are_removed_and_backups_named(tmp_path) -> None:
    url = filled(tmp_path)
    text = (tmp_path / "docs.jsonl").read_text()
    for name in (".docs.jsonl.ab12_xyz", "docs.jsonl~", ".docs.jsonl.swp", "docs.jsonl.bak"):
        (tmp_path / name).write_text(text)
    (tmp_path / "other.jsonl").write_text(text)
    recipe = JsonlPurge()
    assert {s.name for s in recipe.surfaces(url) if s.kind == "file"} == {
        ".docs.jsonl.ab12_xyz",
        ".docs.jsonl.swp",
        "docs.jsonl",
        "docs.jsonl.bak",
        "docs.jsonl~",
    }
    done = recipe.purge(url, [])
    assert done.how == "in place"
    assert [note.split()[0] for note in done.notes] == [
        ".docs.jsonl.swp",
        "docs.jsonl.bak",
        "docs.jsonl~",
    ]
    assert not (tmp_path / ".docs.jsonl.ab12_xyz").exists()
    assert (tmp_path / "docs.jsonl~").exists()
    assert recipe.purge(url, []).how == "nothing"


def test_escaped_texts_and_rounded_numbers_are_seen_once_lines_are_read(tmp_path) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_text(
        '{"id": "a", "text": "\\u96ea caf\\u00e9\\n", "vector": [0.10000000000000003, 2]}\n'
    )
    (tmp_path / "docs.jsonl.1.gz").write_bytes(gzip.compress(path.read_bytes()))
    url = f"jsonl:{path}"
    recipe = JsonlPurge()
    with open_store(url) as store:
        batch = store.get(["a"])
    (form,) = recipe.forms(batch.vectors)
    for name in ("lines of docs.jsonl", "lines of docs.jsonl.1.gz"):
        (surface,) = [s for s in recipe.surfaces(url) if s.name == name]
        said = b"".join(surface.blocks())
        assert "雪 café\n".encode() in said
        assert form[0].tobytes() in said
    assert "雪".encode() not in path.read_bytes()
    np.testing.assert_array_equal(batch.vectors, np.array([[0.1, 2]], dtype=np.float32))


def test_gzipped_files_can_be_looked_at_and_not_purged(tmp_path) -> None:
    (tmp_path / "docs.jsonl.gz").write_bytes(gzip.compress(b'{"id": "a", "text": "x"}\n'))
    url = f"jsonl:{tmp_path}/docs.jsonl.gz"
    with pytest.raises(StoreError, match="gunzip it"):
        JsonlPurge().purge(url, ["a"])
    assert JsonlPurge().purge(url, ["b"]).how == "nothing"


def test_a_broken_backup_can_still_be_searched(tmp_path) -> None:
    url = filled(tmp_path)
    (tmp_path / "docs.jsonl.bak").write_bytes(
        b'{"id": "a", "text": "cut of\n\xff\xfe\n{"id": "b"}\n'
    )
    (surface,) = [s for s in JsonlPurge().surfaces(url) if s.name == "lines of docs.jsonl.bak"]
    assert b"".join(surface.blocks()) == b"b\0\n"
