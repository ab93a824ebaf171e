from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from ragshield.cli.main import run

REPORT = (
    "Ada Lindqvist founded the Tannow rope works in 1820 beside the northern quay. "
    "The works burnt down twice and were rebuilt with money from the harbour board."
)
TEXTS = {
    "ada": REPORT,
    "ada-kept": "Ada Lindqvist worked here as a rope maker.",
    "also": "The founder of the rope works, Ada Lindqvist, opened them in 1820, a wet year.",
    "mill": "The Brackwater mills were sold to the Holm family after the great flood.",
    **{f"f{i}": f"Word{i} other{i} thing{i} stands on leaf{i}." for i in range(8)},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch, word_encoder) -> Path:
    monkeypatch.chdir(tmp_path)
    vectors = word_encoder.encode(list(TEXTS.values()))
    with Path("docs.jsonl").open("w", encoding="utf-8") as file:
        for (key, text), vector in zip(TEXTS.items(), vectors, strict=True):
            row = {"id": key, "text": text, "meta": {"kind": key[:3]}, "vector": vector.tolist()}
            file.write(json.dumps(row) + "\n")
    return tmp_path


def plan(*arguments: str) -> int:
    return run(["forget", "plan", "jsonl:docs.jsonl", *arguments])


def shown(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def selected(record: dict) -> set[str]:
    return {item["passage_id"] for item in record["items"] if item["selected"]}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--where", '{"kind": "mil"}'], {"mill"}),
        (["--text", "report.txt", "--scope", "document"], {"ada"}),
        (["--text", "report.jsonl"], {"ada"}),
        (["--text", "facts.txt", "--scope", "fact"], {"ada", "also"}),
        (["--subject", "Ada Lindqvist"], {"ada", "ada-kept", "also"}),
        (["--request", "forget everything about Ada Lindqvist"], {"ada", "ada-kept", "also"}),
        (["--request", "forget that Ada Lindqvist founded the works in 1820"], {"ada", "also"}),
        (["--ids", "ids.txt", "--shared", "forget"], {"ada", "also"}),
    ],
)
def test_every_way_to_ask(folder: Path, capsys, arguments, wanted) -> None:
    Path("report.txt").write_text(REPORT)
    Path("report.jsonl").write_text(json.dumps({"text": REPORT}) + "\n")
    Path("facts.txt").write_text("Ada Lindqvist founded the rope works in 1820.\n\n")
    Path("ids.txt").write_text("ada\n")
    assert plan(*arguments, "--format", "json") == 0
    assert selected(shown(capsys)) == wanted


def test_a_sentence_with_an_exception_is_read_back_in_80_columns(folder: Path, capsys) -> None:
    sentence = "forget everything about Ada Lindqvist except that she worked as a rope maker"
    assert plan("--request", sentence) == 0
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 80
    assert "Scope subject: everything about the subject." in page
    assert "To be kept: she worked as a rope maker" in page
    assert "1 kept: about the subject, and stating only what is to be kept" in page
    assert "ada-kept  keeps 'she worked as a rope maker'" in page


def test_shared_facts_and_cost_are_on_the_page(folder: Path, capsys) -> None:
    Path("ids.txt").write_text("ada\n")
    assert plan("--ids", "ids.txt") == 0
    page = capsys.readouterr().out
    assert "facts that other passages state also: the others stay" in page
    assert "Ada Lindqvist: 1820" in page
    assert "also in also" in page
    assert "note: assumed, because it was not said: scope document" in page
    assert "Shared facts: keep; they stay where others state them." in page


def test_a_plan_that_selects_nothing_says_how_to_select(folder: Path, capsys) -> None:
    first = Path("docs.jsonl").read_text().splitlines()[0]
    with Path("docs.jsonl").open("a") as file:
        file.write(first.replace('"ada"', '"other"') + "\n")
    Path("said.txt").write_text("Ada Lindqvist founded the Tannow rope works in 1820.")
    asked = ["--text", "said.txt", "--scope", "fact", "--shared", "report", "-o", "plan.json"]
    assert plan(*asked) == 0
    assert selected(json.loads(Path("plan.json").read_text())) == set()
    said = capsys.readouterr().err
    assert 'it selects nothing yet: set "selected" to true in it' in said
    assert "Next:" not in said
    assert run("forget apply plan.json --yes --include-review".split()) == 0


def test_the_page_as_html(folder: Path, capsys) -> None:
    assert plan("--subject", "Ada Lindqvist", "--format", "html", "-o", "p.json") == 0
    out = capsys.readouterr().out
    assert out.startswith("<!doctype html>")
    assert "To forget the subject Ada Lindqvist" in out
    assert selected(json.loads(Path("p.json").read_text())) == {"ada", "ada-kept", "also"}


def test_artefacts_are_looked_into(folder: Path, capsys) -> None:
    Path("parents").mkdir()
    Path("parents/p1").write_text(REPORT)
    with sqlite3.connect("records.sqlite") as database:
        database.execute("CREATE TABLE upsertion_record (uuid, key, namespace, group_id)")
        database.execute("INSERT INTO upsertion_record VALUES ('u1', 'ada', 'n', NULL)")
    database.close()
    also = ["--also", "parent-store:parents", "--also", "record-manager:records.sqlite"]
    assert plan("--subject", "Ada Lindqvist", *also) == 0
    page = capsys.readouterr().out
    assert "parent-store parents: 1 selected, 0 to review" in page
    assert "p1  goes 1.00 mentions 'Ada Lindqvist'" in page
    assert "record-manager records.sqlite: 1 selected, 0 to review" in page


def test_overlapping_plans_are_named(folder: Path, capsys) -> None:
    Path("ids.txt").write_text("also\n")
    assert plan("--subject", "Ada Lindqvist", "-o", "ada.json") == 0
    assert plan("--ids", "ids.txt", "-o", "also.json") == 0
    said = capsys.readouterr().err
    assert "note: also.json and ada.json both delete 1 passage of jsonl:docs.jsonl: 'also'" in said


def test_a_read_only_store_can_be_planned(folder: Path, capsys) -> None:
    before = Path("docs.jsonl").read_bytes()
    Path("docs.jsonl").chmod(0o444)
    folder.chmod(0o555)
    try:
        assert plan("--subject", "Ada Lindqvist", "--format", "json") == 0
    finally:
        folder.chmod(0o755)
    assert selected(shown(capsys)) == {"ada", "ada-kept", "also"}
    assert Path("docs.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--where", "{"], "--where is not JSON"),
        (["--where", "[1]"], "--where: expected a JSON object"),
        (["--where", '{"a": {"$x": 1}}'], "unknown operator '$x'"),
        (["--where", '{"kind": "none"}'], "carries what matches the filter; nothing planned"),
        (["--text", "empty.txt"], "empty.txt holds no text"),
        (["--text", "bad.jsonl"], "bad.jsonl, line 1: no 'text'"),
        (["--text", "none.txt"], "cannot read none.txt"),
        (["--request", "make tea"], "cannot read the request 'make tea'"),
        (["--subject", "A", "--scope", "fact"], "a subject is forgotten in scope subject"),
        (["--subject", "A", "--where", '{"a": 1}'], "make two requests"),
        (["--subject", "Ada", "--also", "cellar:x"], "is not KIND:PATH"),
        (["--subject", "Ada", "--also", "docstore:none.json"], "there is no file or folder"),
        (["--where", '{"id": {"$ne": "f1"}}'], "would delete 11 of 12 passages, more than half"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(folder: Path, capsys, arguments, said) -> None:
    Path("empty.txt").write_text(" \n")
    Path("bad.jsonl").write_text('{"txt": 1}\n')
    assert plan(*arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
