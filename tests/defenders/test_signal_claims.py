from __future__ import annotations

import numpy as np
import pytest

from ragshield.defenders.signal_claims import at_odds, beside, claim
from ragshield.records import Hit, Passage, Retrieval

QUESTION = "Who founded the observatory on Mount Kessel?"
VARGA = "The dome is white. The observatory on Mount Kessel was founded by Ilse Varga."
BRANDL = "It is known that Otto Brandl founded the observatory on Mount Kessel."
OTHER = "The railway in the Orra valley was built by Pius Lang to carry slate."


def odds(one: str, other: str, question: str = QUESTION) -> float:
    return at_odds(claim(question, one), claim(question, other))


def test_the_claim_is_read_from_the_sentence_on_the_question() -> None:
    found = claim(QUESTION, VARGA)
    assert found.names == {"ils", "varga"}
    assert len(found.frame) == 4
    assert (found.numbers, found.negated) == (frozenset(), False)


@pytest.mark.parametrize(
    ("one", "other", "question"),
    [
        (VARGA, BRANDL, QUESTION),
        (
            "The observatory on Mount Kessel opened in 1931.",
            "The observatory on Mount Kessel opened in 1952.",
            "When was the observatory on Mount Kessel opened?",
        ),
        (
            "Fosamax is a bisphosphonate drug.",
            "Fosamax is not a bisphosphonate drug.",
            "is fosamax a bisphosphonate",
        ),
    ],
)
def test_another_name_number_or_a_negation_is_a_conflict(one, other, question) -> None:
    assert odds(one, other, question) > 0.3
    assert odds(one, other, question) == odds(other, one, question)


@pytest.mark.parametrize("other", [OTHER, VARGA, "", "Ilse Varga founded it, on Mount Kessel."])
def test_other_topics_the_same_claim_and_no_claim_are_none(other: str) -> None:
    assert odds(VARGA, other) == 0.0


def test_ids_come_most_at_odds_first_and_agreeing_hits_apart() -> None:
    texts = [VARGA, BRANDL, BRANDL.replace("It is known", "All agree"), OTHER]
    hits = tuple(Hit(Passage(f"p{i}", t), 0.5) for i, t in enumerate(texts))
    rows = np.eye(4, dtype=np.float32)
    pairs = np.full((4, 4), 0.1)
    np.fill_diagonal(pairs, -1.0)
    pairs[1, 2] = pairs[2, 1] = 0.95
    found = beside(Retrieval(QUESTION, hits, rows, rows[0]), pairs, [1])
    assert found == {1: {"conflicts_with": ["p0"], "agrees_with": ["p2"]}}


def test_at_most_five_ids_are_named() -> None:
    texts = [BRANDL, *[VARGA.replace("Ilse", f"Ann{i}") for i in range(8)]]
    hits = tuple(Hit(Passage(f"p{i}", t), 0.5) for i, t in enumerate(texts))
    rows = np.eye(9, dtype=np.float32)
    found = beside(Retrieval(QUESTION, hits, rows, rows[0]), np.zeros((9, 9)) - 1.0, [0])
    assert found[0]["conflicts_with"] == ["p1", "p2", "p3", "p4", "p5"]
