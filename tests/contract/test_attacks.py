"""What every registered attack must do."""

from __future__ import annotations

import numpy as np
import pytest

from ragshield import registry
from ragshield.errors import RagshieldError
from ragshield.records import Question, Spec, Target

ATTACKS = registry.names("attack")
TARGET = Target(Question("q1", "Who founded Brackwater Mills?", ("Ida Holm",)), "Per Lund")


def attack(name: str):
    return registry.build(Spec("attack", name))


@pytest.mark.parametrize("name", ATTACKS)
def test_the_same_seed_gives_the_same_passages_and_another_seed_the_same_ids(name: str) -> None:
    first = attack(name).craft(TARGET, rng=np.random.default_rng(5))
    assert first == attack(name).craft(TARGET, rng=np.random.default_rng(5))
    other = attack(name).craft(TARGET, rng=np.random.default_rng(6))
    assert [p.id for p in other] == [p.id for p in first]


@pytest.mark.parametrize("name", ATTACKS)
def test_passages_are_distinct_named_and_marked_as_planted(name: str) -> None:
    passages = attack(name).craft(TARGET, rng=np.random.default_rng(0))
    assert passages
    assert len({p.id for p in passages}) == len({p.text for p in passages}) == len(passages)
    for passage in passages:
        assert passage.id.startswith(f"{name}/")
        assert passage.meta["attack"] == name
        assert passage.meta["target_id"] == "q1"


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(
    "target",
    [
        Target(Question("q", "x" * 10_000 + "?", ("a",)), "b"),
        Target(Question("q", "谁建立了这座城市?", ("李",)), "王"),
        Target(Question("q", "Is Elm in Ash?", ("no",)), "Ash"),
        Target(Question("q", "Who?", ("Ida Holm",)), "Ida Holm"),
        Target(Question("q", "", ("a",)), "b"),
        Target(Question("q", "Who?", ("a",)), ""),
    ],
    ids=["long", "script", "answer-in-question", "right-answer", "empty-question", "empty-answer"],
)
def test_an_odd_target_gives_passages_or_one_clear_line(name: str, target: Target) -> None:
    message = ""
    passages = []
    try:
        passages = attack(name).craft(target, rng=np.random.default_rng(0))
    except RagshieldError as error:
        message = str(error)
    assert bool(passages) != bool(message)
    assert "\n" not in message
    assert all(p.text.strip() for p in passages)
