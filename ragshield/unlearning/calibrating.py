"""Margins from which a text is about a target, for a stated over-refusal of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ragshield.forget_set import ForgetTarget, folded
from ragshield.protocols import Encoder
from ragshield.unlearning.keys import Calibration, ForgetKeys
from ragshield.unlearning.margins import Margins

_MOST = 600


def calibrated(
    keys: ForgetKeys, targets: Sequence[ForgetTarget], encoder: Encoder, budget: float
) -> Calibration:
    """Thresholds set on questions about the targets' neighbours.

    The threshold is the conformal quantile: of exchangeable questions about neighbours at
    most `budget` have a margin as large, on average over calibrations (Vovk 2012). Where
    there are fewer questions than ceil(1 / budget) - 1, those that ship with ragshield stay,
    which were set on other people's data.

    Args:
        keys: with the thresholds that ship.
        targets: whose neighbours to ask about.
        encoder: the keys' own.
        budget: (0, 0.5].
    """
    from ragshield.unlearning.building import split_neighbours, templates

    names = {folded(name) for target in targets for name in target.names}
    near = dict.fromkeys(
        n for target in targets for n in target.neighbours if folded(n) not in names
    )
    forms = templates()["calibration_questions"]
    texts, named = split_neighbours(near)
    asked = [*texts[1::2], *(form.replace("{name}", n) for n in named for form in forms)]
    if len(asked) > _MOST:
        rng = np.random.default_rng(0)
        asked = [asked[i] for i in np.sort(rng.choice(len(asked), _MOST, replace=False))]
    if len(asked) < np.ceil(1 / budget - 1e-9) - 1:
        return replace(keys.calibration, budget=budget, n=0)
    shipped = keys.calibration
    found = Margins(keys).of(encoder.encode(asked))
    # What is too far from every target is not refused, whatever its margin.
    margins = np.sort([m.margin if m.similarity >= shipped.similarity else -2.0 for m in found])
    n = len(margins)
    # The k-th largest, so that (number as large + 1) / (n + 1) is at most the budget.
    rank = max(1, int(np.floor(budget * (n + 1) + 1e-9)))
    value = float(margins[n - rank]) + 1e-6
    # Never so low that a question nearer to what stays than to a target is refused.
    value = max(value, shipped.threshold)
    return replace(
        shipped,
        threshold=value,
        sentence_threshold=max(value, shipped.sentence_threshold),
        budget=budget,
        n=n,
    )
