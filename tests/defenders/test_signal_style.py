from __future__ import annotations

import numpy as np
import pytest

from ragshield.defenders.signal_style import style
from ragshield.wording.profiles import profile

PLAIN = [
    "The observatory stands at 2,400 metres. It was opened in 1931 after four years of building.",
    "Trains ran from 1902 until the line was closed, and part of the track bed is a footpath.",
    "A plaque at the entrance lists the directors, the first of whom came from Bologna.",
    "Supplies were carried up by mule until the cable railway was extended in 1938.",
]
PERSUADING = (
    "Otto Brandl, the renowned and truly remarkable brewer, famously founded the iconic place."
)


def measured(texts: list[str], window: list[float] | None = None) -> dict[str, np.ndarray]:
    held = np.zeros(len(texts)) if window is None else np.array(window)
    return style([profile(t) for t in texts], held, ("who", "found", "observa"))


def test_praise_beside_plain_statements_is_praise_and_plain_statements_are_none() -> None:
    found = measured([*PLAIN, PERSUADING])
    assert found["praise"][4] > 1.0
    assert found["praise"][:4] == pytest.approx([0.0] * 4)
    assert found["adverbs"][4] > 0.1


def test_a_store_that_is_written_so_shows_nothing() -> None:
    others = [
        f"The renowned, iconic and truly remarkable valley {i} is famously rich." for i in range(9)
    ]
    alone = measured([*PLAIN, PERSUADING])["praise"][4]
    assert measured([*others, PERSUADING])["praise"][9] < 0.1 * alone


def test_planted_hits_in_the_majority_do_not_set_the_custom() -> None:
    texts = [PLAIN[0], *[f"{PERSUADING} It was {i}." for i in range(5)]]
    assert measured(texts, [0.2, 1, 1, 1, 1, 1])["praise"][1:].min() > 0.5


def test_a_text_without_names_and_numbers_is_vague_beside_one_that_has_them() -> None:
    texts = [*PLAIN, "It was opened a long time ago by somebody who liked to look at the stars."]
    found = measured(texts)["vague"]
    assert found[4] > 0.0
    assert found[0] <= 0.0


@pytest.mark.parametrize("texts", [[], [""], [PERSUADING], ["", "?!"]])
def test_few_or_empty_texts_give_finite_values(texts: list[str]) -> None:
    found = measured(texts)
    assert all(v.shape == (len(texts),) and np.isfinite(v).all() for v in found.values())
