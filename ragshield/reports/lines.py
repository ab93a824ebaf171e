"""JSON Lines and JSON: findings for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ragshield.findings import finding_line, finding_record, level_of
from ragshield.reports.report import Report

SCHEMA = "ragshield-scan/1"
"""Schema of the JSON document; it changes when a field changes its meaning."""


def as_jsonl(report: Report, *, quote: bool) -> Iterator[str]:
    """Ranked findings, one a line; nothing at all where there are none.

    Args:
        report: what to write.
        quote: False leaves out what is quoted from passages.
    """
    for listed in report.listed:
        yield finding_line(
            listed.finding,
            listed.passage,
            quote=quote,
            fingerprint=listed.fingerprint,
            known=listed.known if report.has_baseline else None,
        )


def as_json(report: Report, *, quote: bool) -> str:
    """One document: the scan, its ranked findings and the groups they form."""
    findings = []
    for listed in report.listed:
        record = finding_record(listed.finding, listed.passage, quote=quote)
        record["level"] = level_of(listed.finding.suspicion)
        record["fingerprint"] = listed.fingerprint
        if report.has_baseline:
            record["known"] = listed.known
        findings.append(record)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "ragshield": report.version,
        "store": report.url,
        "made_at": report.made_at,
        "complete": report.complete,
        "problem": report.problem,
        "notes": list(report.notes),
        "seconds": round(report.seconds, 3),
        "screens": list(report.screens),
        "threshold": report.threshold,
        "n_passages": report.n_passages,
        "n_suspicious": report.n_suspicious,
        "n_unreadable": report.n_unreadable,
        "n_findings": report.n_findings,
        "n_listed": len(report.listed),
        "quoted": quote,
        "groups": [
            {
                "number": card.number,
                "suspicion": card.suspicion,
                "level": card.level,
                "passage_ids": list(card.passage_ids),
                "detectors": list(card.detectors),
                "fingerprints": [listed.fingerprint for listed in card.listed],
            }
            for card in report.cards()
        ],
        "findings": findings,
    }
    try:
        text = json.dumps(document, ensure_ascii=False, indent=1, default=str)
        text.encode("utf-8")  # a lone surrogate cannot be
    except UnicodeEncodeError:
        text = json.dumps(document, indent=1, default=str)
    return text + "\n"
