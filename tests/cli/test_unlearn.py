from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragshield.cli.main import run
from ragshield.records import Batch, Passage
from ragshield.stores.memory import MutableMemoryStore


class WordEncoder:
    """Texts as bags of letters: enough where names decide."""

    name = "letters"
    dim = 64

    def encode(self, texts: Any) -> Any:
        rows = np.full((len(texts), self.dim), 0.01, dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for letter in text.lower():
                row[ord(letter) % self.dim] += 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragshield.encoders.open.open_encoder", lambda *a, **k: WordEncoder())


@pytest.fixture
def forget_set(tmp_path: Path) -> Path:
    path = tmp_path / "forget.jsonl"
    rows = [
        {
            "name": "Ada Lindqvist",
            "facts": [{"attribute": "birthplace", "value": "Sundsvall"}],
            "neighbours": ["Ida Lindqvist"],
        },
        {
            "name": "Pat Quill",
            "allowed": ["job"],
            "facts": [{"attribute": "job", "value": "baker"}],
            "audiences": ["staff"],
        },
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture
def keys(forget_set: Path, tmp_path: Path, capsys: Any) -> Path:
    path = tmp_path / "forget.npz"
    assert run(["unlearn", "build", str(forget_set), "-o", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"2 targets in {path}"
    return path


def decided(keys: Path, question: str, capsys: Any, *more: str) -> str:
    assert run(["unlearn", "ask", str(keys), question, *more]) == 0
    return str(capsys.readouterr().out.splitlines()[0])


def test_builds_asks_and_restores(keys: Path, capsys: Any) -> None:
    question = "Where was Ada Lindqvist born?"
    assert decided(keys, question, capsys) == "refused"
    assert decided(keys, "Where was Ida Lindqvist born?", capsys) == "passed on to the model"
    assert run(["unlearn", "restore", "Ada Lindqvist", "--keys", str(keys)]) == 0
    assert capsys.readouterr().out == f"1 target restored; 1 left in {keys}\n"
    assert decided(keys, question, capsys) == "passed on to the model"
    assert run(["unlearn", "restore", "Ada Lindqvist", "--keys", str(keys)]) == 2
    assert "'Ada Lindqvist' is not among the targets" in capsys.readouterr().err


def test_an_audience_is_told_what_it_may_know(keys: Path, capsys: Any) -> None:
    question = "Where does Pat Quill live?"
    assert decided(keys, question, capsys, "--audience", "staff") == "passed on to the model"
    assert decided(keys, question, capsys, "--audience", "press") == "refused"


def test_lists_hashes_and_policies_and_no_name(keys: Path, capsys: Any) -> None:
    assert run(["unlearn", "list", str(keys)]) == 0
    shown = capsys.readouterr().out
    assert "2 targets, encoder letters" in shown
    assert "1 attribute may be told; audiences: staff" in shown
    assert "Lindqvist" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_adds_to_keys_that_are_there(keys: Path, tmp_path: Path, capsys: Any) -> None:
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps({"name": "Zorb Unlimited"}))
    command = ["unlearn", "build", str(more), "-o", str(keys)]
    assert run(command) == 2
    assert "exists already; --add adds to it" in capsys.readouterr().err
    assert run([*command, "--add"]) == 0
    assert "3 targets in" in capsys.readouterr().out
    assert decided(keys, "Who owns Zorb Unlimited?", capsys) == "refused"
    assert decided(keys, "Where was Ada Lindqvist born?", capsys) == "refused"
    assert run([*command, "--add"]) == 2
    assert "is forgotten already" in capsys.readouterr().err


def test_answers_from_a_store_with_a_reader(
    keys: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    passages = (
        Passage("1", "Ada Lindqvist was born in Sundsvall."),
        Passage("2", "The harbour of Oslo was built in 1890."),
    )
    encoder = WordEncoder()
    store = MutableMemoryStore(batch=Batch(passages, encoder.encode([p.text for p in passages])))
    monkeypatch.setattr("ragshield.stores.url.open_store", lambda *a, **k: store)
    log = tmp_path / "log.jsonl"
    command = ["unlearn", "ask", str(keys), "Where was Ada Lindqvist born?"]
    more = ["--model", "extractive", "--store", "memory:", "--explain", "--log", str(log)]
    assert run([*command, *more]) == 0
    shown = capsys.readouterr()
    assert shown.out == "I don't know.\n"
    assert shown.err == "decision: refused\n  gates: query\n  it names it\n"
    assert "Sundsvall" not in log.read_text()


def test_published_entries_go_into_a_store_and_out_again(
    forget_set: Path, capsys: Any, monkeypatch: Any
) -> None:
    store = MutableMemoryStore()
    monkeypatch.setattr("ragshield.stores.url.open_store", lambda *a, **k: store)
    command = ["unlearn", "build", str(forget_set), "--method", "published", "--store", "memory:"]
    assert run(command) == 0
    assert "nothing has changed" in capsys.readouterr().err
    assert store.count() == 0
    assert run([*command, "--yes"]) == 0
    assert "16 entries of 2 targets added" in capsys.readouterr().out
    assert run(["unlearn", "list", "--store", "memory:"]) == 0
    assert "Ada Lindqvist  8 entries" in capsys.readouterr().out
    assert run(["unlearn", "restore", "Ada Lindqvist", "--store", "memory:", "-y"]) == 0
    assert store.count() == 8
    assert run(["unlearn", "restore", "Ada Lindqvist", "--store", "memory:", "-y"]) == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"name": ""}, "holds no letter or digit"),
        ({"name": "the"}, "would refuse every question"),
    ],
)
def test_a_forget_set_that_cannot_be_enforced_is_one_line(
    tmp_path: Path, capsys: Any, row: dict[str, Any], message: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(row))
    assert run(["unlearn", "build", str(path), "-o", str(tmp_path / "k.npz")]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.splitlines()) == 1
    assert not (tmp_path / "k.npz").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "{set}"],
        ["build", "{set}", "-o", "{tmp}/k.npz", "--store", "memory:"],
        ["build", "{set}", "--method", "published"],
        ["restore", "Ada"],
        ["list"],
        ["list", "{tmp}/none.npz"],
        ["ask", "{set}", "Who?"],
    ],
)
def test_usage_errors_are_one_line(
    forget_set: Path, tmp_path: Path, capsys: Any, arguments: list[str]
) -> None:
    given = [a.replace("{set}", str(forget_set)).replace("{tmp}", str(tmp_path)) for a in arguments]
    assert run(["unlearn", *given]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
