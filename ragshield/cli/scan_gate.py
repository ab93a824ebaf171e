"""When `ragshield scan` fails: by level or suspicion, and only on what is new."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from ragshield.errors import UsageError
from ragshield.findings import LEVELS, Level
from ragshield.reports.report import Listed, Report

NEVER, ANY = "never", "any"

Gate = Callable[[Listed], bool]


def gate(fail_on: str) -> Gate:
    """Which findings make a scan fail.

    Args:
        fail_on: `any` (also what could not be judged), a level (that or a worse one),
            a suspicion in [0, 1], or `never`.

    Raises:
        UsageError: anything else.
    """
    word = fail_on.strip().lower()
    if word == ANY:
        return lambda listed: not listed.known
    if word == NEVER:
        return lambda listed: False
    lowest = _level(word)
    if lowest is None:
        lowest = _number(fail_on)

    def fails(listed: Listed) -> bool:
        suspicion = listed.finding.suspicion
        return not listed.known and suspicion is not None and suspicion >= lowest

    return fails


def exit_code(report: Report, fails: Gate) -> int:
    """3 for an incomplete scan, 1 if a finding fails it, listed or not, else 0."""
    if not report.complete:
        return 3
    return 1 if any(fails(listed) for listed in report.every) else 0


def _level(word: str) -> float | None:
    levels: Sequence[Level] = tuple(LEVELS)
    return next((LEVELS[level] for level in levels if level == word), None)


def _number(fail_on: str) -> float:
    words = [ANY, *LEVELS, NEVER]
    try:
        value = float(fail_on)
    except ValueError:
        near = difflib.get_close_matches(fail_on.lower(), words, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UsageError(
            f"--fail-on is '{fail_on}'; {hint}allowed: {', '.join(words)}, or a suspicion, 0 to 1"
        ) from None
    if not 0 <= value <= 1:
        raise UsageError(f"--fail-on is {fail_on}; a suspicion must be in [0, 1]")
    return value
