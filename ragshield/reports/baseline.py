"""Findings that are known: fingerprints out of an earlier report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ragshield.errors import InputError
from ragshield.files import read_text
from ragshield.reports.fingerprints import VERSION


def read_baseline(path: Path) -> frozenset[str]:
    """Fingerprints of a report that `scan` wrote as JSON Lines, JSON or SARIF.

    An empty file is the JSON Lines of a scan that found nothing.

    Raises:
        InputError: missing, unreadable, none of the three, or findings without a
            fingerprint.
    """
    text = read_text(path)
    try:
        document: Any = json.loads(text)
    except json.JSONDecodeError:
        return frozenset(_of_lines(path, text))
    if isinstance(document, dict) and isinstance(document.get("runs"), list):
        return frozenset(_of_sarif(path, document["runs"]))
    if isinstance(document, dict) and isinstance(document.get("findings"), list):
        return frozenset(_of_records(path, document["findings"]))
    return frozenset(_of_lines(path, text))  # JSON Lines of a single finding


def _of_lines(path: Path, text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise _wrong(path, f"line {number} is not JSON ({error.msg})") from error
        yield from _of_records(path, [record])


def _of_records(path: Path, records: list[Any]) -> Iterator[str]:
    for record in records:
        if not isinstance(record, Mapping) or "passage_id" not in record:
            raise _wrong(path, "it holds something else than findings")
        yield _checked(path, record.get("fingerprint"))


def _of_sarif(path: Path, runs: list[Any]) -> Iterator[str]:
    for run in runs:
        results = run.get("results") if isinstance(run, Mapping) else None
        for result in results or []:
            marks = result.get("partialFingerprints") if isinstance(result, Mapping) else None
            yield _checked(path, marks.get(VERSION) if isinstance(marks, Mapping) else None)


def _checked(path: Path, mark: object) -> str:
    if not isinstance(mark, str):
        raise InputError(
            f"baseline {path} has findings without a fingerprint; "
            "write it again with: ragshield scan … --format jsonl -o FILE"
        )
    return mark


def _wrong(path: Path, why: str) -> InputError:
    return InputError(
        f"baseline {path} is no report of ragshield scan: {why}; allowed: jsonl, json, sarif"
    )
