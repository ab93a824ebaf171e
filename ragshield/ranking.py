"""One ranked list from what many screens found, calibrated on the store itself."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ragshield.errors import UsageError
from ragshield.rarity import at_least, rarities
from ragshield.records import Action, Finding

FLOOR = 0.05
"""Suspicion below which nothing is listed under an alert budget or a false-positive rate."""

_WEAK = 0.25
_DAMPING = 0.5
_KNOWN_FROM = 5000
"""Passages from which a store says more than this module what is usual in it."""

_EXPOSURE = "exposure"


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of a ranking is listed; what is given holds together.

    Attributes:
        threshold: suspicion in [0, 1] from which a finding is listed; None: from `FLOOR`
            where one of the others is given, else everything.
        alert_budget: largest share of the passages that may be listed, (0, 1]; one
            passage is always allowed.
        false_positive_rate: largest share of honest passages that may be listed, (0, 1],
            as far as the store itself tells: a passage is listed while that share of the
            others, its own group aside, looks at most as suspicious.
    """

    threshold: float | None = 0.5
    alert_budget: float | None = None
    false_positive_rate: float | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"threshold is {self.threshold}; it must be in [0, 1]")
        for name in ("alert_budget", "false_positive_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise UsageError(f"{name} is {value}; it must be above 0 and at most 1")

    @property
    def lowest(self) -> float:
        """Suspicion from which a finding can be listed at all."""
        if self.threshold is not None:
            return self.threshold
        return 0.0 if self.alert_budget is None and self.false_positive_rate is None else FLOOR


def fused(
    findings: Sequence[Finding], n_passages: int, position: Callable[[str], int]
) -> list[Finding]:
    """One finding per passage from those of all screens, the most suspicious first.

    A passage's suspicion is that of the screen that says most, raised by every further
    screen that agrees (half as much by each next one), after each was weighed by how
    rare it is that the screen accuses an honest passage as much (`ragshield.rarity`): in
    ordinary text, as far as that is known, and in this store. So a screen that honest
    passages set off by the hundred does not use up the alert budget, and sixty passages
    that a screen accuses where one was to be expected come first. A store of a few hundred
    says little about what is usual: suspicion is then nearly what the screens said.
    `benchmarks/README.md` (scan) says how the constants were chosen.

    The evidence is that of the screen that says most, with `screens` (what each said,
    before weighing), `p_value` (share of the other passages, its own group aside, that
    look at least as suspicious: the rank in this store, [1/n, 1]) and `confidence` (high,
    medium, low).

    What is exposed rather than poisoned (evidence `class` = "exposure") is not weighed
    together with poison: it follows, strongest first, one finding per passage and screen.
    What could not be judged (suspicion None) comes last.

    Args:
        findings: of any screens, each suspicion in [0, 1] or None.
        n_passages: in the store.
        position: id to place in the store; decides ties.
    """
    poison: dict[str, list[Finding]] = defaultdict(list)
    exposed: list[Finding] = []
    unjudged: list[Finding] = []
    for finding in findings:
        if finding.suspicion is None:
            unjudged.append(finding)
        elif finding.evidence.get("class") == _EXPOSURE:
            exposed.append(finding)
        else:
            poison[finding.passage_id].append(finding)
    worth = _weights(poison, n_passages)
    merged = [_merged(found, worth) for found in poison.values()]
    p_values = _p_values(merged, n_passages)
    ranked = [_with_rank(f, p) for f, p in zip(merged, p_values, strict=True)]
    ranked.sort(key=lambda f: (-(f.suspicion or 0.0), position(f.passage_id)))
    exposed.sort(key=lambda f: (-(f.suspicion or 0.0), position(f.passage_id), f.detector))
    unjudged.sort(key=lambda f: (position(f.passage_id), f.detector))
    return [*ranked, *exposed, *unjudged]


def listed(ranking: Sequence[Finding], n_passages: int, limit: Limit) -> list[Finding]:
    """The part of a ranking that a limit lets through, in its order.

    Exposure is listed by the threshold alone, what could not be judged always.
    """
    most = n_passages
    if limit.alert_budget is not None:
        most = max(1, math.floor(limit.alert_budget * n_passages + 1e-9))
    out: list[Finding] = []
    n_listed = 0
    for finding in ranking:
        if finding.suspicion is None:
            out.append(finding)
        elif finding.suspicion < limit.lowest:
            continue
        elif finding.evidence.get("class") == _EXPOSURE:
            out.append(finding)
        elif n_listed < most and _rare_enough(finding, limit.false_positive_rate):
            n_listed += 1
            out.append(finding)
    return out


def _rare_enough(finding: Finding, rate: float | None) -> bool:
    return rate is None or float(finding.evidence["p_value"]) <= rate


def _weights(
    poison: Mapping[str, Sequence[Finding]], n_passages: int
) -> Callable[[Finding], float]:
    """What a screen's finding is worth in this store, [0, 1]."""
    of_screen: dict[str, list[Finding]] = defaultdict(list)
    for found in poison.values():
        for finding in found:
            of_screen[finding.detector].append(finding)
    known = n_passages / (n_passages + _KNOWN_FROM)
    rarity = {name: rarities(name, found, n_passages) for name, found in of_screen.items()}

    def worth(finding: Finding) -> float:
        value = finding.suspicion or 0.0
        # Where the store tells how rare a finding is, its level says less.
        level: float = value ** (1 - 0.25 * known)
        return level * (1 - known) + known * rarity[finding.detector](finding)

    return worth


def _merged(found: Sequence[Finding], worth_of: Callable[[Finding], float]) -> Finding:
    """One finding for a passage; suspicion in [0, 1]."""
    worth: dict[str, tuple[float, Finding]] = {}
    for finding in found:
        value = worth_of(finding)
        if finding.detector not in worth or value > worth[finding.detector][0]:
            worth[finding.detector] = (value, finding)
    ordered = sorted(worth.values(), key=lambda pair: (-pair[0], pair[1].detector))
    suspicion, strongest = ordered[0]
    damping = _DAMPING
    agreeing = [(value, f) for value, f in ordered[1:] if (f.suspicion or 0.0) >= _WEAK]
    for value, _ in agreeing:
        suspicion += (1.0 - suspicion) * damping * value
        damping *= _DAMPING
    also = [f for _, f in agreeing]
    reason = strongest.reason
    if also:
        said = ", ".join(f"{f.detector} ({f.suspicion:.2f})" for f in also[:4])
        reason = f"{reason}; also found by {said}"
    evidence: dict[str, Any] = {
        **strongest.evidence,
        "screens": {f.detector: f.suspicion for _, f in ordered},
        "confidence": _confidence(suspicion, [value for value, _ in ordered]),
    }
    if also:
        evidence["also"] = [f.reason for f in also]
        ids = [str(x) for f in (strongest, *also) for x in f.evidence.get("taxonomy", ())]
        evidence["taxonomy"] = list(dict.fromkeys(ids))
    group = next((f.group for _, f in ordered if f.group is not None), None)
    return replace(
        strongest,
        suspicion=round(suspicion, 4),
        action=Action.DROP if suspicion >= 0.5 else Action.KEEP,
        reason=reason,
        group=group,
        evidence=evidence,
    )


def _confidence(suspicion: float, values: Sequence[float]) -> str:
    strong = sum(value >= 0.5 for value in values)
    if suspicion >= 0.9 or (strong >= 2 and suspicion >= 0.7):
        return "high"
    return "medium" if suspicion >= 0.6 else "low"


def _p_values(merged: Sequence[Finding], n_passages: int) -> list[float]:
    """For each the share of passages outside its group that look at least as suspicious."""
    ordered = sorted(f.suspicion or 0.0 for f in merged)
    groups: dict[str, list[float]] = defaultdict(list)
    for finding in merged:
        if finding.group is not None:
            groups[finding.group].append(finding.suspicion or 0.0)
    for values in groups.values():
        values.sort()
    found = []
    for finding in merged:
        value = finding.suspicion or 0.0
        own = groups[finding.group] if finding.group is not None else [value]
        outside = at_least(ordered, value) - at_least(own, value)
        rest = max(n_passages - len(own), 0)
        found.append(min((outside + 1) / (rest + 1), 1.0))
    return found


def _with_rank(finding: Finding, p_value: float) -> Finding:
    return replace(finding, evidence={**finding.evidence, "p_value": float(f"{p_value:.3g}")})
