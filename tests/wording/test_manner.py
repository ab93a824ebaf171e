"""How a text is written, and that it does not matter what it says."""

from __future__ import annotations

import numpy as np
import pytest

from ragshield.wording.manner import N_MEASURES, apart, manners

PLAIN = "The mill on the river was built by a monk, and it still stands."
SAME_MANNER = "The bell in the tower was cast by a smith, and it still rings."
SOUP = "mill river monk stands ##ing built tower granite ledger willow"
SHOUTED = '## **THE MILL** | **BUILT** | "1432"'


def test_measures_are_those_of_the_text() -> None:
    (found,) = manners(["The mill, it stands."])
    assert found == pytest.approx([np.log(5), 0.5, 0.5, 0.0, 0.25, 3.75, 0.0])


def test_a_text_without_words_has_measures() -> None:
    assert manners(["", "..."])[:, 0].tolist() == [0.0, 0.0]
    assert np.isfinite(manners([""])).all()
    assert manners([]).shape == (0, N_MEASURES)


def test_a_text_is_nearer_to_one_of_its_manner_than_to_others() -> None:
    every = manners([PLAIN, SAME_MANNER, SOUP, SHOUTED])
    distance = apart(every, every[:1], every.std(axis=0))
    assert distance[0] == 0
    assert distance[1] < 0.1 < 0.8 < min(distance[2:])


def test_the_nearest_of_several_counts() -> None:
    every = manners([PLAIN, SAME_MANNER, SOUP])
    assert apart(every, every[[0, 2]], every.std(axis=0))[2] == 0


def test_what_all_texts_share_is_no_difference_until_one_lacks_it() -> None:
    every = manners([PLAIN, SAME_MANNER])
    spread = np.zeros(N_MEASURES)
    assert apart(every[:1], every[:1], spread).tolist() == [0.0]
    assert 0 < apart(every[1:], every[:1], spread)[0] <= 4
