"""In which order findings are listed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ragshield.records import Finding


def ranked(findings: Sequence[Finding], position: Callable[[str], int]) -> list[Finding]:
    """Passages by their highest suspicion, each with all its findings.

    Args:
        findings: of any passages, in any order.
        position: where a passage lies in the store; equals are listed in that order.
    """
    worst: dict[str, float] = {}
    for finding in findings:
        own = -1.0 if finding.suspicion is None else finding.suspicion
        worst[finding.passage_id] = max(worst.get(finding.passage_id, -1.0), own)

    def rank(finding: Finding) -> tuple[float, int, float, str]:
        own = -1.0 if finding.suspicion is None else finding.suspicion
        at = position(finding.passage_id)
        return -worst[finding.passage_id], at, -own, finding.detector

    return sorted(findings, key=rank)
