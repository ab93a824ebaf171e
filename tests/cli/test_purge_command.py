"""`ragshield purge` as people type it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ragshield.cli.main import run
from ragshield.records import Batch, Passage
from ragshield.stores.url import open_store

TEXTS = [f"Letter {i} of {i * 7919} lies beneath the stairs of the {i}th mill." for i in range(60)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch, word_encoder) -> Path:
    """A table from which another program deleted ten rows."""
    from ragshield.stores.sqlite import create_sqlite

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(TEXTS))
    create_sqlite(tmp_path / "docs.db", "docs", Batch(passages, word_encoder.encode(TEXTS))).close()
    with closing(sqlite3.connect("docs.db")) as database, database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("DELETE FROM docs WHERE rowid <= 10")
    return tmp_path


def test_it_says_what_it_did_to_each_place_and_that_rows_are_the_same(folder, capsys) -> None:
    gone = [text[9:40].encode() for text in TEXTS[:10]]
    assert any(text in Path("docs.db").read_bytes() for text in gone)
    assert run("purge sqlite:docs.db#docs --yes".split()) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        "sqlite:docs.db#docs: purged in place; 50 live rows, as before bit for bit\n"
        "  overwritten  docs.db: "
    )
    assert max(map(len, shown.splitlines())) <= 80
    assert not any(text in Path("docs.db").read_bytes() for text in gone)
    with open_store("sqlite:docs.db#docs") as store:
        assert store.get(["p30"]).passages[0].text == TEXTS[30]
    assert run("purge sqlite:docs.db#docs --yes".split()) == 0
    assert "nothing was left to purge; 50 live rows" in capsys.readouterr().out


def test_json_holds_every_place_and_nothing_else_is_printed(folder, capsys) -> None:
    assert run("purge sqlite:docs.db#docs --yes --format json".split()) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["store_url"], shown["how"]) == ("sqlite:docs.db#docs", "in place")
    assert (shown["n_live"], shown["resumed"], shown["untested"]) == (50, False, [])
    (file,) = shown["surfaces"]
    assert (file["name"], file["kind"], file["change"]) == ("docs.db", "file", "overwritten")
    assert 0 < file["n_bytes_changed"] <= file["n_bytes_before"] == file["n_bytes"]


@pytest.mark.parametrize("format_", ["text", "json"])
def test_without_yes_it_says_what_it_would_meet_and_changes_nothing(
    folder, capsys, format_
) -> None:
    before = Path("docs.db").read_bytes()
    assert run(f"purge sqlite:docs.db#docs --format {format_}".split()) == 2
    shown = capsys.readouterr()
    assert "nothing was purged; add --yes to purge" in shown.err
    said = shown.out if format_ == "text" else shown.err
    assert f"sqlite:docs.db#docs: 1 file of {len(before):,} bytes\n" in said
    assert (format_ == "text") == bool(shown.out)
    assert Path("docs.db").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["docs.db"]


def test_a_place_that_no_search_reaches_exits_3_until_it_is_declared(
    tmp_path, monkeypatch, word_encoder, capsys
) -> None:
    pytest.importorskip("faiss")
    from ragshield.stores.faiss import create_faiss

    monkeypatch.chdir(tmp_path)
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(TEXTS))
    create_faiss("town", Batch(passages, word_encoder.encode(TEXTS))).close()
    assert run("purge faiss:town --yes".split()) == 3
    shown = capsys.readouterr().out
    assert "NOT_TESTED   memory of programs that have the index loaded" in shown
    (command,) = (line for line in shown.splitlines() if "--out-of-scope" in line)
    assert command == "  ragshield purge faiss:town --yes --out-of-scope 'memory of programs'"
    assert run("purge faiss:town --yes --out-of-scope memory".split()) == 0
    assert "declared out of scope: memory of programs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("purge sqlite:none.db#docs --yes", "none.db"),
        ("purge sqlite:docs.db#other --yes", "other"),
        ("purge docs.db --yes", "'docs.db' is no store that can be purged; its URL begins with"),
        ("purge memory:x", "is no store that can be purged"),
        ("purge chroma:docs.db --yes", "docs.db"),
        ("purge sqlite:docs.db#docs --yes --format xml", "xml"),
        ("purge", "STORE"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(folder, capsys, arguments, said) -> None:
    before = Path("docs.db").read_bytes()
    assert run(arguments.split()) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert Path("docs.db").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["docs.db"]


def test_a_password_is_never_shown(folder, capsys) -> None:
    assert run(["purge", "pgvector:postgresql://me:hunter2@127.0.0.1:1/db#docs", "--yes"]) == 2
    shown = capsys.readouterr()
    assert "hunter2" not in shown.out + shown.err
