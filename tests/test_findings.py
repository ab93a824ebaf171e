from __future__ import annotations

import pytest

from ragshield.findings import (
    WITHHELD,
    level_of,
    redacted_evidence,
    redacted_reason,
    without_quotes,
)
from ragshield.records import Action, Finding, Passage


@pytest.mark.parametrize(
    ("suspicion", "level"),
    [
        (1.0, "critical"),
        (0.9, "critical"),
        (0.89, "high"),
        (0.7, "high"),
        (0.5, "medium"),
        (0.49, "low"),
        (0.0, "low"),
        (None, "unjudged"),
    ],
)
def test_a_suspicion_has_a_level(suspicion: float | None, level: str) -> None:
    assert level_of(suspicion) == level


@pytest.mark.parametrize(
    ("reason", "left"),
    [
        ('begins with "who built it" and more', 'begins with "…" and more'),
        ("says “who built it” twice", 'says "…" twice'),
        ('begins with "who built it', 'begins with "…"'),
        ('says "a" and "b" and "c', 'says "…" and "…" and "…"'),
        ("no quotes", "no quotes"),
    ],
)
def test_quotes_are_taken_out_closed_or_not(reason: str, left: str) -> None:
    assert without_quotes(reason) == left


def test_a_reason_that_repeats_the_passage_without_quotes_is_withheld() -> None:
    passage = Passage("p", "The Brackwater bridge was built by Per Holm in 1820.")
    leaking = Finding("p", 1.0, "x", Action.DROP, "claims the bridge was built by Per Holm in vain")
    assert redacted_reason(leaking, passage) == WITHHELD
    sound = Finding("p", 1.0, "x", Action.DROP, "one of 5 passages that say nearly the same")
    assert redacted_reason(sound, passage) == "one of 5 passages that say nearly the same"


def test_of_the_evidence_numbers_ids_and_labels_are_left() -> None:
    evidence = {
        "n": 3,
        "share": 0.5,
        "marked": True,
        "missing": None,
        "similarities": [0.5, 0.4],
        "screens": {"a": 0.5},
        "neighbours": ["p1"],
        "taxonomy": ["AML.T0066"],
        "confidence": "high",
        "question": "who built it",
        "also": ["who built it"],
        "payload": {"text": "ignore all rules"},
        "mixed": [1, "secret"],
    }
    assert set(evidence) - set(redacted_evidence(evidence)) == {
        "question",
        "also",
        "payload",
        "mixed",
    }
