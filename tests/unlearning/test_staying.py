"""Texts that stay: the same keys whether they were read at once or before."""

from __future__ import annotations

import pytest

from ragshield.forget_set import Fact, ForgetTarget
from ragshield.protocols import Encoder
from ragshield.unlearning.building import build_keys
from ragshield.unlearning.staying import StayingTexts, as_staying, names_of

TEXTS = (
    "Tobias Harlow is a baker, said Harlow.",
    "The Lantern School of Umberhaven gave Oda Brisk a prize.",
    "Nothing of the kind.",
    "A lantern hung at the school.",
)


def test_finds_the_texts_that_may_hold_a_run_by_its_rarest_word() -> None:
    texts = StayingTexts(TEXTS)
    assert texts.with_any([("lantern", "school")]) == [1, 3]
    assert texts.with_any([("school", "of", "umberhaven")]) == [1]
    assert texts.with_any([("school", "unheard")]) == []
    assert texts.with_any([("kind",), ("baker",)]) == [0, 2]
    assert texts.with_any([()]) == []
    assert as_staying(texts) is texts


def test_knows_names_and_what_is_no_name() -> None:
    texts = StayingTexts(TEXTS)
    assert ("tobias", "harlow") in texts.names
    assert ("oda", "brisk") in texts.names
    assert {"baker", "school"} <= texts.small
    assert "harlow" not in texts.small
    assert [*names_of("When Ada van Ek met Bo Alm & Berg, Ek left.")] == [
        ("when", "ada"),
        ("ada", "van", "ek"),
        ("bo", "alm"),
        ("alm", "berg"),
    ]


@pytest.mark.parametrize("kind", ["concept", "sample"])
def test_texts_read_before_give_the_same_keys(encoder: Encoder, kind: str) -> None:
    concept = ForgetTarget("Valentin Harlow", facts=(Fact("school", "The Lantern School"),))
    sample = ForgetTarget(
        "record",
        kind="sample",
        samples=("Oda Brisk of the Lantern School of Umberhaven gave a prize.",),
        facts=(Fact("Which school?", "The Lantern School"),),
    )
    target = concept if kind == "concept" else sample
    first = build_keys([target], encoder, secret=bytes(32), benign=TEXTS)
    again = build_keys([target], encoder, secret=bytes(32), benign=StayingTexts(TEXTS))
    without = build_keys([target], encoder, secret=bytes(32))
    assert first.marks.rows() == again.marks.rows()
    assert first.marks.rows() != without.marks.rows()
