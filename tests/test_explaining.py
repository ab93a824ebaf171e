from __future__ import annotations

import pytest

from ragshield.records import Action, Finding, Hit, Passage, Verdict

BECAUSE = "dropped: it quotes the question; its words are few."


def finding(
    name: str,
    action: Action = Action.KEEP,
    suspicion: float | None = 0.1,
    reason: str = BECAUSE,
    detector: str = "fused",
    **evidence: object,
) -> Finding:
    return Finding(name, suspicion, detector, action, reason, evidence=evidence)


def dropped(name: str, suspicion: float = 0.9, reason: str = BECAUSE, **more: object) -> Finding:
    return finding(name, Action.DROP, suspicion, reason, **more)  # type: ignore[arg-type]


def verdict(
    *findings: Finding,
    status: str = "filtered",
    detector: str = "fused",
    deeper_from: int | None = None,
) -> Verdict:
    kept = tuple(
        Hit(Passage(f.passage_id, "text"), 0.5) for f in findings if f.action is Action.KEEP
    )
    if status == "abstained":
        kept = ()
    return Verdict(kept, findings, status, detector, deeper_from)  # type: ignore[arg-type]


def test_a_removed_passage_is_told_with_reason_odds_conflicts_and_agreement() -> None:
    noted = {"budget": 0.01, "n_calibration": 300, "critical": 0.8}
    said = verdict(
        finding("a", p_value=0.3, **noted),
        dropped("b", p_value=0.004, conflicts_with=("a", "c"), agrees_with=("d",), **noted),
    ).explain()
    assert said.splitlines() == [
        "fused judged 2 passages and removed 1.",
        "Passage 'b' was removed because it quotes the question and its words are few. About one "
        "honest passage in 250 looks as suspicious (p = 0.004). It conflicts with 'a' and 'c'. It "
        "agrees with 'd'.",
        "The threshold was calibrated to remove at most 0.01 of the honest passages.",
    ]


def test_passages_removed_for_the_same_reason_are_told_together_worst_first() -> None:
    said = verdict(
        finding("x"),
        dropped("a", 0.7, conflicts_with=("x",), agrees_with=("b",)),
        dropped("b", 0.9, reason="dropped: its words are few; it quotes the question"),
        dropped("c", 0.8, reason="one of 3 passages that lie close"),
        status="majority_assumption_violated",
    ).explain()
    assert said.splitlines() == [
        "fused judged 4 passages and removed 3.",
        "Passages 'b' and 'a' were removed, each because its words are few and it quotes the "
        "question. Their suspicion is 0.70 to 0.90 of 1. They conflict with 'x'. They say nearly "
        "the same.",
        "Passage 'c' was removed: one of 3 passages that lie close. Its suspicion is 0.80 of 1.",
        "So many passages look planted that honest ones may be the minority: do not rely on the "
        "one that was kept.",
    ]


def test_a_chain_says_who_removed_what() -> None:
    said = verdict(
        finding("a"),
        dropped("b", detector="fused"),
        dropped("c", 0.8, detector="tris"),
        detector="fused+tris",
    ).explain()
    assert said.splitlines()[0] == "fused and tris judged 3 passages in turn and removed 2."
    assert said.splitlines()[1].startswith("Passage 'b' was removed by fused because it quotes")
    assert said.splitlines()[2].startswith("Passage 'c' was removed by tris because it quotes")


def test_without_calibration_the_suspicion_and_the_default_are_told() -> None:
    said = verdict(
        finding("a", critical=0.1, threshold=0.5), dropped("b", critical=0.9, threshold=0.5)
    ).explain()
    assert "Its suspicion is 0.90 of 1; 0.50 is enough for removal." in said
    assert "The threshold is ragshield's default and not calibrated on this store" in said
    assert "p =" not in said


def test_the_smallest_p_value_there_is_is_no_odds() -> None:
    said = verdict(dropped("b", p_value=1 / 301, n_calibration=300)).explain()
    assert (
        "No honest passage of 300 calibration questions looked so suspicious (p = 0.0033)" in said
    )
    assert "nothing is left to read" in said


MAJORITY = "majority_assumption_violated"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (verdict(status="clean"), "Nothing was retrieved, so fused had nothing to judge."),
        (
            verdict(finding("a"), status="clean"),
            "fused judged 1 passage and found nothing to remove.\n"
            "The most suspicious is 'a' at 0.10 of 1.",
        ),
        (
            verdict(finding("a"), finding("d"), dropped("b"), dropped("c"), status=MAJORITY),
            "honest ones may be the minority: do not rely on the 2 that were kept.",
        ),
        (
            verdict(dropped("b"), status=MAJORITY),
            "may be the minority. Answer that you do not know, or ask a person.",
        ),
        (
            verdict(finding("a"), dropped("b"), status=MAJORITY, deeper_from=1),
            "among the first 1 and still among the 2 retrieved after that: do not rely on the one",
        ),
        (
            verdict(finding("a"), finding("d"), dropped("b"), dropped("c"), status="abstained"),
            "so the other 2 were withheld too and no context is given. Answer that you do not know",
        ),
        (
            verdict(dropped("b"), status="abstained"),
            "may be the minority: no context is given. Answer that you do not know",
        ),
        (
            verdict(finding("a"), finding("c"), dropped("b"), deeper_from=2),
            "Of the first 2 so many looked planted that honest ones might have been the minority",
        ),
        (
            verdict(
                finding("a", suspicion=None, reason="not judged: no vectors"), status="not_judged"
            ),
            "fused could not judge: 1 passage kept as retrieved.\n"
            "1 passage could not be judged (no vectors), which is not the same as clean.",
        ),
        (
            verdict(finding("a", drift="it moved"), status="clean"),
            "may not hold any more: it moved",
        ),
    ],
)
def test_every_status_is_told_in_words(given: Verdict, expected: str) -> None:
    assert expected in given.explain()


def test_many_removed_passages_are_counted_and_the_worst_come_first() -> None:
    alike = verdict(*(dropped(f"p{i}", 0.5 + i / 100) for i in range(14))).explain()
    assert alike.splitlines()[1].startswith("Passages 'p13', 'p12', ")
    assert "'p4' and 4 more were removed, each because" in alike
    each = [dropped(f"p{i}", 0.5 + i / 100, reason=f"reason {i}") for i in range(14)]
    lines = verdict(*each).explain().splitlines()
    assert lines[1].startswith("Passage 'p13' was removed: reason 13.")
    assert lines[11] == "4 more passages were removed, each for other reasons."


def test_an_id_cannot_drive_the_terminal_or_fill_the_page() -> None:
    said = verdict(dropped("\x1b[31m\nfake line" + "x" * 500)).explain()
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) < 250
    assert said.count("\n") == 1
