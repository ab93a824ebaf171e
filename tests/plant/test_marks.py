from __future__ import annotations

from pathlib import Path

import pytest

from ragshield.errors import InputError, UsageError
from ragshield.plant import absolute, is_marked, mark


def test_a_mark_holds_for_the_place_it_was_made_for_however_that_is_spelt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "db").mkdir()
    monkeypatch.chdir(tmp_path)
    mark("chroma:./db#docs")
    assert is_marked(f"chroma:{tmp_path}/db/../db#docs")
    assert not is_marked("chroma:db#live")
    mark("chroma:db#more")
    assert is_marked("chroma:db#docs")
    assert is_marked("chroma:db#more")
    (tmp_path / "db").rename(tmp_path / "live")
    assert not is_marked("chroma:live#docs")


def test_a_file_is_marked_beside_itself(tmp_path: Path) -> None:
    url = f"jsonl:{tmp_path / 'docs.jsonl'}"
    assert not is_marked(url)
    mark(url)
    assert is_marked(url)
    assert not is_marked(f"jsonl:{tmp_path / 'other.jsonl'}")


def test_a_table_in_a_file_is_marked_whatever_its_columns_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mark("sqlite:app.db#docs?text=body")
    assert is_marked(f"sqlite:{tmp_path}/app.db#docs")
    assert is_marked("sqlite:./app.db#docs?id=no")
    assert not is_marked("sqlite:app.db#live")
    assert not is_marked("sqlite:app.db")
    assert not is_marked("sqlite:other.db#docs")


def test_servers_cannot_be_marked_and_memory_need_not() -> None:
    with pytest.raises(UsageError, match="cannot be marked"):
        mark("chroma+http://localhost:8000#docs")
    assert not is_marked("chroma+http://localhost:8000#docs")
    assert is_marked("memory:anything")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": "other/1", "stores": []}'])
def test_a_broken_mark_is_an_error_never_a_yes(content: str, tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl.ragshield-test-copies.json").write_text(content)
    with pytest.raises(InputError, match="is no list of test copies"):
        is_marked(f"jsonl:{tmp_path / 'docs.jsonl'}")


def test_urls_become_absolute_only_where_they_name_a_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("chroma:./db#docs") == f"chroma:{tmp_path}/db#docs"
    assert absolute("jsonl:d.jsonl") == f"jsonl:{tmp_path}/d.jsonl"
    assert absolute("sqlite:a.db#t?id=no") == f"sqlite:{tmp_path}/a.db#t?id=no"
    for url in ("chroma+http://h:1#x", "memory:m", "jsonl:", "chroma:db"):
        assert absolute(url) == url
