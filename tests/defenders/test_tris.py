"""TRIS: the question's echo, and a judge encoder's majority."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ragshield import registry
from ragshield.defenders.tris import TRIS, query_overlap
from ragshield.errors import UsageError
from ragshield.records import Hit, Passage, Retrieval, Spec, Verdict

QUESTION = "Who was the first mayor of Orla?"
GOLDEN = "Orla elected Ann Roe, its first mayor, in 1901, after the river flooded the town twice."


class ListedEncoder:
    """Gives each text the vector it was listed with."""

    name = "listed"
    dim = 2

    def __init__(self, vectors: dict[str, tuple[float, float]]) -> None:
        self.vectors = vectors

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([self.vectors[text] for text in texts], dtype=np.float32)


def retrieval(texts: Sequence[str], question: str = QUESTION) -> Retrieval:
    vectors = np.ones((len(texts), 4), dtype=np.float32)
    hits = tuple(Hit(Passage(f"p{i}", text), 0.5) for i, text in enumerate(texts))
    return Retrieval(question, hits, vectors, np.ones(4, dtype=np.float32))


def dropped(verdict: Verdict) -> set[str]:
    return {finding.passage_id for finding in verdict.dropped}


def test_drops_the_passage_that_begins_with_the_question_and_keeps_the_rest() -> None:
    verdict = TRIS().inspect(retrieval([f"{QUESTION}.It was Ben Poe, who was born here.", GOLDEN]))
    assert (dropped(verdict), verdict.status) == ({"p0"}, "filtered")
    assert verdict.findings[0].suspicion == 1.0
    assert "overlap with the question by 1.00" in verdict.findings[0].reason


def test_an_echo_after_the_first_twenty_words_is_not_seen() -> None:
    late = " ".join(["filler"] * 20) + " " + QUESTION
    verdict = TRIS().inspect(retrieval([late, GOLDEN]))
    assert (dropped(verdict), verdict.status) == (set(), "clean")
    assert dropped(TRIS(n_tokens=27).inspect(retrieval([late, GOLDEN]))) == {"p0"}


def test_case_and_punctuation_do_not_hide_the_echo() -> None:
    verdict = TRIS().inspect(retrieval(["WHO was, the FIRST mayor: of Orla! Ben Poe.", GOLDEN]))
    assert dropped(verdict) == {"p0"}


def test_a_question_longer_than_the_window_can_still_be_echoed() -> None:
    question = " ".join(f"word{i}" for i in range(40)) + "?"
    assert dropped(TRIS().inspect(retrieval([f"{question}.Yes.", GOLDEN], question))) == {"p0"}


def test_the_overlap_is_the_larger_of_words_and_pairs() -> None:
    asked = "a b c d e".split()
    assert query_overlap(asked, "a b c d e f g h i j".split()) == 1.0  # Jaccard is .5
    assert query_overlap(asked, "e d c b a".split()) == 1.0  # no pair stands there
    assert query_overlap(asked, "a b x c d".split()) == pytest.approx(4 / 6)  # pairs: 2 of 4
    assert query_overlap(["one"], ["the", "one"]) == 1.0
    assert query_overlap(asked, []) == query_overlap([], asked) == 0.0


def test_all_hits_echoing_is_said_and_not_restored() -> None:
    verdict = TRIS().inspect(retrieval([QUESTION, QUESTION + " Yes."]))
    assert (verdict.kept, verdict.status) == ((), "majority_assumption_violated")


def test_a_question_without_words_is_not_judged() -> None:
    verdict = TRIS().inspect(retrieval([GOLDEN], "???"))
    assert verdict.status == "not_judged"
    assert verdict.findings[0].suspicion is None


def test_the_judge_drops_the_smaller_of_its_two_clusters() -> None:
    places = {"a": (1, 0), "b": (1, 0.1), "c": (1, -0.1), "x": (0, 1), "y": (0.1, 1)}
    verdict = TRIS("cluster", ListedEncoder(places)).inspect(retrieval(list(places)))
    assert (dropped(verdict), verdict.status) == ({"p3", "p4"}, "filtered")
    assert [f.suspicion for f in verdict.findings] == pytest.approx([0.4, 0.4, 0.4, 0.6, 0.6])


def test_two_equal_clusters_have_no_majority_and_both_are_kept() -> None:
    places = {"a": (1, 0), "b": (1, 0.1), "x": (0, 1), "y": (0.1, 1)}
    verdict = TRIS("cluster", ListedEncoder(places)).inspect(retrieval(list(places)))
    assert (dropped(verdict), verdict.status) == (set(), "majority_assumption_violated")


def test_one_hit_is_not_judged_by_clusters_but_is_by_echo() -> None:
    judge = ListedEncoder({QUESTION: (1, 0)})
    assert TRIS("cluster", judge).inspect(retrieval([QUESTION])).status == "not_judged"
    assert dropped(TRIS("both", judge).inspect(retrieval([QUESTION]))) == {"p0"}


def test_both_layers_drop_what_either_drops() -> None:
    places = {"a": (1, 0), "b": (1, 0.1), "c": (1, -0.1), "x": (0, 1), QUESTION: (1, 0)}
    verdict = TRIS("both", ListedEncoder(places)).inspect(retrieval(list(places)))
    assert dropped(verdict) == {"p3", "p4"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layer": "l2"}, "layer is 'l2'; allowed: query, cluster, both"),
        ({"layer": "cluster"}, "layer 'cluster' needs judge"),
        ({"judge": "minilm"}, "layer 'query' uses no judge"),
        ({"overlap": 0}, "overlap is 0"),
        ({"n_tokens": 0}, "n_tokens is 0"),
        ({"layer": "both", "judge": "no-such-encoder"}, "unknown encoder 'no-such-encoder'"),
    ],
)
def test_refuses_arguments_that_mean_nothing(wrong, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TRIS(**wrong)


def test_the_retrievers_encoder_never_becomes_the_judge_by_itself(word_encoder) -> None:
    guard = registry.build(Spec("defender", "tris"), encoder=word_encoder)
    guard.inspect(retrieval([GOLDEN, QUESTION]))
    assert word_encoder.n_texts == 0
