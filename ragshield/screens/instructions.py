"""Passages that speak to the model instead of to their reader."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import ClassVar

from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.wording_sieve import may_hold
from ragshield.screens.wordings import (
    Match,
    Reading,
    Table,
    load,
    matches,
    quoted,
    read,
    reason_of,
    together,
)

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0051.001", "LLM01:2025", "LLM01:2026", "CWE-1427")
"""MITRE ATLAS indirect prompt injection; OWASP prompt injection, with the year; CWE improper
neutralization of input used for LLM prompting."""

_MIN_LINES = 3
_MIN_CELLS = 2
_MIN_ROWS = 3
_TABLE_SHARE = 0.8


class Instructions:
    """Passages that give instructions to the model: overrides, role markers, tool calls, links.

    Each passage is judged by itself, whatever else is stored. The wordings are data
    (`instructions.toml`), each with the suspicion that it means alone; several together mean
    more. Hidden characters, look-alike letters and line ends are undone before they are
    looked for. A task or a question amid text that sets none is a weak sign of its own.
    Suspicion says how sure it is that the passage speaks to a model; a text about prompt
    injection that quotes one does so, too, and is found.

    Source: Greshake et al., indirect prompt injection, arXiv 2302.12173; the text types of
    BIPIA, Yi et al., arXiv 2312.14197; HijackRAG, arXiv 2410.22832; image and link
    exfiltration after Rehberger's published cases.
    Differs: those detect with a model or train one; here there are wordings only, so an
    instruction in words of its own is missed.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.

    Raises:
        ValueError: drop_from out of its range.
    """

    name: ClassVar[str] = "instructions"

    def __init__(self, *, drop_from: float = 0.5) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        self.drop_from = drop_from

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; reads no vectors."""
        may = may_show([passage.text for passage in batch.passages])
        found = (self._judge(p) for p, may_be in zip(batch.passages, may, strict=True) if may_be)
        return [finding for finding in found if finding is not None]

    def _judge(self, passage: Passage) -> Finding | None:
        found = signs(passage.text)
        suspicion = round(together([match.wording.weight for match in found]), 4)
        if suspicion < MIN_SHOWN:
            return None
        return Finding(
            passage.id,
            suspicion,
            self.name,
            Action.DROP if suspicion >= self.drop_from else Action.KEEP,
            reason_of(found),
            evidence={
                "signs": {match.wording.name: match.wording.weight for match in found},
                "quotes": [match.quote for match in found],
                "taxonomy": list(TAXONOMY),
            },
        )


def signs(text: str) -> list[Match]:
    """The instruction wordings in a text; `hidden-text` asks the same of what was hidden."""
    reading = read(text)
    tables = load("instructions")
    found = matches(reading, tables["instruction"]) + matches(reading, tables["writing"])
    return found + _in_table(reading, tables["in_table"])


def may_show(texts: Sequence[str]) -> list[bool]:
    """Whether each text may show any sign; for asking of many that show none."""
    tables = load("instructions")
    may = may_hold(texts, (tables["instruction"], tables["writing"]))
    return [
        may_be or text.count("|") >= _MIN_ROWS * _MIN_CELLS
        for text, may_be in zip(texts, may, strict=True)
    ]


def _in_table(reading: Reading, wordings: Table) -> list[Match]:
    """The one line that sets a task or asks something, where nearly all others are rows."""
    if reading.lines.count("|") < _MIN_ROWS * _MIN_CELLS:
        return []
    lines = reading.lines.split("\n")
    n_rows = sum(1 for line in lines if line.count("|") >= _MIN_CELLS)
    if n_rows < max(_MIN_ROWS, _TABLE_SHARE * (len(lines) - 1)):
        return []
    found = [
        (wording, match.group().strip())
        for wording in wordings
        for match in islice(wording.pattern.finditer(reading.lines), 2)
    ]
    return [Match(found[0][0], quoted(found[0][1]))] if len(found) == 1 else []
