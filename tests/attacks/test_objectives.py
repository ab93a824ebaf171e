from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.objectives import Apart, Contrast, InfoNCE, Winning
from ragshield.vectors import unit_rows


def unit(seed: int, n: int, dim: int = 6) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return unit_rows(rows)


OBJECTIVES = {
    "mean": Contrast(unit(1, 4)),
    "contrast": Contrast(unit(1, 4), unit(2, 3), weight=0.5),
    "info-nce": InfoNCE(unit(1, 4), unit(2, 3), temperature=0.3),
    "winning": Winning(unit(1, 4), np.array([0.1, 0.3, -0.2, 0.0], np.float32), softness=0.2),
    "apart": Apart(unit(1, 4), compactness=0.7),
}


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_the_slope_is_the_derivative_of_the_value(name) -> None:
    objective, rows, step = OBJECTIVES[name], unit(3, 3).astype(np.float64), 1e-5
    expected = np.zeros_like(rows)
    for place in np.ndindex(*rows.shape):
        move = np.zeros_like(rows)
        move[place] = step
        up, down = objective.values(np.stack([rows + move, rows - move]))
        expected[place] = (up - down) / (2 * step)
    np.testing.assert_allclose(objective.slope(rows), expected, atol=2e-6)


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_candidates_are_valued_one_by_one(name) -> None:
    objective, rows = OBJECTIVES[name], np.stack([unit(3, 3), unit(4, 3)])
    alone = [objective.values(one[None])[0] for one in rows]
    np.testing.assert_allclose(objective.values(rows), alone)


def test_a_mean_cosine_and_a_contrast_are_what_they_say() -> None:
    x, y = np.eye(2, dtype=np.float32)
    here = np.array([[[0.6, 0.8]]], np.float32)
    assert Contrast(x[None]).values(here)[0] == pytest.approx(0.6)
    assert Contrast(x[None], y[None], weight=0.5).values(here)[0] == pytest.approx(0.2)


def test_winning_counts_questions_whose_best_passage_is_beaten() -> None:
    questions = np.eye(2, dtype=np.float32)
    sure = Winning(questions, np.array([0.1, 0.9], np.float32), softness=0.001)
    assert sure.values(np.array([[[0.8, 0.6]]], np.float32))[0] == pytest.approx(0.5)


def test_apart_prefers_hosts_that_are_together_and_far_from_the_centres() -> None:
    x, y, z = np.eye(3, dtype=np.float32)
    objective = Apart(x[None])
    together, spread, at_centre = objective.values(
        np.stack([np.stack([y, y]), np.stack([y, z]), np.stack([x, x])])
    )
    assert together == pytest.approx(2**0.5)
    assert spread == pytest.approx(2**0.5 - 0.5**0.5)
    assert at_centre == pytest.approx(0.0)


def test_info_nce_is_the_log_probability_among_the_negatives() -> None:
    x, y = np.eye(2, dtype=np.float32)
    objective = InfoNCE(x[None], y[None], temperature=1.0)
    assert objective.values(x[None, None])[0] == pytest.approx(-np.log(1 + np.exp(-1.0)))
