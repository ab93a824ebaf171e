"""Stored vectors that cannot be compared: missing, NaN, infinite or all zeros."""

from __future__ import annotations

import numpy as np

from ragshield.records import Action, Batch, Finding

DETECTOR = "vector-health"


def vector_findings(batch: Batch) -> list[Finding]:
    """One finding for each passage whose stored vector has no direction.

    Reading a store never fails over such a row, but no screen or defender can judge it
    and no search finds it by meaning: a passage could hide there. Suspicion is None
    (could not judge), the action KEEP. A batch without any vectors gives none: then
    the store as a whole has none.
    """
    if batch.vectors is None:
        return []
    finite = np.isfinite(batch.vectors)
    zero = ~batch.vectors.any(axis=1)
    findings = []
    for row in np.flatnonzero(~finite.all(axis=1) | zero):
        what = "is all zeros" if zero[row] else "holds NaN or infinite values"
        if not finite[row].any():
            what = "is missing or NaN throughout"
        findings.append(
            Finding(
                passage_id=batch.passages[row].id,
                suspicion=None,
                detector=DETECTOR,
                action=Action.KEEP,
                reason=f"the stored vector {what}, so the passage cannot be judged; re-embed it",
                evidence={"n_bad_components": int((~finite[row]).sum())},
            )
        )
    return findings
