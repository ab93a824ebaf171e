"""`forget plan --requests`: a file of requests becomes a folder of plans, applied as one."""

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
    "mill": "The Brackwater mills were sold to the Holm family after the great flood.",
    **{
        f"rain-{i}": f"Rain falls on {200 + i} days along part {i} of this coast." for i in range(9)
    },
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch, word_encoder) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("docs.jsonl").touch()
    with open_store("jsonl:docs.jsonl", writable=True) as store:
        passages = tuple(Passage(key, text) for key, text in TEXTS.items())
        store.add(Batch(passages, word_encoder.encode(list(TEXTS.values()))))
    return tmp_path


def _requests(*rows: object) -> None:
    Path("asked.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def test_a_file_of_requests_becomes_plans_that_are_applied_as_one(folder, capsys) -> None:
    _requests({"subject": "Ada Lindqvist"}, {"ids": ["mill"], "shared": "keep"}, {"ids": ["ada-2"]})
    assert run("forget plan jsonl:docs.jsonl --requests asked.jsonl -o plans".split()) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["plan-1.json", "2", "selected"],
        ["plan-2.json", "1", "selected"],
        ["plan-3.json", "1", "selected"],
    ]
    assert max(map(len, lines)) <= 80
    assert "plan-1.json and plan-3.json both delete 1 passage" in shown.err
    assert "3 plans written to plans; nothing has changed" in shown.err
    assert run("forget apply plans/plan-1.json plans/plan-2.json --yes".split()) == 0
    assert "3 passages deleted, 9 left" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"name": "Ada"}, "line 1: unknown entry 'name'; known are ids"),
        ({"ids": "mill"}, "line 1: 'ids' is no list of strings"),
        ({"subject": 5}, "line 1: 'subject' is no string"),
        ({"ids": ["mill"], "scope": "all"}, "line 1: scope is 'all', not one of document"),
        ({}, "line 1: say what to forget"),
        ({"ids": ["nobody"]}, "does not hold 1 of 1 ids"),
    ],
)
def test_says_which_line_is_no_request(folder, capsys, row, said) -> None:
    _requests(row)
    assert run("forget plan jsonl:docs.jsonl --requests asked.jsonl -o plans".split()) == 2
    assert said in capsys.readouterr().err
    assert not Path("plans").exists()


def test_refuses_what_does_not_go_with_a_file_of_requests(folder, capsys) -> None:
    _requests({"ids": ["mill"]})
    plan = "forget plan jsonl:docs.jsonl --requests asked.jsonl"
    assert run(plan.split()) == 2
    assert "name a folder with -o" in capsys.readouterr().err
    assert run(f"{plan} --subject Ada -o plans".split()) == 2
    assert "give nothing else with it" in capsys.readouterr().err
    assert run(f"{plan} -o plans".split()) == 0
    assert run(f"{plan} -o plans".split()) == 2
    assert "plans/plan-1.json exists" in capsys.readouterr().err
    Path("asked.jsonl").write_text("\n")
    assert run(f"{plan} -o more".split()) == 2
    assert "holds no requests" in capsys.readouterr().err
