from __future__ import annotations

import numpy as np
import pytest

from ragshield.screens.tails import expected_beyond, robust_z, suspicion_from


def test_an_exponential_tail_is_told_from_its_quantiles() -> None:
    values = np.random.default_rng(3).exponential(2.0, 20_000)
    asked = np.append(values, [2 * np.log(20_000), 2 * np.log(20_000 * 1000)])
    expected = expected_beyond(asked, least_scale=0.01)
    assert expected[-2] == pytest.approx(1, rel=0.5)
    assert expected[-1] == pytest.approx(0.001, rel=0.8)
    assert np.isinf(expected[values.argmin()])


def test_suspicion_is_even_where_one_store_in_twenty_has_such_a_value() -> None:
    found = suspicion_from(np.array([0.05, 0.005, 5.0, np.inf, 1e-300]))
    assert found == pytest.approx([0.5, 0.65, 0.2, 0.0, 0.98])


def test_values_that_are_all_alike_are_no_tail() -> None:
    assert np.isinf(expected_beyond(np.full(500, 3), least_scale=0.5)).all()
    assert (robust_z(np.full(5, 2)) == 0).all()
