"""Margins from which a text is about a target, for a stated over-refusal of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from ragshield.forget_set import ForgetTarget, folded
from ragshield.protocols import Encoder
from ragshield.unlearning.hard_neighbours import hard_questions
from ragshield.unlearning.key_texts import split_neighbours, templates
from ragshield.unlearning.keys import Calibration, ForgetKeys
from ragshield.unlearning.query_gate import QueryGate, parts_of

_T = TypeVar("_T")
_MOST = 600
_MOST_KEPT = 2_000
_FAR = -2.0
_TESTS = 4


def calibrated(
    keys: ForgetKeys, targets: Sequence[ForgetTarget], encoder: Encoder, budget: float
) -> Calibration:
    """Thresholds set on questions about neighbours that the keys do not know.

    The questions are about made-up neighbours of the targets (`hard_questions`), and every
    second of the questions that were listed as neighbours. The threshold is
    the conformal quantile: of exchangeable questions at most a quarter of `budget` are refused
    for their meaning, on average over calibrations (Vovk 2012), and made-up neighbours are
    harder than those of four data sets (benchmarks/results/unlearning.md). Where there are
    fewer questions than ceil(4 / budget) - 1, the thresholds that ship stay.

    Args:
        keys: with the thresholds that ship.
        targets: whose neighbours to ask about.
        encoder: the keys' own.
        budget: (0, 0.5].
    """
    lists = templates()
    names = {folded(name) for target in targets for name in target.names}
    near = dict.fromkeys(
        n for target in targets for n in target.neighbours if folded(n) not in names
    )
    texts, _ = split_neighbours(near)
    # Neighbours listed by name are never refused for their meaning: they would only dilute.
    asked = _drawn([*hard_questions(targets, lists, _MOST), *texts[1::2]], _MOST)
    gate = QueryGate(keys)
    parts = [parts_of(question) for question in asked]
    vectors = encoder.encode([part for own in parts for part in own] or ["?"])
    lowest = keys.calibration.similarity
    margins: dict[bool, list[float]] = {False: [], True: []}
    start = 0
    for question, own in zip(asked, parts, strict=True):
        found = gate.nearness(question, vectors[start : start + len(own)])
        start += len(own)
        if found is None:
            continue
        of_sample = keys.targets[found.owner].kind == "sample"
        margins[of_sample].append(found.margin if found.similarity >= lowest else _FAR)
    return with_margins(replace(keys.calibration, budget=budget), margins[False], margins[True])


def with_margins(
    shipped: Calibration, margins: Sequence[float], sample_margins: Sequence[float]
) -> Calibration:
    """Thresholds for the margins of neighbours' questions; too few of them change nothing.

    Each kind has its own quantile (Mondrian: Vovk 2012, section 4), so that each keeps the
    budget by itself.
    """
    kept, own = _kept(margins), _kept(sample_margins)
    # The other tests of both gates share the rest of the budget.
    threshold = _quantile(kept, shipped.budget / _TESTS)
    sample_threshold = _quantile(own, shipped.budget / _TESTS)
    known = [t for t in (threshold, sample_threshold) if t is not None]
    return replace(
        shipped,
        threshold=max(threshold, shipped.lowest) if threshold is not None else shipped.threshold,
        sample_threshold=max(sample_threshold, shipped.lowest)
        if sample_threshold is not None
        else shipped.sample_threshold,
        n=len(kept) + len(own) if known else 0,
        margins=kept,
        sample_margins=own,
    )


def _kept(margins: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(float(m), 3) for m in _drawn(sorted(margins), _MOST_KEPT))


def _quantile(margins: Sequence[float], budget: float) -> float | None:
    """The margin that at most `budget` of as many more reach; None: there are too few."""
    n = len(margins)
    if n < np.ceil(1 / budget - 1e-9) - 1:
        return None
    # The k-th largest, so that (number as large + 1) / (n + 1) is at most the budget.
    rank = max(1, int(np.floor(budget * (n + 1) + 1e-9)))
    return margins[n - rank] + 1e-3


def _drawn(every: Sequence[_T], most: int) -> Sequence[_T]:
    """At most so many, evenly spread."""
    if len(every) <= most:
        return every
    return [every[int(i)] for i in np.linspace(0, len(every) - 1, most)]
