"""Signals of where and when hits came from, where their metadata says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Hit, MetaValue, Passage

OWNER_KEYS = ("owner", "author", "source", "user", "uploader")
TIME_KEYS = ("ingested_at", "created_at", "added_at", "timestamp", "date")
_DAY_S = 86_400.0
_MIN_OTHERS = 3
"""Fewer other hits with a date, or a source, show no custom to differ from."""


def provenance(hits: Sequence[Hit], pairs: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """How odd the origin of each hit is beside the others: (k,) each, [0, 1].

    `late`: added long after all the other hits that carry a date. `one_source`: says
    nearly the same as other hits of its own source, while the rest has other sources.
    Both are exactly 0 where metadata is missing, and where every hit has a source of its
    own, or all have the same.

    Args:
        hits: k hits.
        pairs: likeness beyond the question, (k, k), diagonal -1.
    """
    k = len(hits)
    late, one_source = np.zeros(k), np.zeros(k)
    if k > _MIN_OTHERS and any(h.passage.meta or h.passage.source for h in hits):
        times = [added_s(h.passage) for h in hits]
        if sum(t is not None for t in times) > _MIN_OTHERS:
            late = _late(np.array([np.nan if t is None else t for t in times]))
        sources = [_source(h.passage) for h in hits]
        n_known = sum(s is not None for s in sources)
        if n_known > _MIN_OTHERS and 1 < len({s for s in sources if s is not None}) < n_known:
            one_source = _one_source(sources, pairs)
    return {"late": late, "one_source": one_source}


def added_s(passage: Passage) -> float | None:
    """When a passage was added, in seconds since 1970; None where nothing says so.

    Reads ISO 8601 (a time without a zone is taken as UTC), years, and epoch numbers in
    seconds, milliseconds or microseconds.
    """
    for key in TIME_KEYS:
        if key in passage.meta and (found := _seconds(passage.meta[key])) is not None:
            return found
    return None


def _seconds(value: MetaValue) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            try:
                value = float(text)
            except ValueError:
                return None
        else:
            return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    number = float(value)
    if 1000 <= number <= 2200:
        return datetime(int(number), 1, 1, tzinfo=UTC).timestamp()
    for scale in (1.0, 1e3, 1e6):
        if 1e8 <= number / scale <= 1e10:
            return number / scale
    return None


def _source(passage: Passage) -> str | None:
    if passage.source:
        return passage.source
    return next((str(passage.meta[k]) for k in OWNER_KEYS if passage.meta.get(k)), None)


def _late(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each is after the latest of the others, by the spread of the others' times."""
    late = np.zeros(len(times))
    known = np.flatnonzero(~np.isnan(times))
    ordered = np.sort(times[known])
    last, before, first = ordered[-1], ordered[-2], ordered[0]
    # Only what comes after all others can be late: one hit, or none where two share the time.
    spread = max(before - first, _DAY_S)
    late[known[np.argmax(times[known])]] = min(max((last - before) / spread - 1.0, 0.0) / 2.0, 1.0)
    return late


def _one_source(sources: Sequence[str | None], pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = Counter(s for s in sources if s is not None)
    found = np.zeros(len(sources))
    for i, source in enumerate(sources):
        # A source of half of the hits is the usual one here.
        if source is None or not 2 <= counts[source] <= len(sources) / 2:
            continue
        kin = [pairs[i, j] for j, other in enumerate(sources) if j != i and other == source]
        found[i] = min(max((max(kin) - 0.5) / 0.3, 0.0), 1.0)
    return found
