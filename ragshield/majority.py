"""What a guard does where honest passages may be the minority: look deeper, then choose."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from ragshield.errors import MajorityError, UsageError
from ragshield.records import Action, Finding, Verdict

OnMajority: TypeAlias = Literal["filter", "abstain", "refuse"]
"""What to give where honest passages may be the minority, however deep one looks.

`filter`: what the defenders keep. `abstain`: nothing, so that a reader says "I don't know".
`refuse`: nothing, and `MajorityError` is raised. The status says so in every case.
"""

DEEPER = 4
"""How many times its first depth a guard looks at most, unless told."""

_log = logging.getLogger("ragshield.guard")


@dataclass(frozen=True, slots=True)
class Majority:
    """A guard's policy for verdicts of status `majority_assumption_violated`.

    Attributes:
        on_majority: what to give in the end.
        max_depth: hits to retrieve and judge at most; None: four times as many as at
            first. Not above the first depth: never look deeper.

    Raises:
        UsageError: another choice, or max_depth < 1.
    """

    on_majority: OnMajority = "filter"
    max_depth: int | None = None

    def __post_init__(self) -> None:
        if self.on_majority not in get_args(OnMajority):
            allowed = ", ".join(get_args(OnMajority))
            raise UsageError(f"on_majority is '{self.on_majority}'; it must be one of: {allowed}")
        if self.max_depth is not None and self.max_depth < 1:
            raise UsageError(f"max_depth is {self.max_depth}; it must be at least 1")

    def limit(self, first: int) -> int:
        """The deepest retrieval for a guard that judges `first` hits at first."""
        return DEEPER * first if self.max_depth is None else max(self.max_depth, first)

    def deeper(self, verdict: Verdict, depth: int, first: int) -> int | None:
        """How many hits to retrieve and judge instead; None where this verdict is final.

        Depth doubles up to the limit, as long as the assumption is not met and the
        retriever gave all that it was asked for (or else it has no more).

        Args:
            verdict: on what was retrieved.
            depth: hits that were asked for.
            first: hits that were asked for at first.
        """
        if verdict.status != "majority_assumption_violated" or len(verdict.findings) < depth:
            return None
        limit = self.limit(first)
        return min(2 * depth, limit) if depth < limit else None

    @staticmethod
    def joined(earlier: Verdict, later: Verdict) -> Verdict:
        """A deeper verdict in which what an earlier one dropped stays dropped.

        More hits beside them make planted passages look like the others, when those are
        planted too: looking deeper may find more to drop, but gives nothing back.
        """
        before = {finding.passage_id: finding for finding in earlier.dropped}
        n_before = len(earlier.findings)
        findings = tuple(
            _kept_out(before[finding.passage_id], n_before)
            if finding.action is Action.KEEP and finding.passage_id in before
            else finding
            for finding in later.findings
        )
        if findings == later.findings:
            return later
        kept = tuple(hit for hit in later.kept if hit.id not in before)
        status = later.status
        if status in ("clean", "filtered"):
            n_dropped = sum(finding.action is Action.DROP for finding in findings)
            outnumbered = not kept or (n_dropped >= 2 and 2 * n_dropped >= len(findings))
            status = "majority_assumption_violated" if outnumbered else "filtered"
        return replace(later, findings=findings, kept=kept, status=status)

    def settled(self, verdict: Verdict, depth: int, first: int) -> Verdict:
        """The final verdict with what was chosen: where that is to abstain, nothing is kept."""
        if depth > first:
            verdict = replace(verdict, looked_deeper_from=first)
        if verdict.status == "majority_assumption_violated" and self.on_majority == "abstain":
            verdict = replace(verdict, status="abstained", kept=())
        return verdict

    def tell(self, verdict: Verdict) -> None:
        """Log a settled verdict that is an alarm, or leaves nothing to read.

        Raises:
            MajorityError: the assumption is not met, with on_majority="refuse".
        """
        n, n_dropped = len(verdict.findings), len(verdict.dropped)
        if verdict.status in ("majority_assumption_violated", "abstained"):
            said = f"{n_dropped} of {n} passages look planted, so honest ones may be the minority"
            if self.on_majority == "refuse":
                raise MajorityError(
                    f"{said}; on_majority='refuse', so none is given. Scan the store, or choose "
                    "'filter' or 'abstain'",
                    verdict,
                )
            given = f"{len(verdict.kept)} are given" if verdict.kept else "none is given"
            _log.warning("%s; on_majority='%s', so %s", said, self.on_majority, given)
        elif n and not verdict.kept:
            _log.warning("all %d passages were dropped (%s): none is given", n, verdict.status)


def _kept_out(finding: Finding, n: int) -> Finding:
    """A finding of an earlier look, which says so: its reason compares with those hits."""
    return replace(finding, evidence={"judged_among": n, **finding.evidence})
