from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import chromadb
import pytest

from ragshield.cli.main import run
from ragshield.stores.url import open_store

TEXTS = {
    "ada-1": "Ada Lindqvist founded the Tannow rope works in 1820 beside the northern quay.",
    "ada-2": "The letters of Ada Lindqvist fill four boxes in the archive of Harrowgate.",
    "ada-3": "Old sailors tell stories in which Lindqvist outwits the master. \x1b[31mred",
    "mill": "The Brackwater mills were sold to the Holm family after the great flood.",
    "rain": "Rain falls on two hundred days a year along this part of the coast.",
    "bell": "The bell of the harbour church was cast from the guns of a lost frigate.",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch, word_encoder) -> Path:
    """A folder with a Chroma database in ./db, as in the documented commands."""
    monkeypatch.chdir(tmp_path)
    client = chromadb.PersistentClient("db")
    collection = client.create_collection(
        "docs", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    vectors = word_encoder.encode(list(TEXTS.values()))
    collection.add(ids=list(TEXTS), documents=list(TEXTS.values()), embeddings=list(vectors * 3))
    client.close()
    return tmp_path


def stored() -> dict[str, tuple[str, tuple[float, ...]]]:
    """Texts and vectors; rounded, since Chroma normalises in cosine space at every add."""
    with open_store("chroma:./db#docs") as store:
        return {
            p.id: (p.text, tuple((row.round(5) + 0.0).tolist()))
            for batch in store.batches()
            for p, row in zip(batch.passages, batch.vectors, strict=True)
        }


def test_the_documented_commands_work_as_written(folder: Path, capsys) -> None:
    before = stored()
    Path("ids.txt").write_text("ada-1\n\nmill\n")
    assert run("scan chroma:./db#docs --format jsonl -o findings.jsonl".split()) == 0
    assert run("forget plan chroma:./db#docs --ids ids.txt -o plan.json".split()) == 0
    assert stored() == before
    assert run("forget apply plan.json --yes".split()) == 0
    assert stored() == {k: v for k, v in before.items() if k not in {"ada-1", "mill"}}
    assert run("undo plan.json".split()) == 0
    assert stored() == before
    shown = capsys.readouterr()
    assert "2 passages deleted, 4 left in chroma:./db#docs" in shown.out
    assert "to take it back: ragshield undo plan.json" in shown.out
    assert "2 passages restored; 6 in chroma:./db#docs" in shown.out


def test_a_plan_by_subject_shows_what_and_why_in_80_columns(folder: Path, capsys) -> None:
    assert run(["forget", "plan", "chroma:./db#docs", "--subject", "Ada Lindqvist"]) == 0
    page = capsys.readouterr().out
    assert max(len(line) for line in page.splitlines()) <= 80
    assert "\x1b" not in page
    assert "2 selected: apply deletes them" in page
    assert "ada-1  1.00 mentions 'Ada Lindqvist'" in page
    assert "1 to review: they stay unless you select them" in page
    assert "does not erase the bytes on disk" in page.replace("\n", " ")


def test_aliases_and_the_plan_as_json(folder: Path, capsys) -> None:
    arguments = ["--subject", "Ada Lindqvist", "--alias", "Holm family", "--format", "json"]
    assert run(["forget", "plan", "chroma:./db#docs", *arguments]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["schema"] == "ragshield-forget-plan"
    counts = {"passages": 6, "selected": 3, "review": 1, "at_risk": 2}
    assert counts.items() <= record["counts"].items()
    assert {i["passage_id"] for i in record["items"] if i["selected"]} == {"ada-1", "ada-2", "mill"}


def test_without_yes_nothing_goes(folder: Path, capsys) -> None:
    before = stored()
    Path("ids.txt").write_text("ada-1\n")
    run("forget plan chroma:./db#docs --ids ids.txt -o plan.json".split())
    capsys.readouterr()
    assert run("forget apply plan.json".split()) == 2
    shown = capsys.readouterr()
    assert "1 selected: apply deletes them" in shown.out
    assert "1 passages would go from chroma:./db#docs; add --yes to delete" in shown.err
    assert stored() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("forget plan chroma:./db#docs --ids none.txt", "cannot read none.txt"),
        ("forget plan chroma:./db#docs --ids empty.txt", "empty.txt holds no ids"),
        ("forget plan chroma:./db#docs --ids unknown.txt", "1 of 2 ids: 'nobody'"),
        ("forget plan chroma:./db#docs --ids latin.txt", "latin.txt: not UTF-8"),
        ("forget plan chroma:./db#docs --ids many.txt", "4 of 6 passages, more than half"),
        ("forget plan chroma:./db#docs --subject Nobody", "mentions 'Nobody'; nothing planned"),
        ("forget plan chroma:./db#docs", "say what to forget: ids, a filter, a text, a subject"),
        ("forget plan chroma:./none#docs --subject Ada", "none"),
        ("forget plan chroma:./db#none --subject Ada", "none"),
        ("forget plan chroma:./db#docs --subject Ada -o no/p.json", "folder no does not exist"),
        ("forget apply broken.json --yes", "broken.json, line 1: not JSON"),
        ("forget apply other.json --yes", "other.json: 'schema' is missing"),
        ("forget apply none.json --yes", "cannot read none.json"),
        ("undo other.json", "other.json: 'schema' is missing"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(folder: Path, capsys, arguments, said) -> None:
    before = stored()
    Path("empty.txt").write_text("\n  \n")
    Path("unknown.txt").write_text("ada-1\nnobody\n")
    Path("latin.txt").write_bytes(b"caf\xe9\n")
    Path("many.txt").write_text("ada-1\nada-2\nada-3\nmill\n")
    Path("broken.json").write_text("{")
    Path("other.json").write_text("{}")
    assert run(arguments.split()) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert stored() == before


def test_undo_before_apply_is_an_error(folder: Path, capsys) -> None:
    Path("ids.txt").write_text("ada-1\n")
    run("forget plan chroma:./db#docs --ids ids.txt -o plan.json".split())
    capsys.readouterr()
    assert run("undo plan.json".split()) == 2
    assert "plan.json was never applied; there is nothing to undo" in capsys.readouterr().err


def test_a_large_plan_and_unknown_ids_can_be_allowed(folder: Path, capsys) -> None:
    Path("ids.txt").write_text("ada-1\nada-2\nada-3\nmill\nnobody\n")
    arguments = "--ids ids.txt --allow-large --skip-unknown -o plan.json"
    assert run(["forget", "plan", "chroma:./db#docs", *arguments.split()]) == 0
    assert "1 ids are not in the store" in capsys.readouterr().err
    assert run("forget apply plan.json --yes".split()) == 0
    assert set(stored()) == {"rain", "bell"}


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_deletes_nothing(folder: Path) -> None:
    Path("ids.txt").write_text("ada-1\n")
    run("forget plan chroma:./db#docs --ids ids.txt -o plan.json".split())
    Path("kept").mkdir(mode=0o500)
    assert run("forget apply plan.json --yes --snapshot kept".split()) == 2
    assert "ada-1" in stored()
