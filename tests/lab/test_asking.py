"""How a question is worded in training."""

import re

import numpy as np

from ragshield.corpora.world_facts import Draw
from ragshield.lab import asking
from ragshield.lab.asking import filler_words
from ragshield.lab.facts import lab_lists


def test_words_beside_a_question_are_not_those_kept_for_measuring() -> None:
    kept = " ".join(lab_lists("questions")["frames"]["held_out"]).lower()
    filler = filler_words()
    assert len(filler) > 500
    assert not set(filler) & set(re.findall(r"[a-z]+", kept))


def test_words_beside_a_question_leave_it_whole() -> None:
    draw = Draw(np.random.default_rng(4))
    made = [asking._among_others(draw, "Who runs Quillow?") for _ in range(40)]
    assert all("Who runs Quillow?" in text for text in made)
    assert len(set(made)) > 30
