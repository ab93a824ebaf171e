"""An audit's SARIF is valid against the schema, quoted or not."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from ragshield.audit import Policy, audit
from ragshield.audit.outcome import concluded
from ragshield.forget_set import Fact, ForgetTarget
from ragshield.reports.audit_sarif import as_sarif

SCHEMA = json.loads(Path(__file__).with_name("sarif-schema-2.1.0.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("quote", [True, False])
def test_the_log_is_valid_whatever_the_application_said(quote: bool) -> None:
    target = ForgetTarget("Ada \u202e<b>", facts=(Fact("birthplace", "Sundsvall"),))
    found = audit(
        lambda q: "Sundsvall\x00\udc80](http://x) <script>" if "Ada" in q else "no idea",
        [target],
        families=("plain", "re-injection"),
    )
    log = json.loads(as_sarif(concluded(found, Policy()), "sets/for get.jsonl", quote=quote))
    kind = jsonschema.validators.validator_for(SCHEMA)
    kind(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(log)
    [run] = log["runs"]
    assert len(run["results"]) > len(found.leaks) > 0
    place = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert place == "sets/for%20get.jsonl"
