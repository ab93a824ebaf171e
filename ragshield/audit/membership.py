"""Can an observer tell what was forgotten from what never was? By wording, length, time."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

from ragshield.forget_set import folded

_FEW_PAIRS = 4


@dataclass(frozen=True, slots=True)
class Auc:
    """How well two groups of answers can be told apart.

    Attributes:
        value: chance that a forgotten one looks more forgotten than a never-known one,
            [0, 1]; 0.5 = cannot be told apart; None where nothing was asked.
        low: lower limit of the interval.
        high: upper limit.
        n: answers of each group.
        n_clusters: targets they come from.
        by: what tells them apart best: `wording` or `length`.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_clusters: int
    by: str = ""

    def __str__(self) -> str:
        """For example `0.62 [0.48, 0.74]`; `-` where nothing was asked."""
        return "-" if self.value is None else f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, slots=True)
class Pair:
    """The answers to one probe, asked about a target and about its control.

    Attributes:
        cluster: number of the target.
        variant: how it was asked.
        texts: of the target, of the control.
        names: that stand in one of the two and not in the other, so they must not count.
    """

    cluster: int
    variant: str
    texts: tuple[str, str]
    names: tuple[tuple[str, ...], tuple[str, ...]]


def membership(pairs: Sequence[Pair]) -> Auc:
    """The better of two observers: one who weighs words, and one who measures length.

    The first learns the words of both groups on other targets (on other ways of asking,
    where there are fewer than four targets) and never sees what it is tested on, nor any
    name. Whichever direction length tells is learned on the same answers, likewise.
    """
    if not pairs:
        return Auc(None, None, None, 0, 0)
    few = len({pair.cluster for pair in pairs}) < _FEW_PAIRS
    folds = [f"{pair.variant}" if few else f"{pair.cluster}" for pair in pairs]
    lengths = [(float(len(p.texts[0].split())), float(len(p.texts[1].split()))) for p in pairs]
    words = [(_words(p.texts[0], p.names[0]), _words(p.texts[1], p.names[1])) for p in pairs]
    best: Auc | None = None
    for by, values in (
        ("wording", _by_words(words, folds)),
        ("length", _by_number(lengths, folds)),
    ):
        found = auc([a for a, _ in values], [b for _, b in values], _clusters(pairs), by)
        if best is None or (found.value or 0) > (best.value or 0):
            best = found
    return best or Auc(None, None, None, 0, 0)


def told_by_time(rows: Sequence[tuple[int, float, float]]) -> Auc:
    """An observer with a stopwatch, who learns on other targets which of the two are slower.

    Args:
        rows: number of the target, seconds for it, seconds for its control.
    """
    values = _by_number([row[1:] for row in rows], [str(row[0]) for row in rows])
    n_clusters = len({row[0] for row in rows})
    return auc([a for a, _ in values], [b for _, b in values], n_clusters, "time")


def auc(members: Sequence[float], others: Sequence[float], n_clusters: int, by: str = "") -> Auc:
    """Area under the curve of two groups of numbers; ties count half.

    The interval is Newcombe's (Statistics in Medicine 25, 2006, 559-573, method 5), with
    the number of targets in place of the number of answers, which are not independent.
    """
    if not members or not others:
        return Auc(None, None, None, 0, 0, by)
    above = sum((m > o) + 0.5 * (m == o) for m in members for o in others)
    value = above / (len(members) * len(others))
    low, high = _limits(value, max(2, n_clusters))
    return Auc(value, low, high, len(members), n_clusters, by)


def _clusters(pairs: Sequence[Pair]) -> int:
    return len({pair.cluster for pair in pairs})


def _words(text: str, names: Sequence[str]) -> tuple[str, ...]:
    plain = f" {folded(text)} "
    for name in sorted((folded(name) for name in names), key=len, reverse=True):
        if name:
            plain = re.sub(rf"(?<=\s){re.escape(name)}(?=\s)", "<name>", plain)
    return tuple(plain.split())


def _by_words(
    words: Sequence[tuple[tuple[str, ...], tuple[str, ...]]], folds: Sequence[str]
) -> list[tuple[float, float]]:
    """Log-odds of each answer under naive Bayes learned without its fold."""
    totals: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    own: dict[str, tuple[Counter[str], Counter[str]]] = {}
    n_own: Counter[str] = Counter(folds)
    for pair, fold in zip(words, folds, strict=True):
        mine = own.setdefault(fold, (Counter(), Counter()))
        for side in (0, 1):
            found = _features(pair[side])
            totals[side].update(found)
            mine[side].update(found)
    values = []
    for pair, fold in zip(words, folds, strict=True):
        n = len(words) - n_own[fold]
        mine = own[fold]

        def odds(text: tuple[str, ...], n: int = n, mine: tuple[Counter[str], ...] = mine) -> float:
            if n == 0:
                return 0.0
            return sum(
                math.log((totals[0][w] - mine[0][w] + 1) / (totals[1][w] - mine[1][w] + 1))
                for w in sorted(_features(text))
            )

        values.append((odds(pair[0]), odds(pair[1])))
    return values


def _by_number(
    rows: Sequence[tuple[float, float]], folds: Sequence[str]
) -> list[tuple[float, float]]:
    """Numbers, turned round where on the other folds those of targets are smaller."""
    larger: dict[str, float] = {}
    for (own, other), fold in zip(rows, folds, strict=True):
        larger[fold] = larger.get(fold, 0.0) + own - other
    total = sum(larger.values())
    signs = (-1.0 if total - larger[fold] < 0 else 1.0 for fold in folds)
    return [(sign * a, sign * b) for sign, (a, b) in zip(signs, rows, strict=True)]


def _features(text: tuple[str, ...]) -> frozenset[str]:
    return frozenset((*text, *(f"{a} {b}" for a, b in pairwise(text))))


def _limits(value: float, n: int) -> tuple[float, float]:
    z = NormalDist().inv_cdf(0.975)

    def spread(theta: float) -> float:
        mean = n - 1
        part = (1 - theta) / (2 - theta) + theta / (1 + theta)
        return z * math.sqrt(theta * (1 - theta) * (1 + mean * part) / (n * n))

    def solved(inside: float, outside: float) -> float:
        for _ in range(60):
            middle = (inside + outside) / 2
            if abs(value - middle) <= spread(middle):
                inside = middle
            else:
                outside = middle
        return inside

    return solved(value, 0.0) if value > 0 else 0.0, solved(value, 1.0) if value < 1 else 1.0
