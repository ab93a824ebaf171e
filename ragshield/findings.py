"""Findings as JSON lines, and what of a finding may leave the house."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from ragshield.records import Finding, Passage

EXCERPT_CHARS = 240

Level = Literal["critical", "high", "medium", "low", "unjudged"]
"""A suspicion in one word; `unjudged` where there is none."""

LEVELS: Mapping[Level, float] = {"critical": 0.9, "high": 0.7, "medium": 0.5, "low": 0.0}
"""The lowest suspicion of each level, worst first."""

WITHHELD = "what the detector says quotes the passage and is withheld here"

# Straight quotes are what screens quote with; the others are for screens of other packages.
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”')
# Labels and ids. Any other text in the evidence may be the passage's own.
_LABELS = frozenset(
    {"taxonomy", "neighbours", "class", "kind", "kinds", "level", "field", "confidence"}
)
_N_SHARED_WORDS = 6


def level_of(suspicion: float | None) -> Level:
    """The level of a suspicion in [0, 1]; `unjudged` for None."""
    if suspicion is None:
        return "unjudged"
    return next(level for level, lowest in LEVELS.items() if suspicion >= lowest)


def finding_line(
    finding: Finding,
    passage: Passage | None = None,
    *,
    quote: bool = True,
    fingerprint: str | None = None,
    known: bool | None = None,
) -> str:
    """One finding as a line of JSON, without a line end.

    Args:
        finding: what to write; every field becomes a key.
        passage: the passage it speaks of; adds its `source`, and `text`, its first 240
            characters.
        quote: False leaves out the text and everything that quotes from it, for reports
            that go where the passages must not.
        fingerprint: what identifies the finding in later scans.
        known: whether a baseline holds it; None where there is no baseline.
    """
    record = finding_record(finding, passage, quote=quote)
    if fingerprint is not None:
        record["fingerprint"] = fingerprint
    if known is not None:
        record["known"] = known
    line = json.dumps(record, ensure_ascii=False, default=str)
    # A lone surrogate in a broken text cannot be written as UTF-8, and a passage's control
    # characters must not reach a terminal; both are escaped then.
    return line if line.isprintable() else json.dumps(record, default=str)


def finding_record(
    finding: Finding, passage: Passage | None = None, *, quote: bool = True
) -> dict[str, Any]:
    """One finding as a JSON object; arguments as in `finding_line`."""
    record: dict[str, Any] = {
        "passage_id": finding.passage_id,
        "suspicion": finding.suspicion,
        "detector": finding.detector,
        "reason": finding.reason if quote else redacted_reason(finding, passage),
        "group": finding.group,
        "action": finding.action.value,
        "evidence": dict(finding.evidence) if quote else redacted_evidence(finding.evidence),
    }
    if passage is not None:
        record["source"] = passage.source
        if quote:
            record["text"] = passage.text[:EXCERPT_CHARS]
    return record


def redacted_reason(finding: Finding, passage: Passage | None = None) -> str:
    """The reason without what it quotes.

    A screen of another package may quote without quotation marks: a reason that still
    repeats six words of the passage in a row is withheld as a whole.
    """
    return redacted(finding.reason, passage)


def redacted(said: str, passage: Passage | None = None) -> str:
    """A sentence about a passage without what it quotes, as `redacted_reason`."""
    plain = without_quotes(said)
    return WITHHELD if passage is not None and _repeats(plain, passage.text) else plain


def redacted_evidence(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers, truth values, ids and labels; every other text is left out."""
    return {key: value for key, value in evidence.items() if key in _LABELS or _numeric(value)}


def without_quotes(reason: str) -> str:
    """A reason with what it quotes from a passage replaced by an ellipsis."""
    plain = _QUOTED.sub("\x00", reason)
    # A quotation mark without its other half: nobody knows where the quotation ends.
    before, *after = re.split('["“”]', plain, maxsplit=1)
    kept = f"{before}\x00" if after else before
    return kept.replace("\x00", '"…"')


def _numeric(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_numeric(item) for item in value)
    if isinstance(value, Mapping):
        return all(_numeric(item) for item in value.values())
    return value is None or isinstance(value, bool | int | float)


def _repeats(reason: str, text: str) -> bool:
    said = reason.lower().split()
    read = " ".join(text.lower().split())
    runs = (said[i : i + _N_SHARED_WORDS] for i in range(len(said) - _N_SHARED_WORDS + 1))
    return any(" ".join(run) in read for run in runs)
