"""A hundred targets one after another, and fifty of which some are taken back."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from unlearning_methods import SwitchedEncoder
from unlearning_scale import Crowd, of

from ragshield.unlearning import build_keys, is_refusal, joined, only_targets
from ragshield.unlearning.keys import ForgetKeys

_FIRST = 10
_EVERY = 5
_N_EACH = 6


def one_after_another(
    crowd: Crowd, encoder: SwitchedEncoder, n: int, *, restore: bool = False
) -> list[dict[str, Any]]:
    """Targets added to a live deployment one by one, each built by itself and joined.

    After 1, 10, half of them and all it is asked for what was forgotten last and, by itself,
    for the first ten, which must still be forgotten; for others whom nobody forgets; and
    plainly (by name, "direct").

    Args:
        crowd: whom to forget.
        encoder: of the gates.
        n: how many.
        restore: whether after every fifth that is added the third of these five is taken
            back, so that it must be told again.
    """
    secret = bytes(32)
    keys: ForgetKeys | None = None
    held: list[int] = []
    back: list[int] = []
    rows: list[dict[str, Any]] = []
    seconds: list[float] = []
    for i, target in enumerate(crowd.targets[:n]):
        start = time.perf_counter()
        new = build_keys([target], encoder, secret=secret, benign=crowd.staying, beside=keys)
        keys = new if keys is None else joined(keys, new)
        seconds.append(time.perf_counter() - start)
        held.append(i)
        if restore and i % _EVERY == _EVERY - 1:
            out = held[-3]
            keys = only_targets(keys, [row for row, who in enumerate(held) if who != out])
            held.remove(out)
            back.append(out)
        if i + 1 in (1, _FIRST, n // 2, n):
            row = {"n": i + 1, "n_held": len(held), **_after(crowd, encoder, keys, held, back)}
            row["add_s"] = round(float(np.median(seconds[-_FIRST:])), 2)
            row["add_most_s"] = round(max(seconds), 2)
            rows.append(row)
            print(f"one after another{', some back' if restore else ''}: {row}", flush=True)
    return rows


def _after(
    crowd: Crowd, encoder: SwitchedEncoder, keys: ForgetKeys, held: list[int], back: list[int]
) -> dict[str, Any]:
    """What a deployment tells of whom it forgot, of the first of them, and of others."""
    parts = {
        "leak": crowd.asked(held, max(40, _N_EACH * len(held))),
        "leak_first": crowd.asked(held[:_FIRST], _N_EACH * _FIRST),
        "direct": [crowd.plain(i, k) for i in held for k in range(3)],
        "back": [crowd.plain(i, k) for i in back for k in range(3)],
        "over_refusal": crowd.about_others(),
    }
    given = {name: crowd.given(keys, encoder, asked) for name, asked in parts.items() if asked}
    found: dict[str, Any] = {}
    for name, asked in parts.items():
        refused = sum(is_refusal(given[name][question]) for question, _ in asked)
        n = len(asked)
        found[name] = of(n - refused if name.startswith("leak") else refused, n)
    return {**found, "n_vectors": len(keys.vectors), **crowd.latency(keys, encoder, held)}
