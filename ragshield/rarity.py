"""How rare it is that honest passages are accused as much as one is."""

from __future__ import annotations

import math
import tomllib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from ragshield.records import Finding

_SPIKE = 0.5
"""How much it counts that more passages are accused than elsewhere: a power of the ratio."""

_HABITUAL = 0.002
"""Share of a store from which on an accusation may be its habit; ten times it says nothing."""

_A_FEW = 20
"""Accusations that are no habit in any store."""

_COMMON, _RARE = 0.02, 0.001
"""Shares of a store that say nothing, and all, where nothing is known of other stores."""

_HABIT = 0.65
"""How much a screen's whole habit counts there beside the level of the one finding."""

_SIZE = 100_000
"""Passages of the store that the powers of ten below are those of."""

_POWERS = (1.7, 2.7, 3.3, 3.8, 4.2, 4.6, 4.8, 5.5, 7.0)
_MEANS = (0.0, 0.15, 0.3, 0.42, 0.55, 0.75, 0.87, 0.95, 0.99)
"""One honest passage in so many, as a power of ten, and what that is worth."""


def rarities(
    screen: str, findings: Sequence[Finding], n_passages: int
) -> Callable[[Finding], float]:
    """A measure of how rare a screen's finding is among honest passages, [0, 1].

    Of the screens that come with ragshield it is known how many honest passages they accuse
    in ordinary text (`usual_rates.toml`). A finding is the rarer the fewer these are, and
    the more passages this store has beyond them: sixty where one was to be expected are no
    chance. Where a screen accuses one passage in 500 or more, its groups counted once,
    that may as well be the store's habit, and counts less and less. For other screens
    the store itself is all that tells what is usual.

    Args:
        screen: its name.
        findings: all of that screen, suspicion not None.
        n_passages: in the store.
    """
    rates = _usual_rates().get(screen)
    if rates is None:
        return _by_the_store(findings, n_passages)
    ordered = sorted(findings, key=lambda f: -(f.suspicion or 0.0))
    usual = max(_HABITUAL, _A_FEW / max(n_passages, 1))
    groups: set[str] = set()
    n_alone = 0
    power: dict[float, float] = {}
    for n_as_much, finding in enumerate(ordered, start=1):
        if finding.group is None:
            n_alone += 1
        else:
            groups.add(finding.group)
        level = finding.suspicion or 0.0
        expected = _rate(rates, level) * n_passages + 1
        habit = (n_alone + len(groups)) / max(n_passages, 1)
        power[level] = (
            math.log10(max(n_passages, 1) / expected)
            + _SPIKE * math.log10(max(1.0, n_as_much / expected))
            - 4 * max(0.0, math.log10(habit / usual))
        )
    # Nothing is rarer than one passage of the store: small ones are measured as large ones.
    shift = max(0.0, math.log10(_SIZE / max(n_passages, 1)))
    worth: dict[float, float] = {}
    best = -math.inf
    for level in sorted(power):
        # What is accused more is accused as much as what is accused less.
        best = max(best, power[level])
        worth[level] = float(np.interp(best + shift, _POWERS, _MEANS))
    return lambda finding: worth[finding.suspicion or 0.0]


def _rate(rates: Mapping[float, float], level: float) -> float:
    """Share of honest passages, between the levels that are known by its logarithm."""
    logs = [math.log10(rate) for rate in rates.values()]
    return float(np.power(10.0, np.interp(level, list(rates), logs)))


def _by_the_store(findings: Sequence[Finding], n_passages: int) -> Callable[[Finding], float]:
    """By the share of this store's passages, the finding's own group counted once."""
    every = sorted(f.suspicion or 0.0 for f in findings)
    groups: dict[str, list[float]] = defaultdict(list)
    for finding in findings:
        if finding.group is not None:
            groups[finding.group].append(finding.suspicion or 0.0)
    for values in groups.values():
        values.sort()
    # Nothing is rarer than one passage of the store.
    rare = max(_RARE, 1 / max(n_passages, 1))

    def rarity(finding: Finding) -> float:
        value = finding.suspicion or 0.0
        own = [value] if finding.group is None else groups[finding.group]
        n_accused = len(every) - len(own) + 1
        n_as_much = at_least(every, value) - at_least(own, value) + 1
        share = n_accused**_HABIT * n_as_much ** (1 - _HABIT) / max(n_passages, 1)
        if rare >= _COMMON:
            return value
        part = math.log(_COMMON / share) / math.log(_COMMON / rare)
        return float(min(max(part, 0.0), 1.0) * value**0.8)

    return rarity


def at_least(ordered: Sequence[float], value: float) -> int:
    """How many of the values, in ascending order, are not smaller."""
    return len(ordered) - bisect_left(ordered, value)


@cache
def _usual_rates() -> Mapping[str, Mapping[float, float]]:
    """By screen: share of honest passages accused with at least a suspicion."""
    text = Path(__file__).with_name("usual_rates.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return {
        name: dict(zip(table["levels"], rates, strict=True))
        for name, rates in table["rates"].items()
    }
