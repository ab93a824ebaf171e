"""Judging deeper than the reader reads."""

from __future__ import annotations

import pytest

from ragshield.errors import UsageError
from ragshield.experiment import Experiment
from ragshield.records import Spec


def experiment(**changes):
    return Experiment(
        corpora={"toy": Spec("corpus", "toy", {"towns": 6})},
        attacks={"toy": Spec("attack", "toy", {"n": 3})},
        defenders={"echo": Spec("defender", "toy-echo")},
        k=2,
        planted="own",
        encoder="toy",
        **changes,
    )


class LastRead:
    """A reader that answers with the ids it was given."""

    name = "ids"

    def answer(self, question, passages):
        return " ".join(p.id for p in passages)


def test_what_is_dropped_is_replaced_from_deeper_down_and_k_are_read():
    def read(depth):
        trials = experiment(depth=depth).run(reader=LastRead())
        return {(t.attack, t.defender, t.question_id): t for t in trials}

    shallow, deep = read(None), read(8)
    key = ("toy", "echo", "q-Town1")
    assert shallow[key].answer == ""
    assert deep[key].answer.split()[0] == "Town1-mayor"
    assert len(deep[key].answer.split()) == 2
    assert (shallow[key].retrieved_poison, deep[key].retrieved_poison) == (2, 3)
    undefended = ("toy", "none", "q-Town1")
    assert shallow[undefended].answer == deep[undefended].answer


def test_a_depth_below_k_is_refused():
    with pytest.raises(UsageError, match="depth is 1; it must be at least k, which is 2"):
        experiment(depth=1)
