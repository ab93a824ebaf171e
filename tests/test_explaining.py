from __future__ import annotations

import pytest

from ragshield.explaining import explain
from ragshield.records import Action, Finding, Hit, Passage, Verdict


def finding(name: str, action: Action = Action.KEEP, suspicion: float | None = 0.1, **evidence):
    reason = "dropped: it quotes the question; it is short." if action is Action.DROP else "kept"
    if suspicion is None:
        reason = "the vectors are broken"
    return Finding(name, suspicion, "fused", action, reason, evidence=evidence)


def verdict(*findings: Finding, status: str = "filtered", detector: str = "fused") -> Verdict:
    kept = tuple(
        Hit(Passage(f.passage_id, "text"), 0.5) for f in findings if f.action is Action.KEEP
    )
    return Verdict(kept, findings, status, detector)  # type: ignore[arg-type]


def test_a_removed_passage_is_told_with_reason_odds_and_conflicts() -> None:
    said = explain(
        verdict(
            finding("a", p_value=0.3, budget=0.01, n_calibration=300),
            finding(
                "b",
                Action.DROP,
                0.9,
                p_value=0.004,
                budget=0.01,
                n_calibration=300,
                conflicts_with=("a", "c"),
            ),
        )
    )
    assert said.splitlines() == [
        "fused judged 2 passages, removed 1 and kept 1.",
        "Passage 'b' was removed because it quotes the question; it is short. About one honest "
        "passage in 250 looks as suspicious (p = 0.004). It conflicts with 'a' and 'c'.",
        "The threshold was calibrated to remove at most 0.01 of the honest passages.",
    ]


def test_without_calibration_the_suspicion_and_the_default_are_told() -> None:
    said = explain(
        verdict(
            finding("a", calibrated=False),
            finding("b", Action.DROP, 0.9, threshold=0.5, calibrated=False),
        )
    )
    assert "Its suspicion is 0.90 of 1, where 0.50 is enough for removal." in said
    assert "The threshold is the uncalibrated default" in said
    assert "p =" not in said


def test_the_smallest_p_value_there_is_is_no_odds() -> None:
    said = explain(verdict(finding("b", Action.DROP, 0.9, p_value=1 / 301, n_calibration=300)))
    assert "No honest passage looked so suspicious in 300 calibration questions" in said
    assert "nothing is left to read" in said


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (verdict(status="clean"), "Nothing was retrieved, so fused had nothing to judge."),
        (verdict(finding("a"), status="clean"), "kept it.\nThe most suspicious is 'a' at 0.10"),
        (
            verdict(
                finding("a"),
                finding("b", Action.DROP, 0.9),
                finding("c", Action.DROP, 0.8),
                status="majority_assumption_violated",
            ),
            "honest ones may be the minority: do not trust what was kept",
        ),
        (
            verdict(finding("a", suspicion=None), status="not_judged"),
            "1 passage could not be judged (the vectors are broken), which is not the same",
        ),
        (
            verdict(finding("a", drift="it moved"), status="clean"),
            "may not hold any more: it moved",
        ),
    ],
)
def test_every_status_is_told_in_words(given: Verdict, expected: str) -> None:
    assert expected in explain(given)


def test_many_removed_passages_are_counted_and_the_worst_come_first() -> None:
    dropped = [finding(f"p{i}", Action.DROP, 0.5 + i / 100) for i in range(14)]
    lines = explain(verdict(*dropped)).splitlines()
    assert lines[1].startswith("Passage 'p13'")
    assert lines[11] == "4 more were removed for like reasons."


def test_an_id_cannot_drive_the_terminal_or_fill_the_page() -> None:
    said = explain(verdict(finding("\x1b[31m\nfake line" + "x" * 500, Action.DROP, 0.9)))
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) < 250
    assert said.count("\n") == 1
