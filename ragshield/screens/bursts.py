"""Many passages on one topic that came within a short time, or from one fresh source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lgamma
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Snapshot
from ragshield.records import Action, Batch, Finding
from ragshield.screens.apart import clusters, least_gap, standing_apart
from ragshield.screens.documents import key_of, place
from ragshield.screens.neighbours import usual_similarity
from ragshield.screens.tails import expected_beyond, suspicion_from
from ragshield.screens.times import arrival
from ragshield.screens.whole import judge_batch

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0070", "LLM04:2025", "LLM08:2025", "LLM05:2026", "LLM09:2026")
"""MITRE ATLAS RAG Poisoning; OWASP data poisoning and embedding weaknesses, with the year."""

WINDOWS_S = (600.0, 3600.0, 86400.0)
"""Within how many seconds passages came together: ten minutes, an hour, a day."""

_STEP = 1024
_MIN_KNOWN = 40
_MIN_TOGETHER = 3
_HIGHEST = 0.85
_LATE = 0.25
"""Share of the arrivals that is new: the source must be among the latest."""
_CLUSTERED = 0.6


class _Reading(NamedTuple):
    """When and whence the rows of one part came: 24 bytes each.

    Attributes:
        arrival: seconds since 1970, (m,) float64; NaN where not known.
        source: key of the source, (m,) uint64; 0 where not known.
        document: key of the document, (m,) uint64; 0 where not known.
    """

    arrival: NDArray[np.float64]
    source: NDArray[np.uint64]
    document: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Fresh:
    """What is said of a fresh source."""

    suspicion: float
    n_clusters: int
    n_rows: int


@dataclass(frozen=True, slots=True)
class _Burst:
    """The most unlikely window of each row.

    Attributes:
        suspicion: per row, [0, 1].
        window_s: per row.
        n_together: neighbours of other documents that came within the window.
        n_near: neighbours of other documents with a time.
        by_chance: how many of them would have, by the store's rate at that time.
    """

    suspicion: NDArray[np.float64]
    window_s: NDArray[np.float64]
    n_together: NDArray[np.int64]
    n_near: NDArray[np.int64]
    by_chance: NDArray[np.float64]


class Bursts:
    """Passages on one topic that came together in time, or from one fresh source.

    Poison for a question is planted in one go. For each passage whose metadata tells when
    it came, the screen counts how many of its nearest neighbours from other documents came
    within ten minutes, an hour, a day of it, and how many would have by chance, given how
    much came to the whole store at that time. A source that is new to the store, came at
    once and consists of tight clusters of passages is named as well, from two clusters on
    with 0.45 and more. The
    suspicion is 0.5 where one honest store in twenty has such a case, at most 0.85: time
    alone convicts nobody. Nothing is said where times are missing, or where the whole
    store was loaded at once.

    Source: recency and concentration, the demand detector of "Coverage Is Not
    Containment", arXiv 2608.16044.
    Differs: there demand is counted at retrieval; here arrivals are, with no question.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.

    Raises:
        ValueError: an argument out of its range.
    """

    name: ClassVar[str] = "bursts"

    def __init__(self, *, drop_from: float = 0.8) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        self.drop_from = drop_from

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; none without vectors."""
        return judge_batch(self, batch)

    def read(self, snapshot: Snapshot, part: range) -> _Reading:
        """When and whence the rows came."""
        times = np.full(len(part), np.nan)
        source = np.zeros(len(part), dtype=np.uint64)
        document = np.zeros(len(part), dtype=np.uint64)
        for start in range(part.start, part.stop, _STEP):
            here = range(start, min(start + _STEP, part.stop))
            for i, passage in enumerate(snapshot.passages(here), start - part.start):
                found = arrival(passage)
                times[i] = np.nan if found is None else found
                source[i] = key_of(passage.source)
                document[i] = key_of(place(passage).document)
        return _Reading(times, source, document)

    def judge(self, snapshot: Snapshot, readings: Sequence[_Reading]) -> list[Finding]:
        """Findings in the order of the rows, at most one per passage."""
        if not readings or snapshot.dim is None:
            return []
        store = _Reading(*(np.concatenate(column) for column in zip(*readings, strict=True)))
        known = np.isfinite(store.arrival)
        if np.count_nonzero(known) < _MIN_KNOWN or np.ptp(store.arrival[known]) <= 0:
            return []
        burst = _bursts(snapshot, store)
        fresh = _fresh_sources(snapshot, store)
        found = []
        for row in sorted({*np.flatnonzero(burst.suspicion >= MIN_SHOWN).tolist(), *fresh}):
            late = fresh.get(row)
            suspicion = max(float(burst.suspicion[row]), late.suspicion if late else 0.0)
            suspicion = min(suspicion, _HIGHEST)
            (passage,) = snapshot.passages([row])
            near = [int(other) for other in snapshot.nearest([row]).rows[0] if other >= 0]
            if late is not None and late.suspicion > burst.suspicion[row]:
                near = [other for other in near if store.source[other] == store.source[row]]
                reason = (
                    f"from a source that is new to the store and came at once: {late.n_rows} "
                    f"passages in {late.n_clusters} tight clusters, each of which says one thing"
                )
            else:
                within = np.abs(store.arrival[near] - store.arrival[row]) <= burst.window_s[row]
                near = [other for other, is_near in zip(near, within, strict=True) if is_near]
                reason = (
                    f"came within {_duration(burst.window_s[row])} of {burst.n_together[row]} of "
                    f"its {burst.n_near[row]} nearest passages from other documents; by chance "
                    f"{burst.by_chance[row]:.1g} would have"
                )
            evidence = {
                "arrival": float(store.arrival[row]) if known[row] else None,
                "window_s": float(burst.window_s[row]),
                "n_together": int(burst.n_together[row]),
                "n_near": int(burst.n_near[row]),
                "by_chance": float(f"{burst.by_chance[row]:.3g}"),
                "n_clusters_of_source": late.n_clusters if late else None,
                "neighbours": [other.id for other in snapshot.passages(near[:10])],
                "taxonomy": list(TAXONOMY),
            }
            found.append(
                Finding(
                    passage_id=passage.id,
                    suspicion=round(suspicion, 4),
                    detector=self.name,
                    action=Action.DROP if suspicion >= self.drop_from else Action.KEEP,
                    reason=reason,
                    evidence=evidence,
                )
            )
        return found


def _bursts(snapshot: Snapshot, store: _Reading) -> _Burst:
    n = len(store.arrival)
    known = np.isfinite(store.arrival)
    times = np.sort(store.arrival[known])
    near_enough = float(usual_similarity(snapshot, depth=1).median[0])
    likelihood = np.zeros(n)  # log10 of the chance, of the most unlikely window
    window_s = np.zeros(n)
    together = np.zeros(n, dtype=np.int64)
    n_near = np.zeros(n, dtype=np.int64)
    by_chance = np.zeros(n)
    rows = np.flatnonzero(known)
    for start in range(0, len(rows), _STEP):
        some = rows[start : start + _STEP]
        nearest = snapshot.nearest(some.tolist())
        others = np.where(nearest.rows >= 0, nearest.rows, 0)
        counted = (nearest.rows >= 0) & (nearest.similarity >= near_enough) & known[others]
        # Chunks of one document come together as a matter of course.
        document = store.document[some][:, None]
        counted &= (store.document[others] != document) | (document == 0)
        apart_s = np.abs(store.arrival[others] - store.arrival[some][:, None])
        n_near[some] = counted.sum(axis=1)
        for window in WINDOWS_S:
            mine = store.arrival[some]
            came = np.searchsorted(times, mine + window, "right")
            came -= np.searchsorted(times, mine - window, "left")
            share = came / len(times)
            m = (counted & (apart_s <= window)).sum(axis=1)
            chance = _at_least(m, n_near[some], share)
            better = (m >= _MIN_TOGETHER) & (chance < likelihood[some])
            chosen = some[better]
            likelihood[chosen] = chance[better]
            window_s[chosen] = window
            together[chosen] = m[better]
            by_chance[chosen] = (share * n_near[some])[better]
    # By chance in a store of this size, and by what this store is used to.
    expected = len(WINDOWS_S) * len(times) * 10.0**likelihood
    usual = np.full(n, np.inf)
    usual[known] = expected_beyond(-likelihood[known], least_scale=0.3)
    suspicion = suspicion_from(np.maximum(np.maximum(expected, usual), 1e-300))
    suspicion[likelihood == 0] = 0
    return _Burst(suspicion, window_s, together, n_near, by_chance)


def _at_least(
    m: NDArray[np.int64], n: NDArray[np.int64], share: NDArray[np.float64]
) -> NDArray[np.float64]:
    """log10 of the chance that of n at least m are, each with the chance `share`."""
    total = np.zeros(len(m))
    rate = np.clip(share, 1e-12, 1 - 1e-12)
    most = int(n.max(initial=0))
    for k in range(most + 1):
        choose = np.array(
            [lgamma(x + 1) - lgamma(k + 1) - lgamma(x - k + 1) for x in range(k, most + 1)]
        )
        use = (k >= m) & (k <= n)
        log = choose[np.maximum(n - k, 0)] + k * np.log(rate) + (n - k) * np.log1p(-rate)
        total += np.where(use, np.exp(log), 0.0)
    found: NDArray[np.float64] = np.log10(np.clip(total, 1e-300, 1))
    return found


def _fresh_sources(snapshot: Snapshot, store: _Reading) -> dict[int, _Fresh]:
    """Rows of sources that came late, at once, and consist of tight clusters of their own."""
    gap = least_gap(snapshot)
    if gap is None:
        return {}
    apart = [standing_apart(snapshot, part, gap=gap) for part in snapshot.parts()]
    own: dict[int, list[tuple[int, ...]]] = {}
    for cluster in clusters(apart):
        rows = list(cluster.rows)
        keys, counts = np.unique(store.source[rows], return_counts=True)
        if keys[counts.argmax()] != 0 and counts.max() >= max(_MIN_TOGETHER, len(rows) - 1):
            key = keys[counts.argmax()]
            own.setdefault(int(key), []).append(
                tuple(row for row in rows if store.source[row] == key)
            )
    known = np.isfinite(store.arrival)
    late = np.quantile(store.arrival[known], 1 - _LATE)
    found: dict[int, _Fresh] = {}
    for key, groups in own.items():
        rows = np.flatnonzero(store.source == np.uint64(key)).tolist()
        times = store.arrival[rows]
        clustered = {row for group in groups for row in group}
        if not np.isfinite(times).all() or np.ptp(times) > WINDOWS_S[-1]:
            continue
        # Where most of the store came with it, nothing is new about the source.
        with_it = np.abs(store.arrival - times.mean()) <= WINDOWS_S[-1]
        alone = np.count_nonzero(with_it) <= 2 * _LATE * np.count_nonzero(known)
        if alone and times.min() >= late and len(clustered) >= _CLUSTERED * len(rows):
            suspicion = min(0.3 + 0.15 * (len(groups) - 1), _HIGHEST)
            fresh = _Fresh(suspicion, len(groups), len(rows))
            found.update((row, fresh) for row in clustered)
    return found


def _duration(seconds: float) -> str:
    return {600.0: "ten minutes", 3600.0: "an hour", 86400.0: "a day"}[seconds]
