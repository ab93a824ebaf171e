"""`ragshield quarantine`: as documented, in a real Chroma collection."""

from __future__ import annotations

import json
from pathlib import Path

import chromadb
import pytest

from ragshield.cli.main import run
from ragshield.stores.url import open_store

TEXTS = {
    "ada": "Ada Lindqvist founded the Tannow rope works in 1820.",
    "mill": "The Brackwater mills were sold to the Holm family. \x1b[31mred",
    "rain": "Rain falls on two hundred days a year along this coast.",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word_encoder) -> Path:
    monkeypatch.chdir(tmp_path)
    client = chromadb.PersistentClient("db")
    collection = client.create_collection("docs", embedding_function=None)
    vectors = word_encoder.encode(list(TEXTS.values()))
    collection.add(
        ids=list(TEXTS),
        documents=list(TEXTS.values()),
        embeddings=list(vectors * 3),
        metadatas=[{"source": f"{x}.md"} for x in TEXTS],
    )
    client.close()
    rows = [("ada", 0.2), ("mill", 0.93)]
    lines = [
        {"passage_id": x, "suspicion": s, "detector": "test", "reason": f"looks like {x}"}
        for x, s in rows
    ]
    Path("findings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def stored() -> dict[str, tuple[str, str | None, bytes]]:
    with open_store("chroma:./db#docs") as store:
        return {
            p.id: (p.text, p.source, row.tobytes())
            for batch in store.batches()
            for p, row in zip(batch.passages, batch.vectors, strict=True)
        }


def test_findings_are_taken_out_looked_at_and_put_back(folder: Path, capsys) -> None:
    before = stored()
    assert run("quarantine add chroma:./db#docs --findings findings.jsonl".split()) == 0
    assert stored() == before
    shown = capsys.readouterr()
    assert "1 passage would be taken out of chroma:./db#docs" in shown.out
    assert "add --yes" in shown.err
    assert run("quarantine add chroma:./db#docs --findings findings.jsonl --yes".split()) == 0
    assert set(stored()) == {"ada", "rain"}
    assert run("quarantine list".split()) == 0
    assert run("quarantine show mill".split()) == 0
    shown = capsys.readouterr().out
    assert "0.93 test: looks like mill" in shown
    assert "source  mill.md" in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert run("quarantine release mill".split()) == 0
    assert stored() == before


def test_what_is_purged_is_gone_from_the_file(folder: Path, capsys) -> None:
    Path("ids.txt").write_text("mill\nunknown\n")
    assert run("quarantine add chroma:./db#docs --ids ids.txt --yes".split()) == 0
    assert "not in the store: 1 ('unknown')" in capsys.readouterr().err
    assert "Brackwater" in Path("quarantine.jsonl").read_text()
    assert run("quarantine purge mill".split()) == 2
    assert "Brackwater" in Path("quarantine.jsonl").read_text()
    assert run("quarantine purge mill --yes".split()) == 0
    assert "Brackwater" not in Path("quarantine.jsonl").read_text()
    assert set(stored()) == {"ada", "rain"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("quarantine add chroma:./db#docs --yes", "--findings FILE or --ids FILE"),
        ("quarantine list --file none.jsonl", "none.jsonl does not exist"),
        ("quarantine list --file findings.jsonl", "expected the schema"),
        ("quarantine add chroma:./db#docs --findings broken.jsonl --yes", "line 1"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    folder: Path, capsys, command: str, said: str
) -> None:
    Path("broken.jsonl").write_text('{"passage": "mill"}\n')
    before = stored()
    assert run(command.split()) == 2
    shown = capsys.readouterr().err.strip()
    assert said in shown
    assert "\n" not in shown
    assert stored() == before
