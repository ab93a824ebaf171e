"""The schema beside this file is the one that @microsoft/sarif-multitool 5.7.0 (MIT) ships."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import pytest

from ragshield.reports.sarif import as_sarif

SCHEMA = json.loads(Path(__file__).with_name("sarif-schema-2.1.0.json").read_text(encoding="utf-8"))


def log_of(report, **options):
    options = {"quote": False, **options}
    log = json.loads(as_sarif(report, **options))
    kind = jsonschema.validators.validator_for(SCHEMA)
    kind(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(log)
    return log


@pytest.mark.parametrize("quote", [True, False])
@pytest.mark.parametrize("which", ["clean", "hostile", "many"])
def test_the_log_is_valid_against_the_schema(request, which: str, quote: bool) -> None:
    report = request.getfixturevalue(which)
    # Two hundred results show what two thousand would.
    report = replace(report, listed=report.listed[:200])
    (run,) = log_of(report, quote=quote)["runs"]
    assert len(run["results"]) == len(report.listed)


def test_the_schema_refuses_what_is_no_log(hostile) -> None:
    log = json.loads(as_sarif(hostile, quote=False))
    log["runs"][0]["results"][0]["level"] = "dreadful"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(log, SCHEMA)


def test_a_result_names_the_stored_record_and_its_rule(hostile) -> None:
    (run,) = log_of(hostile, exit_code=1)["runs"]
    first = run["results"][0]
    rule = run["tool"]["driver"]["rules"][first["ruleIndex"]]
    assert rule["id"] == first["ruleId"] == "ragshield/question-echo"
    assert "What to do" in rule["help"]["text"]
    assert float(rule["properties"]["security-severity"]) == 7.5
    (location,) = first["locations"]
    assert location["logicalLocations"][0]["name"] == "kb/<b>1</b> ⟨U+202E⟩"
    uri = location["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "chroma-db-docs/kb%2F%3Cb%3E1%3C%2Fb%3E%20%E2%80%AE"
    assert urlsplit(uri).scheme == ""
    assert first["rank"] == 97.0
    assert run["invocations"][0]["exitCode"] == 1


def test_rules_point_at_taxa_that_are_there(hostile) -> None:
    (run,) = log_of(hostile)["runs"]
    taxa = {(t["name"], e["id"]): e for t in run["taxonomies"] for e in t["taxa"]}
    assert ("mitre-atlas", "AML.T0066") in taxa
    assert taxa["owasp-llm-2026", "LLM09:2026"]["name"] == "Vector and Embedding Weaknesses"
    for rule in run["tool"]["driver"]["rules"]:
        for relation in rule["relationships"]:
            target = relation["target"]
            assert (target["toolComponent"]["name"], target["id"]) in taxa


def test_what_was_not_judged_is_open_and_not_a_failure(hostile) -> None:
    (run,) = log_of(hostile)["runs"]
    last = run["results"][-1]
    assert (last["kind"], last["level"]) == ("open", "none")
    assert "rank" not in last


def test_without_quotes_nothing_stored_is_in_the_log(hostile) -> None:
    text = as_sarif(hostile, quote=False)
    for stored in ("alert(1)", "onerror", "evil.example", "obey", "near clean"):
        assert stored not in text
    assert "alert(1)" in as_sarif(hostile, quote=True)


def test_fingerprints_do_not_depend_on_order_or_length_of_the_list(many) -> None:
    def marks(report) -> dict[str, str]:
        (run,) = json.loads(as_sarif(report, quote=False))["runs"]
        return {
            r["locations"][0]["logicalLocations"][0]["name"]: r["partialFingerprints"][
                "ragshield/v1"
            ]
            for r in run["results"]
        }

    all_of_them = marks(many)
    assert len(set(all_of_them.values())) == 2000
    reversed_half = marks(replace(many, listed=many.listed[:500][::-1]))
    assert reversed_half.items() <= all_of_them.items()


def test_the_first_result_has_its_neighbours_as_related_locations(hostile) -> None:
    (run,) = log_of(hostile)["runs"]
    related = run["results"][0]["relatedLocations"]
    assert len(related) == 3
    assert "similarity" in related[0]["message"]["text"]


def test_an_incomplete_scan_and_a_cut_list_are_said(report_of, many) -> None:
    broken = report_of([], {}, complete=False, problem="reading broke off")
    (run,) = log_of(broken, exit_code=3)["runs"]
    assert run["invocations"][0]["executionSuccessful"] is False
    notices = run["invocations"][0]["toolExecutionNotifications"]
    assert notices == [{"level": "error", "message": {"text": "reading broke off"}}]
    (run,) = log_of(replace(many, listed=many.listed[:10]))["runs"]
    assert "1990 more findings" in json.dumps(run["invocations"])


def test_the_state_against_a_baseline_is_written(hostile) -> None:
    first, *others = hostile.listed
    compared = replace(hostile, listed=(replace(first, known=True), *others), has_baseline=True)
    (run,) = log_of(compared)["runs"]
    assert [r["baselineState"] for r in run["results"]] == ["unchanged", "new", "new"]
