from __future__ import annotations

import numpy as np

from ragshield.attacks.pareto import crowding, fronts, ranked

COSTS = np.array([[1.0, 4.0], [2.0, 2.0], [4.0, 1.0], [3.0, 3.0], [5.0, 5.0], [2.1, 1.9]])


def test_a_front_is_what_nothing_left_beats_in_both() -> None:
    assert fronts(COSTS) == [[0, 1, 2, 5], [3], [4]]
    assert fronts(np.empty((0, 2))) == []


def test_equal_rows_share_a_front() -> None:
    assert fronts(np.array([[1.0, 1.0], [1.0, 1.0]])) == [[0, 1]]


def test_the_ends_of_a_front_have_most_room_and_the_crowded_least() -> None:
    room = crowding(COSTS[[0, 1, 2, 5]])
    assert np.isinf(room[[0, 2]]).all()
    assert room[1] == (2.1 - 1.0) / 3 + (4.0 - 1.9) / 3
    assert room[3] == (4.0 - 2.0) / 3 + (2.0 - 1.0) / 3


def test_all_are_ranked_by_front_then_by_room() -> None:
    assert ranked(COSTS) == [0, 2, 1, 5, 3, 4]
