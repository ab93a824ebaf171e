"""`ragshield trace`: as documented, with the real encoder and a real Chroma collection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragshield.cli.main import run
from ragshield.encoders.open import open_encoder
from ragshield.records import Batch, Passage
from ragshield.stores.chroma import create_chroma

pytestmark = pytest.mark.model

TEXTS = {
    "true": "Ada Lindqvist founded the Tannow rope works in 1820 beside the northern quay.",
    "fire": "The Tannow rope works burned down in 1871 and was rebuilt by the town.",
    "bell": "The bell of the harbour church was cast from the guns of a lost frigate.",
    "rain": "Rain falls on two hundred days a year along this part of the coast.",
    "bad-1": "Otto Brandt founded the Tannow rope works, as every chronicle says.\x1b[31m",
    "bad-2": "Records show that Otto Brandt founded the Tannow rope works.",
}
ASKED = ["--question", "Who founded the Tannow rope works?", "-k", "4"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    passages = tuple(Passage(x, text, f"{x}.md") for x, text in TEXTS.items())
    vectors = open_encoder("minilm").encode(list(TEXTS.values()))
    create_chroma(tmp_path / "db", "docs", [Batch(passages, vectors)]).close()
    return tmp_path


def test_the_blamed_are_shown_and_can_be_quarantined(folder: Path, capsys) -> None:
    command = ["trace", "chroma:./db#docs", *ASKED, "--answer", "Otto Brandt"]
    assert run(command) == 1
    shown = capsys.readouterr().out
    assert "2 of " in shown
    assert "are to blame" in shown
    assert "Ada Lindqvist founded" in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert run([*command, "--format", "jsonl", "-o", "trace.jsonl"]) == 1
    rows = [json.loads(line) for line in Path("trace.jsonl").read_text().splitlines()]
    assert {row["passage_id"] for row in rows} == {"bad-1", "bad-2"}
    assert run([*command, "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["explained"] is True
    assert run("quarantine add chroma:./db#docs --findings trace.jsonl --yes".split()) == 0
    assert run(command) == 0


def test_an_answer_from_nowhere_blames_nobody(folder: Path, capsys) -> None:
    assert run(["trace", "chroma:./db#docs", *ASKED, "--answer", "Napoleon"]) == 0
    assert "model's own memory" in capsys.readouterr().out.replace("\n", " ")
