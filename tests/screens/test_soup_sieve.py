"""The sieve lets every run through that is looked for, and little else."""

from __future__ import annotations

import random

import pytest

from ragshield.screens.soup_sieve import Gains, runs_of
from ragshield.screens.token_soup import MIN_SHOWN, _may, _suspicion, may_be_soup, worst_run

GAINS = Gains(word=10, capital=3, letter=-5, function_word=-30, mark=-20)
THE = frozenset({"the", "of", "is"})


@pytest.mark.parametrize(
    ("text", "gained"),
    [
        ("mill river stone", 30),
        ("mill Monk stone", 23),
        ("mill a stone", 15),
        ("mill the stone", 10),
        ("mill of THE stone river", 20),
        ("mill, stone river", 20),
        ("mill stone river, stone", 30),
        ("x86 mill 1432 stone\nriver", 30),
        ("don't mill", 20),
        ("nevertheless mill", 20),
        ("", 0),
    ],
)
def test_what_a_run_gains_at_most(text: str, gained: int) -> None:
    assert [least for least in range(1, 60) if runs_of([text], THE, GAINS, least)[0]] == list(
        range(1, gained + 1)
    )


def test_texts_do_not_run_into_one_another() -> None:
    texts = ["mill river", "stone", "", "mill river stone", "the"]
    assert runs_of(texts, THE, GAINS, 30) == [False, False, False, True, False]
    assert runs_of([], THE, GAINS, 30) == []


def test_no_text_is_left_out_in_which_a_run_is_found() -> None:
    rng = random.Random(3)
    pieces = [
        *"granite ledger willow falcon thistle orchard meadow cobalt lantern quartz".split(),
        *"the of is and Otto A x 1432 don't 'tis o'clock , . ; _ - \n x86 ' über ##ing".split(),
    ]
    texts = ["", " ", "'"]
    for _ in range(4000):
        joint = rng.choice([" ", " ", "  ", ""])
        texts.append(joint.join(rng.choices(pieces, k=rng.randrange(1, 25))))
    possible = _may(texts)
    found = [_suspicion(worst_run(text)) >= MIN_SHOWN for text in texts]
    assert sum(found) > 50
    assert not any(f and not may for f, may in zip(found, possible, strict=True))
    # It asks for more than the exact bound only in what it does not know: rarely.
    assert sum(possible) < 1.5 * sum(map(may_be_soup, texts))
