"""SARIF 2.1.0: findings for code scanning, each a stored record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote as percent

from ragshield.findings import EXCERPT_CHARS, Level, level_of, redacted_evidence
from ragshield.reports.fingerprints import VERSION, store_name
from ragshield.reports.report import Listed, Report
from ragshield.reports.visible import visible
from ragshield.taxonomy import Entry, entry, guidance, ids_of

MAX_RESULTS = 25_000
"""GitHub refuses runs with more; the list is ranked, so the worst are kept."""

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS: dict[Level, str] = {
    "critical": "error",
    "high": "error",
    "medium": "warning",
    "low": "note",
    "unjudged": "none",
}
_BESIDE_SHOWN = 5


def as_sarif(report: Report, *, quote: bool, exit_code: int = 0) -> str:
    """A log with one run: a rule for each detector, a result for each finding.

    The record is the logical location (collection, then passage id); the physical one is
    a relative path of the same parts, because code scanning shows nothing without a path
    and refuses addresses with a scheme of their own.

    Args:
        report: what to write.
        quote: False leaves out what is quoted from passages.
        exit_code: what the command is going to exit with.
    """
    listed = report.listed[:MAX_RESULTS]
    detectors = sorted({*report.screens, *(x.finding.detector for x in listed)})
    taxa = _entries(detectors, listed)
    driver: dict[str, Any] = {
        "name": "ragshield",
        "semanticVersion": report.version,
        "version": report.version,
        "shortDescription": {"text": "Finds poisoned passages in the knowledge base of RAG."},
        "rules": [_rule(name, listed) for name in detectors],
        "supportedTaxonomies": [{"name": key} for key in taxa],
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"ragshield/scan/{_path(store_name(report.url))}/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report, exit_code)],
        "results": [
            _result(x, rank, report, detectors.index(x.finding.detector), quote=quote)
            for rank, x in enumerate(listed, start=1)
        ],
        "taxonomies": [_taxonomy(entries) for entries in taxa.values()],
        "properties": {
            "store": report.url,
            "n_passages": report.n_passages,
            "n_findings": report.n_findings,
            "n_listed": len(listed),
            "threshold": report.threshold,
            "screens": list(report.screens),
        },
    }
    # Only ASCII: no control character and no lone surrogate can do harm on the way.
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(detector: str, listed: Sequence[Listed]) -> dict[str, Any]:
    about = guidance(detector)
    ids = [entry(identifier) for identifier in _ids_of_rule(detector, listed)]
    named = "\n".join(
        f"- [{e}]({e.url})" if e.url else f"- {e}" for e in ids
    )  # our own texts and ids, none from a store
    markdown = f"{about.meaning}\n\n**What to do.** {about.advice}\n\n{named}".rstrip()
    rule: dict[str, Any] = {
        "id": f"ragshield/{detector}",
        "name": "".join(part.capitalize() for part in detector.split("-")),
        "shortDescription": {"text": about.title},
        "fullDescription": {"text": about.meaning},
        "help": {"text": f"{about.meaning} What to do: {about.advice}", "markdown": markdown},
        "defaultConfiguration": {"level": "warning"},
        "properties": {
            "tags": ["security", "rag", *(f"external/{_tag(e)}" for e in ids)],
            # GitHub sorts by the rule's severity, 0 to 10, and reads none from results.
            "security-severity": f"{about.severity:.1f}",
            "precision": "medium",
        },
    }
    first = next((e.url for e in ids if e.url), None)
    if first is not None:
        rule["helpUri"] = first
    rule["relationships"] = [
        {
            "target": {"id": e.id, "toolComponent": {"name": e.catalogue.key}},
            "kinds": ["relevant"],
        }
        for e in ids
        if e.catalogue is not None
    ]
    return rule


def _result(
    listed: Listed, rank: int, report: Report, rule_index: int, *, quote: bool
) -> dict[str, Any]:
    finding = listed.finding
    reason = ". ".join(listed.reasons(quote=quote))
    judged = finding.suspicion is not None
    properties: dict[str, Any] = {
        "suspicion": finding.suspicion,
        "rank": rank,
        "group": finding.group,
        "action": finding.action.value,
        "taxonomy": list(ids_of(finding)),
        "evidence": dict(finding.evidence) if quote else redacted_evidence(finding.evidence),
    }
    if listed.passage is not None and listed.passage.source is not None:
        properties["source"] = listed.passage.source
    location = _location(finding.passage_id, report, own=listed.passage is not None)
    if quote and listed.passage is not None:
        snippet = {"text": visible(listed.passage.text, EXCERPT_CHARS)}
        location["physicalLocation"]["region"]["snippet"] = snippet
    result: dict[str, Any] = {
        "ruleId": f"ragshield/{finding.detector}",
        "ruleIndex": rule_index,
        "level": _LEVELS[level_of(finding.suspicion)],
        "kind": "fail" if judged else "open",
        "message": {"text": visible(f"{_name(listed)}: {reason}")},
        "locations": [location],
        "partialFingerprints": {
            VERSION: listed.fingerprint,
            "primaryLocationLineHash": f"{listed.fingerprint}:1",
        },
        "properties": properties,
    }
    if judged:
        result["rank"] = round(100 * (finding.suspicion or 0.0), 2)
    if report.has_baseline:
        result["baselineState"] = "unchanged" if listed.known else "new"
    related = [
        {
            **_location(b.passage.id, report, own=True),
            "id": n,
            "message": {"text": _near(b.similarity, named=b.named)},
        }
        for n, b in enumerate(report.beside.get(finding.passage_id, ())[:_BESIDE_SHOWN])
    ]
    if related:
        result["relatedLocations"] = related
    return result


def _location(passage_id: str, report: Report, *, own: bool) -> dict[str, Any]:
    store = store_name(report.url)
    parts = [store, passage_id] if own else [store]
    logical: dict[str, Any] = {
        "name": visible(passage_id if own else report.url),
        "fullyQualifiedName": visible("/".join(parts) if own else report.url),
        "kind": "record" if own else "store",
    }
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": "/".join(_path(part) for part in parts)},
            "region": {"startLine": 1},
        },
        "logicalLocations": [logical],
    }


def _path(part: str) -> str:
    """One part of a relative path: `chroma:db#docs` as `chroma-db-docs`, the rest escaped."""
    plain = part.replace("://", "-").replace(":", "-").replace("#", "-")
    return percent(plain, safe="", errors="replace") or "-"


def _name(listed: Listed) -> str:
    return "The store" if listed.passage is None else f"Passage {listed.finding.passage_id}"


def _near(similarity: float | None, *, named: bool) -> str:
    what = "named as evidence" if named else "among the nearest in the store"
    return what if similarity is None else f"{what}, similarity {similarity:.2f}"


def _invocation(report: Report, exit_code: int) -> dict[str, Any]:
    notices = [{"level": "note", "message": {"text": visible(note)}} for note in report.notes]
    left = report.n_findings - min(len(report.listed), MAX_RESULTS)
    if left:
        text = f"{left} more findings are not listed here"
        notices.append({"level": "warning", "message": {"text": text}})
    if report.problem is not None:
        notices.append({"level": "error", "message": {"text": visible(report.problem)}})
    return {
        "executionSuccessful": report.complete,
        "exitCode": exit_code,
        "endTimeUtc": report.made_at,
        "toolExecutionNotifications": notices,
    }


def _entries(detectors: Sequence[str], listed: Sequence[Listed]) -> dict[str, list[Entry]]:
    """Entries of known catalogues that rules or results name, by catalogue."""
    ids = {i for name in detectors for i in _ids_of_rule(name, listed)}
    found: dict[str, list[Entry]] = {}
    for identifier in sorted(ids):
        known = entry(identifier)
        if known.catalogue is not None:
            found.setdefault(known.catalogue.key, []).append(known)
    return dict(sorted(found.items()))


def _ids_of_rule(detector: str, listed: Sequence[Listed]) -> tuple[str, ...]:
    named = [i for x in listed if x.finding.detector == detector for i in ids_of(x.finding)]
    return tuple(dict.fromkeys([*guidance(detector).taxonomy, *named]))


def _taxonomy(entries: Sequence[Entry]) -> dict[str, Any]:
    catalogue = entries[0].catalogue
    if catalogue is None:
        raise ValueError(f"{entries[0].id} belongs to no catalogue")
    return {
        "name": catalogue.key,
        "fullName": catalogue.name,
        "version": catalogue.version,
        "organization": catalogue.organization,
        "informationUri": catalogue.url,
        "shortDescription": {"text": catalogue.name},
        "taxa": [
            {"id": e.id, "name": e.name, "shortDescription": {"text": e.name}, "helpUri": e.url}
            for e in entries
        ],
    }


def _tag(found: Entry) -> str:
    year = found.id.lower().replace(":", "-")
    return f"{found.catalogue.key}/{year}" if found.catalogue is not None else year
