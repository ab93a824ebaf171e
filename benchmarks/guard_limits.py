"""Where the limit of embeddings is: a changed number in an otherwise true passage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from guard_calibrated import Drawn, on_store
from guard_data import Case
from guard_fit import scored
from guard_heldout import measured
from guard_models import Models, uncalibrated
from guard_trials import HonestStore

_NUMBER = re.compile(r"\b\d[\d,]*\b")


def edited_number(text: str) -> str | None:
    """The text with its first number made another one of as many digits; None without one."""
    found = _NUMBER.search(text)
    if found is None:
        return None
    digits = [(int(c) + 3) % 10 if c.isdigit() else c for c in found.group()]
    changed = "".join(map(str, digits))
    return text[: found.start()] + changed + text[found.end() :]


def limits(
    cases: Sequence[Case], store: HonestStore, models: Models, drawn: Drawn
) -> dict[str, Any]:
    """Copies of labelled evidence with one number changed, planted beside the original.

    Gives the cosine of copy and original, and what the held-out guards find of the copies.
    """
    trials, cosines = [], []
    for case in cases:
        for text in case.golden:
            copy = edited_number(text)
            if copy is not None:
                original, changed = store.builder.vectors([text, copy])
                cosines.append(float(original @ changed))
                trials.append(store.trial("c", case, "edited-number", [copy]))
                break
    groups = list(models.dataset_held_out(scored(trials)))
    return {
        "n": len(trials),
        "median_cosine": float(np.median(cosines)),
        "low_cosine": float(np.quantile(cosines, 0.05)),
        "fused": measured(uncalibrated(groups)),
        "calibrated": measured(on_store(groups, drawn)[0]),
    }
