"""Findings as JSON lines: what `scan` writes and others read."""

from __future__ import annotations

import json
import re
from typing import Any

from ragshield.records import Finding, Passage

EXCERPT_CHARS = 240

_QUOTED = re.compile(r'"[^"]*"')
# What evidence quotes from a passage.
_QUOTING = frozenset({"question", "shared_words"})


def finding_line(finding: Finding, passage: Passage | None = None, *, quote: bool = True) -> str:
    """One finding as a line of JSON, without a line end.

    Args:
        finding: what to write; every field becomes a key.
        passage: the passage it speaks of; adds its `source`, and `text`, its first 240
            characters.
        quote: False leaves out the text and everything that quotes from it, for reports
            that go where the passages must not.
    """
    record: dict[str, Any] = {
        "passage_id": finding.passage_id,
        "suspicion": finding.suspicion,
        "detector": finding.detector,
        "reason": finding.reason if quote else without_quotes(finding.reason),
        "group": finding.group,
        "action": finding.action.value,
        "evidence": {k: v for k, v in finding.evidence.items() if quote or k not in _QUOTING},
    }
    if passage is not None:
        record["source"] = passage.source
        if quote:
            record["text"] = passage.text[:EXCERPT_CHARS]
    line = json.dumps(record, ensure_ascii=False, default=str)
    # A lone surrogate in a broken text cannot be written as UTF-8, and a passage's control
    # characters must not reach a terminal; both are escaped then.
    return line if line.isprintable() else json.dumps(record, default=str)


def without_quotes(reason: str) -> str:
    """A reason with what it quotes from a passage replaced by an ellipsis."""
    return _QUOTED.sub('"…"', reason)
