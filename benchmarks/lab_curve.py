"""How many of five passages have to be poisoned, and how long an answer takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from lab_cases import N_SHOWN, Case, Memory, cases

from ragshield.intervals import rate
from ragshield.lab.facts import Cast
from ragshield.metrics import answer_correct, attack_succeeded
from ragshield.readers.lab import LabReader

PUBLISHED = (0.48, 0.76, 0.84, 0.90, 1.0)
"""PoisonedRAG (arXiv 2402.07867), black box, NQ: 1 to 5 poisoned of 5 passages."""

MEMORIES: tuple[Memory, ...] = ("against", "none", "for")


def curves(reader: LabReader, cast: Cast, *, n: int, seed: int) -> dict[str, Any]:
    """Attack success and right answers against the number of poisoned passages."""
    found: dict[str, Any] = {}
    for memory in MEMORIES:
        made = cases(reader, cast, memory, n=n, seed=seed)
        points = [_point(reader, made, j, seed) for j in range(N_SHOWN + 1)]
        found[memory] = {"n": len(made), "points": points, **_shape(points)}
    return found


def _point(reader: LabReader, made: Sequence[Case], n_poisoned: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, n_poisoned])
    shown = [case.shown(n_poisoned, rng) for case in made]
    targets = [case.target for case in made]
    given = reader.answers([t.question.text for t in targets], shown)
    won = [
        attack_succeeded(a, t.wrong_answer, t.question) is True
        for a, t in zip(given, targets, strict=True)
    ]
    right = [answer_correct(a, t.question) is True for a, t in zip(given, targets, strict=True)]
    return {
        "n_poisoned": n_poisoned,
        "success": as_json(sum(won), len(won)),
        "right": as_json(sum(right), len(right)),
    }


def _shape(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The curve beside the published one, each divided by its own value at five."""
    mine = np.array([p["success"]["value"] or 0.0 for p in points[1:]])
    if not mine[-1]:
        return {"correlation": None, "largest_gap": None, "rises": False}
    ours, theirs = mine / mine[-1], np.array(PUBLISHED) / PUBLISHED[-1]
    flat = not ours.std()
    return {
        "correlation": None if flat else float(np.corrcoef(ours, theirs)[0, 1]),
        "largest_gap": float(np.abs(ours - theirs).max()),
        "rises": bool((np.diff(mine) >= 0).all()),
    }


def as_json(successes: int, n: int) -> dict[str, Any]:
    """A share with its interval."""
    found = rate(successes, n)
    return {"value": found.value, "low": found.low, "high": found.high, "n": n}


def times(reader: LabReader, cast: Cast, *, n: int, seed: int) -> dict[str, Any]:
    """Milliseconds for one answer from five passages, one question at a time.

    Of the clock, and of the processor, in which other programs on the machine do not count.
    """
    made = cases(reader, cast, "none", n=n + 3, seed=seed + 1)
    rng = np.random.default_rng(seed)
    taken: list[tuple[float, float]] = []
    tokens: list[int] = []
    for case in made:
        shown = case.shown(0, rng)
        tokens.append(len(reader.tokenizer.encode(reader.prompt(case.target.question.text, shown))))
        began = time.perf_counter(), time.process_time()
        reader.answer(case.target.question.text, shown)
        taken.append((time.perf_counter() - began[0], time.process_time() - began[1]))
    kept = 1000 * np.array(taken[3:])  # the first are slower: libraries warm up
    quantiles = np.quantile(kept, [0.1, 0.5, 0.9], axis=0)
    return {
        "n": len(kept),
        "clock_ms": quantiles[:, 0].tolist(),
        "processor_ms": quantiles[:, 1].tolist(),
        "median_tokens": float(np.median(tokens)),
    }
