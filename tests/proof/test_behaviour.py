"""An audit's rates go into a certificate, and cannot claim more than they show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ragshield.audit import Policy, audit
from ragshield.audit.outcome import concluded
from ragshield.errors import InputError, UsageError
from ragshield.forget.ending import finish
from ragshield.forget_set import Fact, ForgetTarget
from ragshield.proof import check, issue, new_key
from ragshield.proof.behaviour import behaviour_in_words, read_behaviour
from ragshield.proof.page import as_html, as_markdown, as_text

ADA = ForgetTarget(
    "Ada Lindqvist", facts=(Fact("birthplace", "Sundsvall"),), neighbours=("Ida Lindberg",)
)
CONTENT: dict[str, Any] = {
    "tool": {"name": "ragshield", "version": "0"},
    "issued": "2026-11-21T08:00:00Z",
    "requests": [],
    "closure": {},
    "places": [],
    "comparison": None,
    "undo": {"possible": False},
    "exceptions": [],
    "times": {},
}


def report(path: Path, answer: str) -> Path:
    found = audit(lambda q: answer if "Ada" in q else "A painter.", [ADA], families=("plain",))
    outcome = concluded(found, Policy(max_membership=None))
    record = found.record() | {
        "status": outcome.status,
        "breaches": [breach._asdict() for breach in outcome.breaches],
    }
    path.write_text(json.dumps(record))
    return path


def test_a_passed_audit_stands_in_the_certificate_as_suppressed(tmp_path: Path) -> None:
    found = read_behaviour(report(tmp_path / "a.json", "I don't know."))
    data = issue({**CONTENT, "behaviour": found}, new_key())
    checked = check(data)
    assert checked.content["behaviour"]["verdict"] == "SUPPRESSED"
    assert checked.content["behaviour"]["rates"]["leak"]["value"] == 0.0
    for shown in ("\n".join(as_text(checked, 80)), as_markdown(checked), as_html(checked)):
        assert "Behaviour (audit)" in shown
        assert "SUPPRESSED: leak 0.000" in " ".join(shown.split())
    assert b"Lindqvist" not in data
    assert b"Sundsvall" not in data


def test_a_failed_audit_says_that_it_leaks_and_where(tmp_path: Path) -> None:
    found = read_behaviour(report(tmp_path / "a.json", "Sundsvall"))
    assert found["verdict"] == "LEAKS"
    assert "max_leak" in found["breaches"]
    assert "LEAKS: leak 1.000" in behaviour_in_words(found)
    assert "exceeded: max_excess, max_family_leak, max_leak" in behaviour_in_words(found)


def test_a_certificate_without_an_audit_is_as_valid_as_before() -> None:
    assert "behaviour" not in check(issue(CONTENT, new_key())).content


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "SUPPRESSED"},
        {"verdict": "ERASED"},
        {"breaches": []},
        {"probes_sha256": "abc"},
        {"families": {"plain": 5}},
    ],
)
def test_a_summary_that_contradicts_itself_is_refused(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    found = read_behaviour(report(tmp_path / "a.json", "Sundsvall"))
    with pytest.raises(InputError, match="'behaviour'"):
        issue({**CONTENT, "behaviour": {**found, **change}}, new_key())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is no report of an audit"),
        ('{"schema": "ragshield-audit/1"}', "is a broken report of an audit: 'status'"),
        ('{"schema": "ragshield-audit/1", "status": "great"}', "broken report"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_behaviour(path)


def test_an_audit_needs_a_certificate_to_go_into(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="an audit goes into a certificate"):
        finish([tmp_path / "plan.json"], audit=report(tmp_path / "a.json", "x"))
