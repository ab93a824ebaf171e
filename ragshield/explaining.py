"""A verdict in sentences: what was removed, why, how sure, and what the status means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # records gives its verdicts these words
    from ragshield.records import Finding, Verdict

_NAMES_SHOWN = 10
_GROUPS_SHOWN = 10
_ID_CHARS = 60
_SENTENCE_STARTS = ("it", "its", "a", "another", "several", "many", "more", "parts", "nothing")
"""First words of reasons that follow on "because"; others follow on a colon."""


def explain(verdict: Verdict) -> str:
    """Say in plain sentences what a verdict means.

    Names the removed passages, worst first, those with the same reason together: their
    signals, the calibrated p-value where there is one, and the passages that they
    conflict or agree with where the defender says so. Then what the status means, and
    what was not calibrated or has drifted. Control characters of ids and reasons are
    taken out: whoever wrote the store chose them.

    Args:
        verdict: of any defender, chain or guard.

    Returns:
        One or more paragraphs, separated by line ends, without one at the end.
    """
    groups = _alike(verdict.dropped)
    several = "+" in verdict.detector
    paragraphs = [_opening(verdict)]
    paragraphs += [_removed(group, name_detector=several) for group in groups[:_GROUPS_SHOWN]]
    if n_more := sum(len(group) for group in groups[_GROUPS_SHOWN:]):
        more = "1 more passage was" if n_more == 1 else f"{n_more} more passages were"
        paragraphs.append(f"{more} removed, each for other reasons.")
    paragraphs += filter(None, (_meaning(verdict), _calibration(verdict.findings)))
    return "\n".join(paragraphs)


def _opening(verdict: Verdict) -> str:
    n, n_dropped = len(verdict.findings), len(verdict.dropped)
    names = [_visible(name) for name in verdict.detector.split("+")]
    who = _joined(names)
    if not n:
        return f"Nothing was retrieved, so {who} had nothing to judge."
    if all(finding.suspicion is None for finding in verdict.findings) and not n_dropped:
        return f"{who} could not judge: {_count(n)} kept as retrieved."
    judged = f"{who} judged {_count(n)}{' in turn' if len(names) > 1 else ''}"
    if not n_dropped:
        return f"{judged} and found nothing to remove."
    if n_dropped == n:
        return f"{judged} and removed {'it' if n == 1 else 'all of them'}: nothing is left to read."
    return f"{judged} and removed {n_dropped}."


def _alike(dropped: Sequence[Finding]) -> list[list[Finding]]:
    """Findings with the same detector and signals together; worst group and member first."""
    groups: dict[tuple[str, frozenset[str]], list[Finding]] = {}
    for finding in sorted(dropped, key=_s, reverse=True):
        key = (finding.detector, frozenset(_clauses(finding)))
        groups.setdefault(key, []).append(finding)
    return list(groups.values())


def _clauses(finding: Finding) -> list[str]:
    # The p-value is told below, once and in words.
    said = finding.reason.removeprefix("dropped:").partition("; about ")[0].partition("; none of")
    return [_visible(part, 200).rstrip(". ") for part in said[0].split("; ") if part.strip()]


def _removed(group: Sequence[Finding], *, name_detector: bool) -> str:
    names = [finding.passage_id for finding in group]
    one = len(group) == 1
    said = f"{'Passage' if one else 'Passages'} {_listed(names, _NAMES_SHOWN)} "
    said += "was removed" if one else "were removed"
    if name_detector:
        said += f" by {_visible(group[0].detector)}"
    if clauses := _clauses(group[0]):
        follows = clauses[0].split()[0] in _SENTENCE_STARTS
        because = " because " if one else ", each because "
        said += (because if follows else ": ") + _joined(clauses)
    said += f". {_how_sure(group)}"
    conflicts, agrees = _others(group, "conflicts_with"), _others(group, "agrees_with")
    if conflicts:
        said += f" {'It conflicts' if one else 'They conflict'} with {_listed(conflicts, 3)}."
    if outside := [name for name in agrees if name not in names]:
        said += f" {'It agrees' if one else 'They agree'} with {_listed(outside, 3)}."
    if len(outside) < len(agrees):
        said += " They say nearly the same."
    return said.rstrip()


def _how_sure(group: Sequence[Finding]) -> str:
    p_values = [p for f in group if (p := _number(f.evidence, "p_value")) is not None]
    if len(p_values) == len(group):
        return _odds(max(p_values), group)
    suspicions = [f.suspicion for f in group if f.suspicion is not None]
    if not suspicions:
        return ""
    low, high = f"{min(suspicions):.2f}", f"{max(suspicions):.2f}"
    whose = "Its" if len(group) == 1 else "Their"
    value = high if low == high else f"{low} to {high}"
    limit = _number(group[0].evidence, "threshold")
    beside = "" if limit is None else f"; {limit:.2f} is enough for removal"
    return f"{whose} suspicion is {value} of 1{beside}."


def _odds(p_value: float, group: Sequence[Finding]) -> str:
    n = _number(group[0].evidence, "n_calibration")
    stated = f"(p {'=' if len(group) == 1 else '<='} {p_value:.2g})"
    if n and p_value * (n + 1) <= 1.0 + 1e-9:
        return f"No honest passage of {n:.0f} calibration questions looked so suspicious {stated}."
    return f"About one honest passage in {max(1 / p_value, 1):.0f} looks as suspicious {stated}."


def _meaning(verdict: Verdict) -> str:
    if verdict.status in ("majority_assumption_violated", "abstained"):
        return _outnumbered(verdict)
    if verdict.status == "not_judged":
        if failures := [f for f in verdict.findings if f.suspicion is None]:
            why = _visible(failures[0].reason, 200).rstrip(".").removeprefix("not judged: ")
            n = _count(len(failures))
            return f"{n} could not be judged ({why}), which is not the same as clean."
        return "The defender could not judge these passages, which is not the same as clean."
    if verdict.looked_deeper_from is not None:
        return (
            f"Of the first {verdict.looked_deeper_from} so many looked planted that honest ones "
            "might have been the minority, so more were retrieved and all were judged again."
        )
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


def _outnumbered(verdict: Verdict) -> str:
    deeper = ""
    if verdict.looked_deeper_from is not None:
        deeper = (
            f", among the first {verdict.looked_deeper_from} and still among the "
            f"{len(verdict.findings)} retrieved after that"
        )
    said = f"So many passages look planted that honest ones may be the minority{deeper}"
    n_rest = len(verdict.findings) - len(verdict.dropped)
    if verdict.status == "abstained":
        rest = ": no context is given"
        if n_rest:
            withheld = "passage was withheld" if n_rest == 1 else f"{n_rest} were withheld"
            rest = f", so the other {withheld} too and no context is given"
        return f"{said}{rest}. Answer that you do not know, or ask a person."
    if not n_rest:
        return f"{said}. Answer that you do not know, or ask a person."
    what = "the one that was kept" if n_rest == 1 else f"the {n_rest} that were kept"
    return f"{said}: do not rely on {what}."


def _calibration(findings: Sequence[Finding]) -> str:
    """What is true of all findings alike, said once."""
    if not findings:
        return ""
    said = []
    evidence = findings[0].evidence
    budget = _number(evidence, "budget")
    if budget is not None and "p_value" in evidence:
        said.append(
            f"The threshold was calibrated to remove at most {budget:.2g} of the honest passages."
        )
    elif "critical" in evidence:
        said.append(
            "The threshold is ragshield's default and not calibrated on this store; ragshield "
            "calibrate does that."
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


def _others(group: Sequence[Finding], name: str) -> list[str]:
    """Ids that any of these findings names in its evidence, each once."""
    found: dict[str, None] = {}
    for finding in group:
        value = finding.evidence.get(name)
        for other in [value] if isinstance(value, str) else value or ():
            found[str(other)] = None
    return list(found)


def _listed(ids: Sequence[str], most: int) -> str:
    shown = [f"'{_visible(name)}'" for name in ids[:most]]
    if len(ids) > most:
        shown.append(f"{len(ids) - most} more")
    return _joined(shown)


def _joined(parts: Sequence[str]) -> str:
    comma = "; " if any("," in part for part in parts) else ", "
    last = "; and " if comma == "; " else " and "
    return parts[0] if len(parts) == 1 else f"{comma.join(parts[:-1])}{last}{parts[-1]}"


def _visible(text: str, most: int = _ID_CHARS) -> str:
    """On one line, without control characters: an id comes from whoever wrote the store."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
