"""Passages that make a model refuse."""

from __future__ import annotations

from typing import ClassVar

from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.wording_sieve import may_hold
from ragshield.screens.wordings import Match, load, matches, read, reason_of, together

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0029", "LLM08:2025", "LLM09:2026")
"""MITRE ATLAS Denial of AI Service; OWASP embedding weaknesses, with the year."""


class RefusalBlocker:
    """Passages that refuse, forbid an answer or plead policy, so that the model refuses, too.

    Each passage is judged by itself. The wordings are data (`refusals.toml`): refusals in
    the first person, rules for assistants, fake safety or confidentiality notices, and
    claims that there is no answer. Suspicion says how sure it is that the passage's effect
    on a reader is a refusal; text in which a person refuses (a dialogue, a letter) has that
    effect as well.

    Source: Shafran et al., Machine Against the RAG: jamming with blocker documents, arXiv
    2406.05870, sections 4 and 5 (the three refusal targets: insufficient information,
    safety, correctness).
    Differs: their blockers are optimised token sequences, which `token-soup` looks for; this
    screen finds blockers in plain words.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.

    Raises:
        ValueError: drop_from out of its range.
    """

    name: ClassVar[str] = "refusal-blocker"

    def __init__(self, *, drop_from: float = 0.5) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        self.drop_from = drop_from

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; reads no vectors."""
        may = may_hold([passage.text for passage in batch.passages], (load("refusals")["refusal"],))
        found = (self._judge(p) for p, may_be in zip(batch.passages, may, strict=True) if may_be)
        return [finding for finding in found if finding is not None]

    def _judge(self, passage: Passage) -> Finding | None:
        found = refusals(passage.text)
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


def refusals(text: str) -> list[Match]:
    """The refusal wordings in a text; `hidden-text` asks the same of what was hidden."""
    return matches(read(text), load("refusals")["refusal"])
