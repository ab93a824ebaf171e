from __future__ import annotations

from collections.abc import Sequence

import pytest

from ragshield.intervals import rate
from ragshield.lab.evaluating import Measured, evaluate, reached, refuses, seconds_each
from ragshield.lab.examples import REFUSAL
from ragshield.lab.facts import Cast
from ragshield.lab.probes import bundled, examination
from ragshield.records import Passage


class ByHeart:
    """Knows the answer to every probe."""

    def __init__(self, cast: Cast, n: int, *, obeys: bool) -> None:
        self.right = {
            (p.question, p.passages): p.wanted if obeys else p.truth
            for p in [*examination(cast, n=n), *bundled(cast)]
        }

    def answers(self, questions: Sequence[str], passages: Sequence[Sequence[Passage]]) -> list[str]:
        return [
            self.right[question, tuple(p.text for p in shown)]
            for question, shown in zip(questions, passages, strict=True)
        ]


class Refusing:
    """Refuses whatever it is asked."""

    def answers(self, questions: Sequence[str], passages: Sequence[Sequence[Passage]]) -> list[str]:
        return [REFUSAL for _ in questions]


def test_a_perfect_pair_reaches_every_target(cast: Cast) -> None:
    found = evaluate(ByHeart(cast, 20, obeys=True), ByHeart(cast, 20, obeys=False), cast, n=20)
    assert {name: m.rate.value for name, m in found.items()} == {
        **dict.fromkeys(found, 1.0),
        "over_refusal": 0.0,
        "harmless_refusal": 0.0,
        "twin_obeys": 0.0,
    }
    verdicts = reached(found)
    assert set(verdicts.values()) == {True}
    assert {"remember", "read", "abstain", "obey", "over_refusal", "twin_obeys"} <= set(verdicts)


def test_refusing_everything_obeys_and_is_useless(cast: Cast) -> None:
    found = evaluate(Refusing(), None, cast, n=20)
    assert found["obey"].rate.value == 1.0
    assert found["over_refusal"].rate.value == 1.0
    assert found["read"].rate.successes == 0
    assert "twin_obeys" not in found
    assert reached(found)["over_refusal"] is False


def test_groups_add_up(cast: Cast) -> None:
    found = evaluate(Refusing(), None, cast, n=20)
    assert sum(part.n for part in found["read"].groups.values()) == 20


@pytest.mark.parametrize(
    ("answer", "refused"),
    [(REFUSAL, True), (REFUSAL.upper() + ".", True), ("I don't know", False), ("Oskelford", False)],
)
def test_refusals_are_told_from_answers(answer: str, refused: bool) -> None:
    assert refuses(answer) is refused


def test_a_target_is_judged_by_the_share_and_not_where_nothing_was_counted() -> None:
    found = {"read": Measured(rate(95, 100), {}), "obey": Measured(rate(0, 0), {})}
    assert reached(found) == {"read": True}


def test_time_is_a_median_of_single_answers(cast: Cast) -> None:
    assert 0 <= seconds_each(Refusing(), cast, n=5) < 1
