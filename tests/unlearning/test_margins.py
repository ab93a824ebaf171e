from __future__ import annotations

import numpy as np
import pytest

from ragshield.forget_set import ForgetTarget
from ragshield.protocols import Encoder
from ragshield.unlearning.building import build_keys
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.margins import Margins, _Rows


def test_the_margin_is_the_lead_over_what_must_stay_known(encoder: Encoder) -> None:
    keys = build_keys([ForgetTarget("Zorb", neighbours=("Zarb",))], encoder)
    near, far = Margins(keys).of(encoder.encode(["Tell me about Zorb.", "Tell me about Zarb."]))
    assert (near.owner, near.similarity) == (0, pytest.approx(1.0, abs=1e-5))
    assert near.margin > 0.1
    assert far.margin < -0.1


def test_a_target_that_is_free_does_not_count(keys: ForgetKeys, encoder: Encoder) -> None:
    vector = encoder.encode(["Who is Ada Lindqvist?"])
    (bound,) = Margins(keys).of(vector)
    (free,) = Margins(keys).of(vector, frozenset({0}))
    assert bound.owner == 0
    assert free.owner != 0
    (none,) = Margins(keys).of(vector, frozenset(range(5)))
    assert (none.owner, none.margin) == (-1, -2.0)


def test_of_many_rows_the_nearest_is_found_as_of_few() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((7_000, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    asked = rows[:200] + 0.05 * rng.standard_normal((200, 384)).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    many = _Rows(rows)
    assert [many.nearest(vector)[0] for vector in asked] == list(range(200))
    out = np.zeros(7_000, dtype=bool)
    out[:200] = True
    # Where nothing is near at all, as here, another may be given, hardly farther away.
    nearest = (rows @ asked.T)[200:].max(axis=0)
    found = [many.nearest(vector, out) for vector in asked]
    assert min(row for row, _ in found) >= 200
    assert np.max(nearest - [cosine for _, cosine in found]) < 0.06
