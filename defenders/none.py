"""No defence: the control that every experiment needs."""

from __future__ import annotations

from typing import ClassVar

from ragshield.records import Action, Finding, Retrieval, Status, Verdict


class NoDefence:
    """Keep every passage and judge none: what an unguarded application reads.

    Every finding has suspicion None, because nothing was looked at; the status is
    `not_judged`. An empty retrieval is `clean`: there was nothing to look at.
    """

    name: ClassVar[str] = "none"

    def inspect(self, retrieval: Retrieval) -> Verdict:
        """Keep all hits in the retriever's order."""
        findings = tuple(
            Finding(
                passage_id=hit.id,
                suspicion=None,
                detector=self.name,
                action=Action.KEEP,
                reason="not judged: no defence is in use",
            )
            for hit in retrieval
        )
        status: Status = "not_judged" if findings else "clean"
        return Verdict(kept=retrieval.hits, findings=findings, status=status, detector=self.name)
