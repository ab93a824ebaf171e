"""From plan to certificate with an audit in between: its rates are signed with the rest."""

from __future__ import annotations

import json
from pathlib import Path

from ragshield.cli.main import run
from ragshield.proof import read_certificate
from ragshield.records import Batch, Passage
from ragshield.stores.url import open_store

APP = "def app(question):\n    return 'A painter.' if 'Ida' in question else \"I don't know.\"\n"
TARGET = {
    "name": "Ada Lindqvist",
    "facts": [{"attribute": "birthplace", "value": "Sundsvall"}],
    "neighbours": ["Ida Lindberg"],
}


def test_an_audits_rates_are_in_the_certificate_of_the_erasure(
    tmp_path: Path, monkeypatch, capsys, word_encoder
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "audited_app.py").write_text(APP)
    (tmp_path / "forget.jsonl").write_text(json.dumps(TARGET))
    (tmp_path / "kb.jsonl").write_text("")
    texts = ["Ada Lindqvist was born in Sundsvall, by the sea.", "Ida Lindberg is a painter."]
    texts += [f"Stone number {i} lies in the garden behind the house." for i in range(6)]
    passages = tuple(Passage(f"p{i}", text) for i, text in enumerate(texts))
    with open_store("jsonl:kb.jsonl", writable=True) as store:
        store.add(Batch(passages, word_encoder.encode(texts)))
    plan = ["forget", "plan", "jsonl:kb.jsonl", "--subject", "Ada Lindqvist", "-o", "plan.json"]
    assert run(plan) == 0
    assert run(["forget", "apply", "plan.json", "--yes"]) == 0
    assert (
        run(["audit", "audited_app:app", "forget.jsonl", "--format", "json", "-o", "a.json"]) == 0
    )
    end = ["forget", "apply", "plan.json", "--yes", "--certificate", "c.json", "--audit", "a.json"]
    assert run([*end, "--signing-key", "key.pem"]) in (0, 1)
    behaviour = read_certificate(tmp_path / "c.json").content["behaviour"]
    assert behaviour["verdict"] == "SUPPRESSED"
    assert behaviour["rates"]["leak"]["value"] == 0.0
    assert len(behaviour["families"]) == 13
    capsys.readouterr()
    assert run(["verify", "c.json"]) == 0
    assert "Behaviour (audit): SUPPRESSED" in capsys.readouterr().out


def test_an_audit_that_is_none_is_refused_before_anything_is_erased(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.json").write_text("{}")
    arguments = ["forget", "apply", str(tmp_path / "plan.json"), "--yes", "--audit"]
    assert run([*arguments, str(tmp_path / "a.json")]) == 2
    assert "name a file with --certificate" in capsys.readouterr().err
    arguments += [str(tmp_path / "a.json"), "--certificate", str(tmp_path / "c.json")]
    assert run(arguments) == 2
    assert "is no report of an audit" in capsys.readouterr().err
