from __future__ import annotations

import math

import pytest

from ragshield.errors import UsageError
from ragshield.oracle.lists import Ranked, exact, searched
from ragshield.oracle.measures import (
    beginnings,
    forget_quality,
    privacy_leak,
    recovery,
    regurgitation,
    truth_on_forgotten,
    truth_on_retained,
    truth_ratio,
)
from ragshield.records import Batch, Passage, Question
from ragshield.stores.memory import MutableMemoryStore


def test_the_truth_ratio_is_wrong_over_right() -> None:
    assert truth_ratio(1.0, [0.0, 0.5]) == pytest.approx(0.625)
    assert truth_ratio(-1.0, [0.0]) == math.inf
    with pytest.raises(UsageError, match="at least one wrong answer"):
        truth_ratio(1.0, [])
    assert truth_on_forgotten([0.5, 2.0, 1.0]) == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert truth_on_retained([0.5, 2.0, 1.0]) == pytest.approx(0.5 / 3)


def test_forget_quality_is_low_while_the_store_still_backs_the_truth() -> None:
    oracle = [1.0 + 0.01 * i for i in range(20)]
    assert forget_quality(oracle, oracle) == 1.0
    assert forget_quality([0.6 + 0.01 * i for i in range(20)], oracle) < 0.001


def passages() -> list[Passage]:
    return [
        Passage(str(i), f"The keeper number {i} of the light at Tannow was paid in herring and "
                f"salt by the harbour master of the {i}th district until the winter of 18{i:02}.")
        for i in range(9)
    ]  # fmt: skip


def test_regurgitation_falls_when_passages_are_gone(word_encoder) -> None:
    texts = [p.text for p in passages()]
    whole = Batch(tuple(passages()), word_encoder.encode(texts))
    rows = word_encoder.encode(beginnings(passages()[:3]))
    before = regurgitation(passages()[:3], exact([whole], rows, 1))
    assert before is not None
    assert before > 0.9
    other = Batch((Passage("x", "Nothing of the kind."),), word_encoder.encode(["Nothing."]))
    after = regurgitation(passages()[:3], exact([other], rows, 1))
    assert after is not None
    assert after < 0.2
    assert regurgitation([Passage("s", "short")], [Ranked(("a",), (1.0,), ("short",))]) is None


def test_privacy_leak_is_zero_for_what_looks_as_if_it_never_was(word_encoder) -> None:
    batch = Batch(tuple(passages()), word_encoder.encode([p.text for p in passages()]))
    never = word_encoder.encode([f"An unheard of text number {i} on quarks" for i in range(9)])
    store = MutableMemoryStore("memory:", batch)
    held = [r.best for r in searched(store, batch.vectors[:4], 1)]
    oracle = [r.best for r in exact([batch], batch.vectors[:4], 1, never={"0", "1", "2", "3"})]
    others = [r.best for r in searched(store, batch.vectors[4:], 2)]
    assert privacy_leak(oracle, oracle, others) == 0
    assert privacy_leak(held, oracle, [0.99] * 4) > 0
    assert len(never) == 9


def test_recovery_tells_right_answers_from_silence() -> None:
    asked = [Question(str(i), f"q{i}", (f"right{i}",)) for i in range(4)]
    good = {q.text: q.answers[0] for q in asked}
    bad = {**good, "q0": "wrong", "q1": "wrong"}
    silent = {**good, "q0": "I don't know", "q1": "right1"}
    found = recovery(asked, good.__getitem__, bad.__getitem__, silent.__getitem__)
    assert (found.clean.successes, found.corrupted.successes, found.cleaned.successes) == (4, 2, 3)
    assert (found.restored.successes, found.restored.n) == (1, 2)
    assert found.recovered == 0.5
    assert recovery(asked, *[good.__getitem__] * 3).recovered is None
