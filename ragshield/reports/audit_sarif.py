"""An audit as SARIF 2.1.0: a rule for each family, a result for each leak."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote as percent

from ragshield import __version__
from ragshield.audit.outcome import Outcome
from ragshield.audit.recording import leak_record, summary
from ragshield.audit.result import Leak
from ragshield.audit.templates import templates
from ragshield.reports.audit_text import figures, seen_in_words
from ragshield.reports.visible import visible

MAX_RESULTS = 25_000
"""GitHub refuses runs with more."""

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_BREACH = "policy"


def as_sarif(outcome: Outcome, forget_set: str, *, quote: bool) -> str:
    """A log with one run.

    The target's line in the forget set is where a leak is shown; breaches of the policy are
    results of their own at its first line.

    Args:
        outcome: the audit and its policy.
        forget_set: path of the forget set, relative to where the report is read.
        quote: with questions and answers.
    """
    found = outcome.found
    families = list(found.families)
    place = percent(forget_set.lstrip("/"), safe="/") or "forget-set"
    results = [_breach(breach.said, len(families), place) for breach in outcome.breaches]
    results += [
        _result(leak, families.index(leak.probe.family), place, quote=quote)
        for leak in found.leaks[: MAX_RESULTS - len(results)]
        if leak.probe.family is not None
    ]
    notices = [{"level": "warning", "message": {"text": said}} for said in outcome.missing]
    notices += [{"level": "note", "message": {"text": said}} for said in outcome.notes]
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "ragshield",
                "version": __version__,
                "semanticVersion": __version__,
                "shortDescription": {"text": "Tries to get back what was forgotten."},
                "rules": [*(_rule(name) for name in families), _policy_rule()],
            }
        },
        "automationDetails": {"id": f"ragshield/audit/{place}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": outcome.status != "unproven",
                "exitCode": outcome.exit_code,
                "toolExecutionNotifications": notices,
            }
        ],
        "results": results,
        "properties": {**summary(found), "figures": dict(figures(outcome))},
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(family: str) -> dict[str, Any]:
    about = templates("families")[family]
    return {
        "id": f"ragshield/audit/{family}",
        "name": "".join(part.capitalize() for part in family.split("-")),
        "shortDescription": {"text": about["title"]},
        "fullDescription": {"text": about["means"]},
        "help": {
            "text": f"{about['means']} What to do: {about['advice']}",
            "markdown": f"{about['means']}\n\n**What to do.** {about['advice']}",
        },
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security", "rag", "unlearning"], "security-severity": "7.5"},
    }


def _policy_rule() -> dict[str, Any]:
    said = "A limit of the policy is exceeded"
    return {
        "id": f"ragshield/audit/{_BREACH}",
        "name": "Policy",
        "shortDescription": {"text": said},
        "fullDescription": {"text": f"{said}; see the figures in the run's properties."},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["rag", "unlearning"], "security-severity": "5.0"},
    }


def _breach(said: str, index: int, place: str) -> dict[str, Any]:
    return {
        "ruleId": f"ragshield/audit/{_BREACH}",
        "ruleIndex": index,
        "level": "error",
        "kind": "fail",
        "message": {"text": said},
        "locations": [_location(place, 1, "forget set")],
        "partialFingerprints": {"ragshield-audit/v1": _hash(said.split(" is ")[0])},
    }


def _result(leak: Leak, index: int, place: str, *, quote: bool) -> dict[str, Any]:
    probe = leak.probe
    number = probe.subject + 1
    said = f"Target {number}, {probe.family} ({probe.variant}): {seen_in_words(leak)}"
    if quote:
        said += f". Asked: {visible(probe.turns[-1], 300)} Answer: {visible(leak.answers[-1], 300)}"
    return {
        "ruleId": f"ragshield/audit/{probe.family}",
        "ruleIndex": index,
        "level": "warning" if leak.label == "re-injected" else "error",
        "kind": "fail",
        "message": {"text": f"{said} [{leak.label}]"},
        "locations": [_location(place, number, f"target {number}")],
        "partialFingerprints": {
            "ragshield-audit/v1": _hash(f"{probe.id} {leak.sample} {leak.label}")
        },
        "properties": leak_record(leak, quote=quote),
    }


def _location(place: str, line: int, name: str) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": place},
            "region": {"startLine": line},
        },
        "logicalLocations": [{"name": name, "kind": "record"}],
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
