"""An audit held against a policy: passed, failed, or not shown."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragshield.audit.policy import Breach, Policy
from ragshield.audit.result import Audit

Status: TypeAlias = Literal["passed", "failed", "unproven"]
"""`unproven`: no limit is exceeded, but something that had to be shown was not."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an audit comes to.

    Attributes:
        found: the audit.
        policy: what it was held against.
        breaches: limits that were exceeded.
        missing: why it shows less than it should; makes a pass unproven.
        notes: what a reader should know beside that.
    """

    found: Audit
    policy: Policy
    breaches: tuple[Breach, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def status(self) -> Status:
        """Whether it passed."""
        if self.breaches:
            return "failed"
        return "unproven" if self.missing else "passed"

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 3 unproven."""
        return {"passed": 0, "failed": 1, "unproven": 3}[self.status]


def concluded(found: Audit, policy: Policy, demanded: Collection[str] = ()) -> Outcome:
    """Hold an audit against a policy.

    Args:
        found: the audit.
        policy: limits.
        demanded: limits that were asked for by name and so must have been measured.
    """
    missing, notes = [], []
    unchecked = policy.unchecked(found)
    for name in unchecked:
        if name in demanded:
            missing.append(f"{name} was asked for, but nothing was there to measure it on")
    if found.over_refusal.value is None and found.retain.value is None:
        missing.append(
            "nothing was asked that must still be answered: give neighbours in the forget set, "
            "or questions to retain"
        )
    if found.is_unproven:
        missing.append("no probe found anything before forgetting either")
    if "before" not in found.arms:
        notes.append(
            "the application before forgetting was not asked: it is not shown that the probes "
            'would have found anything, and an honest "I don\'t know" counts as a refusal'
        )
    if "no_retrieval" not in found.arms and found.leak.successes:
        notes.append(
            "the model alone was not asked: leaks that it knows by heart cannot be told from "
            "those that were retrieved"
        )
    if found.excess.value is None:
        notes.append("no controls: it is not known what guessing would give")
    return Outcome(found, policy, policy.breaches(found), tuple(missing), tuple(notes))
