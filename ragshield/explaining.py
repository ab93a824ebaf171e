"""A verdict in sentences: what was removed, why, how sure, and what the status means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ragshield.records import Finding, Verdict

_DROPPED_SHOWN = 10
_ID_CHARS = 60
_CONFLICTS = ("conflicts_with", "conflicts", "contradicts")
_AGREES = ("agrees_with", "near_duplicates", "neighbours")


def explain(verdict: Verdict) -> str:
    """Say in plain sentences what a verdict means.

    Names every removed passage (of very many, the ten most suspicious) with its signals,
    its calibrated p-value where there is one, and the passages that it conflicts or
    agrees with where the defender says so; then what the status means and what was not
    calibrated or has drifted. Quotes ids and reasons; control characters are taken out.

    Args:
        verdict: of any defender or chain.

    Returns:
        One or more paragraphs, separated by line ends, without one at the end.
    """
    paragraphs = [_opening(verdict)]
    dropped = sorted(verdict.dropped, key=lambda f: -(f.suspicion or 0.0))
    paragraphs += [_removed(finding) for finding in dropped[:_DROPPED_SHOWN]]
    if len(dropped) > _DROPPED_SHOWN:
        paragraphs.append(f"{len(dropped) - _DROPPED_SHOWN} more were removed for like reasons.")
    paragraphs += filter(None, (_meaning(verdict), _calibration(verdict.findings)))
    return "\n".join(paragraphs)


def _opening(verdict: Verdict) -> str:
    n, n_kept = len(verdict.findings), len(verdict.kept)
    if not n:
        return f"Nothing was retrieved, so {verdict.detector} had nothing to judge."
    judged = f"{verdict.detector} judged {_count(n)}"
    if n_kept == n:
        return f"{judged} and kept {'it' if n == 1 else 'all of them'}."
    if not n_kept:
        return f"{judged} and removed {'it' if n == 1 else 'all of them'}: nothing is left to read."
    return f"{judged}, removed {n - n_kept} and kept {n_kept}."


def _removed(finding: Finding) -> str:
    reason = finding.reason.removeprefix("dropped:").strip()
    # The p-value is told below, once and in words.
    reason = reason.partition("; about ")[0].partition("; none of the ")[0].rstrip(". ")
    said = f"Passage '{_visible(finding.passage_id)}' was removed"
    if reason:
        said += f" because {_visible(reason, 400)}"
    said += "."
    evidence = finding.evidence
    p_value = _number(evidence, "p_value")
    if p_value is not None:
        said += f" {_odds(p_value, evidence)}"
    elif finding.suspicion is not None:
        limit = _number(evidence, "threshold")
        beside = "" if limit is None else f", where {limit:.2f} is enough for removal"
        said += f" Its suspicion is {finding.suspicion:.2f} of 1{beside}."
    for keys, verb in ((_CONFLICTS, "conflicts"), (_AGREES, "agrees")):
        if others := _ids(evidence, keys):
            said += f" It {verb} with {_listed(others)}."
    return said


def _odds(p_value: float, evidence: Mapping[str, Any]) -> str:
    n = _number(evidence, "n_calibration")
    if n and p_value * (n + 1) <= 1.0 + 1e-9:
        return (
            f"No honest passage looked so suspicious in {n:.0f} calibration questions "
            f"(p = {p_value:.2g})."
        )
    return (
        f"About one honest passage in {max(1 / p_value, 1):.0f} looks as suspicious "
        f"(p = {p_value:.2g})."
    )


def _meaning(verdict: Verdict) -> str:
    if verdict.status == "majority_assumption_violated":
        return (
            "So many passages look planted that honest ones may be the minority: do not trust "
            "what was kept. Retrieve deeper, answer that you do not know, or ask a person."
        )
    if verdict.status == "not_judged":
        if failures := [f for f in verdict.findings if f.suspicion is None]:
            why = _visible(failures[0].reason, 200).rstrip(".")
            n = _count(len(failures))
            return f"{n} could not be judged ({why}), which is not the same as clean."
        return "The defender could not judge these passages, which is not the same as clean."
    if verdict.status == "clean" and verdict.findings:
        highest = max(
            (f for f in verdict.findings if f.suspicion is not None), default=None, key=_s
        )
        if highest is None:
            return ""
        said = f"The most suspicious is '{_visible(highest.passage_id)}' at {_s(highest):.2f} of 1"
        p_value = _number(highest.evidence, "p_value")
        if p_value is not None:
            said += f" (p = {p_value:.2g}), as honest passages are"
        return f"{said}."
    return ""


def _calibration(findings: Sequence[Finding]) -> str:
    """What is true of all findings alike, said once."""
    if not findings:
        return ""
    said = []
    evidence = findings[0].evidence
    budget = _number(evidence, "budget")
    if budget is not None and _number(evidence, "p_value") is not None:
        said.append(
            f"The threshold was calibrated to remove at most {budget:.2g} of the honest passages."
        )
    if evidence.get("calibrated") is False:
        said.append(
            "The threshold is the uncalibrated default: calibrate it on your own store with "
            "ragshield calibrate."
        )
    if drift := evidence.get("drift"):
        said.append(f"But the calibration may not hold any more: {_visible(str(drift), 300)}.")
    return " ".join(said)


def _s(finding: Finding) -> float:
    return finding.suspicion or 0.0


def _count(n: int) -> str:
    return "1 passage" if n == 1 else f"{n} passages"


def _number(evidence: Mapping[str, Any], name: str) -> float | None:
    value = evidence.get(name)
    return float(value) if isinstance(value, int | float) else None


def _ids(evidence: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    for name in names:
        value = evidence.get(name)
        if isinstance(value, str):
            return [value]
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return list(value)
    return []


def _listed(ids: Sequence[str]) -> str:
    shown = [f"'{_visible(name)}'" for name in ids[:3]]
    if len(ids) > 3:
        return f"{', '.join(shown)} and {len(ids) - 3} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _visible(text: str, most: int = _ID_CHARS) -> str:
    """On one line, without control characters: an id comes from whoever wrote the store."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
