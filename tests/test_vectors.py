from __future__ import annotations

import numpy as np
import pytest

from ragshield.errors import InputError
from ragshield.vectors import as_vector, as_vectors, cosine_matrix, cosines, nearest, unit_rows


def test_unit_rows_have_length_one_and_zero_rows_stay_zero() -> None:
    rows = unit_rows(np.array([[3, 4], [0, 0]], dtype=np.float32))
    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


def test_cosines_are_one_zero_and_minus_one_for_same_square_and_opposite() -> None:
    rows = np.array([[2, 0], [0, 5], [-1, 0]], dtype=np.float32)
    assert cosines(rows, np.array([7, 0], dtype=np.float32)).tolist() == [1, 0, -1]
    assert cosine_matrix(rows).diagonal().tolist() == [1, 1, 1]


def test_nearest_orders_by_similarity_and_ties_by_position() -> None:
    rows = np.array([[0, 1], [1, 0], [1, 0], [1, 1]], dtype=np.float32)
    assert nearest(rows, np.array([1, 0], dtype=np.float32), 3).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, float("nan")]], "row 0 holds NaN"),
        ([[1.0, 2.0], [float("inf"), 0.0]], "row 1 holds NaN or infinite"),
        ([[1.0, 2.0], [0.0, 0.0]], "row 1 is all zeros"),
        ([1.0, 2.0], "shape"),
        ([["a", "b"]], "cannot be read as numbers"),
    ],
)
def test_vectors_that_have_no_direction_are_refused(values: list[object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_vectors(values)  # type: ignore[arg-type]


def test_wrong_number_of_rows_and_wrong_width_are_refused() -> None:
    with pytest.raises(InputError, match="2 rows for 3 passages"):
        as_vectors(np.ones((2, 4)), rows=3)
    with pytest.raises(InputError, match="4 dimensions, the store has 8"):
        as_vector(np.ones(4), dim=8)
