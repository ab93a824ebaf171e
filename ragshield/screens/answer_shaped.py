"""Passages shaped as the answer to a question, pressed on the reader."""

from __future__ import annotations

from typing import ClassVar

from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.wording_sieve import may_hold
from ragshield.screens.wordings import load, matches, read, reason_of, together

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0070", "LLM04:2025", "LLM08:2025", "LLM05:2026", "LLM09:2026")
"""MITRE ATLAS RAG Poisoning; OWASP data poisoning and embedding weaknesses, with the year."""


class AnswerShaped:
    """Passages that name "the correct answer", discredit other sources or insist on a claim.

    Each passage is judged by itself. Honest texts say one such thing now and then, so each
    wording (`answers.toml`) means little alone and several together mean more. Suspicion
    says how much the passage presses an answer, not that the answer is wrong. A passage that
    states a false fact plainly shows nothing here.

    Source: Zhang et al., CorruptRAG (outdated sources, latest data), arXiv 2504.03957;
    persuasion and authority after Chang et al., AuthChain, arXiv 2504.10995 and Ju et al.,
    flooding spread, arXiv 2407.07791.
    Differs: those are attacks; that their wording is looked for is this project's.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.

    Raises:
        ValueError: drop_from out of its range.
    """

    name: ClassVar[str] = "answer-shaped"

    def __init__(self, *, drop_from: float = 0.65) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        self.drop_from = drop_from

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; reads no vectors."""
        may = may_hold([passage.text for passage in batch.passages], (load("answers")["answer"],))
        found = (self._judge(p) for p, may_be in zip(batch.passages, may, strict=True) if may_be)
        return [finding for finding in found if finding is not None]

    def _judge(self, passage: Passage) -> Finding | None:
        found = matches(read(passage.text), load("answers")["answer"])
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
