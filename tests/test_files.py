from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ragshield.errors import InputError, UsageError
from ragshield.files import check_writable, read_jsonl, read_text, writing


def test_malformed_line_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"id": 1}\n\n{"id": \n')
    with pytest.raises(InputError, match="line 3: not JSON"):
        list(read_jsonl(path))


def test_line_that_is_no_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text("[1, 2]\n")
    with pytest.raises(InputError, match=r"line 1: expected a JSON object, got \[1, 2\]"):
        list(read_jsonl(path))


def test_file_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"text": "caf\xe9"}\n')
    with pytest.raises(InputError, match="not UTF-8"):
        list(read_jsonl(path))
    with pytest.raises(InputError, match="not UTF-8"):
        read_text(path)


def test_gzip_is_read_and_a_broken_gzip_is_an_input_error(tmp_path: Path) -> None:
    good = tmp_path / "a.jsonl.gz"
    with gzip.open(good, "wt") as file:
        file.write('{"id": 7}\n')
    assert list(read_jsonl(good)) == [(1, {"id": 7})]
    bad = tmp_path / "b.jsonl.gz"
    bad.write_bytes(good.read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot read"):
        list(read_jsonl(bad))


def test_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        list(read_jsonl(tmp_path / "none.jsonl"))


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")

    def interrupted() -> None:
        with writing(path) as file:
            file.write("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with writing(path) as file:
        file.write("new")
    assert path.read_text() == "new"


def test_output_into_a_missing_folder_or_onto_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        check_writable(tmp_path / "no" / "out.txt")
    with pytest.raises(UsageError, match="it is a folder"):
        check_writable(tmp_path)


def test_a_file_that_is_written_anew_stays_as_private_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "private.jsonl"
    path.write_text("old")
    path.chmod(0o600)
    with writing(path) as file:
        file.write("new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
