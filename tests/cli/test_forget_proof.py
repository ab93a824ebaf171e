"""`forget apply --certificate --final`, `verify` and `reverify` as people type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragshield.cli.main import run
from ragshield.records import Batch, Passage
from ragshield.stores.url import open_store

TEXTS = {
    "ada-1": "Ada Lindqvist founded the Tannow rope works in 1820 beside the northern quay.",
    "ada-2": "The letters of Ada Lindqvist fill four boxes in the archive of Harrowgate.",
    **{
        f"rain-{i}": f"Rain falls on {200 + i} days a year along part {i} of this long coast."
        for i in range(12)
    },
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch, word_encoder) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    Path("docs.jsonl").write_text("")
    with open_store("jsonl:docs.jsonl", writable=True) as store:
        passages = tuple(Passage(key, text) for key, text in TEXTS.items())
        store.add(Batch(passages, word_encoder.encode(list(TEXTS.values()))))
    run("forget plan jsonl:docs.jsonl --subject Ada --alias Lindqvist -o plan.json".split())
    return tmp_path


def test_before_the_end_the_certificate_lists_the_copy_for_undo(folder: Path, capsys) -> None:
    apply = "forget apply plan.json --yes --certificate cert.json --signing-key key.pem"
    assert run(apply.split()) == 0
    shown = capsys.readouterr().out
    assert "certificate: cert.json (RESIDUAL over all places)\n  ERASED in the stores;" in shown


def test_the_documented_commands_end_in_a_valid_certificate(folder: Path, capsys) -> None:
    capsys.readouterr()
    backup = Path("docs.jsonl").read_bytes()
    apply = "forget apply plan.json --yes --final --certificate cert.json --signing-key key.pem"
    assert run(apply.split()) == 0
    shown = capsys.readouterr()
    assert "2 passages deleted, 12 left in jsonl:docs.jsonl" in shown.out
    assert "ERASED: it was visible in the store's files before" in shown.out
    assert "certificate: cert.json (ERASED over all places)" in shown.out
    assert "What an SSD keeps in spare blocks" in shown.out.replace("\n", " ")
    assert "new signing key key.pem; give others its .pub file" in shown.err
    assert run("verify cert.json --key key.pem.pub --page page.html".split()) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("VALID. Erased from the knowledge base.\n")
    assert max(map(len, shown.out.splitlines())) <= 80
    assert "nobody changed it" not in shown.err
    assert run("reverify cert.json jsonl:docs.jsonl".split()) == 0
    assert capsys.readouterr().out.startswith("ERASED: 2 erased passages looked for in 12")
    Path("docs.jsonl").write_bytes(backup)
    assert run("reverify cert.json jsonl:docs.jsonl".split()) == 1
    assert "came back: ada-1" in capsys.readouterr().out
    assert run("reverify cert.json jsonl:docs.jsonl --format json".split()) == 1
    assert json.loads(capsys.readouterr().out)["returned"] == ["ada-1", "ada-2"]
    assert run("undo plan.json".split()) == 2
    assert "cannot be brought back by undo" in capsys.readouterr().err


def test_a_tampered_certificate_is_not_valid_and_exits_1(folder: Path, capsys) -> None:
    run("forget apply plan.json --yes --certificate cert.json".split())
    assert (folder / "home/.config/ragshield/signing.pem").exists()
    content = Path("cert.json").read_text()
    Path("cert.json").write_text(content.replace('"ERASED"', '"RESIDUAL"', 1))
    capsys.readouterr()
    assert run("verify cert.json".split()) == 1
    assert capsys.readouterr().out.startswith("NOT VALID: cert.json is not valid: ")
    assert run("reverify cert.json jsonl:docs.jsonl".split()) == 2
    assert run("verify none.json".split()) == 2


def test_the_page_stands_alone_and_says_what_is_kept(folder: Path, capsys) -> None:
    run("forget apply plan.json --yes --certificate cert.json".split())
    assert run("verify cert.json --page page.html".split()) == 0
    page = Path("page.html").read_text()
    assert "Erased from the knowledge base; an encrypted copy for undo is still kept" in page
    assert "weights of any language model" in page
    assert "Compared with a store that never held it" in page
    for canary in ("Lindqvist", "Tannow", "ada-1", "http://", "https://", "<script"):
        assert canary not in page
    capsys.readouterr()
    assert run("verify cert.json --format markdown".split()) == 0
    assert "| ERASED | #.jsonl |" in capsys.readouterr().out
    assert run("verify cert.json --format html".split()) == 0
    assert capsys.readouterr().out.strip() == page.strip()


def test_final_can_come_later_and_twice(folder: Path, capsys) -> None:
    assert run("forget apply plan.json --yes".split()) == 0
    assert run("forget apply plan.json --yes --final".split()) == 0
    capsys.readouterr()
    assert run("forget apply plan.json --yes --final".split()) == 0
    assert "Made final." in capsys.readouterr().out
    assert not Path("plan.json.key").exists()
    assert "Lindqvist" not in Path("plan.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("forget apply plan.json --yes --certificate no/c.json", "the folder no does not exist"),
        ("forget apply plan.json --yes --certificate c.json --signing-key docs.jsonl", "chmod 600"),
        ("forget apply plan.json plan.json --yes", "is given twice"),
        ("forget apply plan.json --final", "--final cannot be taken back; add --yes to confirm"),
        ("verify plan.json --key none", "cannot read none"),
        ("reverify none.json jsonl:docs.jsonl", "cannot read none.json"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(folder: Path, capsys, arguments, said) -> None:
    Path("docs.jsonl").chmod(0o644)
    before = Path("docs.jsonl").read_bytes()
    capsys.readouterr()
    assert run(arguments.split()) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert Path("docs.jsonl").read_bytes() == before
