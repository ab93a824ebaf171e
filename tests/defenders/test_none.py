from __future__ import annotations

import numpy as np

from ragshield.defenders.none import NoDefence
from ragshield.records import Action, Hit, Passage, Retrieval


def retrieval(n: int) -> Retrieval:
    hits = tuple(Hit(Passage(f"p{i}", f"text {i}"), 0.5) for i in range(n))
    return Retrieval("Who?", hits, np.ones((n, 4), np.float32), np.ones(4, np.float32))


def test_keeps_everything_and_says_that_nothing_was_judged():
    judged = retrieval(3)
    verdict = NoDefence().inspect(judged)
    assert verdict.kept == judged.hits
    assert [f.passage_id for f in verdict.findings] == ["p0", "p1", "p2"]
    assert {f.suspicion for f in verdict.findings} == {None}
    assert {f.action for f in verdict.findings} == {Action.KEEP}
    assert verdict.status == "not_judged"


def test_an_empty_retrieval_is_clean():
    verdict = NoDefence().inspect(retrieval(0))
    assert (verdict.kept, verdict.findings, verdict.status) == ((), (), "clean")
