"""Many screens, one list: rare and repeated findings first, budgets kept."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragshield.errors import UsageError
from ragshield.ranking import FLOOR, Limit, fused, listed
from ragshield.records import Action, Finding


def _finding(
    passage_id: str, suspicion: float | None, detector: str = "echo", group: str | None = None,
    **evidence: object,
) -> Finding:  # fmt: skip
    return Finding(
        passage_id, suspicion, detector, Action.KEEP, f"{detector} says so", group, evidence
    )


def _place(passage_id: str) -> int:
    return int(passage_id[1:])


def _rank(findings: Sequence[Finding], n: int = 10_000) -> list[Finding]:
    return fused(findings, n, _place)


def test_a_passage_has_one_finding_that_names_every_screen() -> None:
    (found,) = _rank(
        [
            _finding("p1", 0.6, "echo", taxonomy=["A"]),
            _finding("p1", 0.8, "groups", "g1", neighbours=["p2"], taxonomy=["B"]),
            _finding("p1", 0.1, "soup"),
        ],
        n=50,
    )
    assert found.detector == "groups"
    assert found.group == "g1"
    assert found.reason == "groups says so; also found by echo (0.60)"
    assert found.evidence["screens"] == {"groups": 0.8, "echo": 0.6, "soup": 0.1}
    assert found.evidence["neighbours"] == ["p2"]
    assert found.evidence["taxonomy"] == ["B", "A"]
    # 0.8 + 0.2 x half of 0.6; what is below 0.25 adds nothing.
    assert found.suspicion == pytest.approx(0.86, abs=0.003)
    assert found.action is Action.DROP
    assert found.evidence["confidence"] == "high"


def test_a_screen_that_accuses_one_passage_in_ten_counts_less_than_one_that_accuses_few() -> None:
    often = [_finding(f"p{i}", 0.7, "often") for i in range(1000)]
    ranking = _rank([*often, _finding("p5000", 0.65, "rarely")])
    assert ranking[0].passage_id == "p5000"
    assert ranking[0].suspicion == pytest.approx(0.65, abs=0.06)
    assert {f.suspicion for f in ranking[1:]} == {ranking[1].suspicion}
    assert (ranking[1].suspicion or 0) < 0.35


def test_in_a_large_store_what_is_rare_comes_before_what_is_strong_and_usual() -> None:
    usual = [_finding(f"p{i}", 0.9 - 0.0002 * i, "usual") for i in range(2500)]
    rare = [_finding(f"p{i}", 0.45, "rare") for i in range(50_000, 50_060)]
    ranking = _rank([*usual, *rare], 100_000)
    first = [f.detector for f in ranking[:200]]
    assert first.count("rare") == 60
    in_a_small_store = _rank([*usual[:20], *rare[:3]], 400)
    assert {f.detector for f in in_a_small_store[:20]} == {"usual"}


def test_two_screens_of_which_each_says_little_together_come_first() -> None:
    one = [_finding(f"p{i}", 0.6, "one") for i in range(300)]
    other = [_finding(f"p{i}", 0.6, "other") for i in range(290, 600)]
    ranking = _rank([*one, *other], 100_000)
    assert {f.passage_id for f in ranking[:10]} == {f"p{i}" for i in range(290, 300)}
    assert {tuple(f.evidence["screens"]) for f in ranking[:10]} == {("one", "other")}


@given(st.floats(0.01, 1), st.floats(0, 1), st.integers(1, 200_000))
def test_more_suspicion_is_never_worth_less(high: float, part: float, n: int) -> None:
    ranking = _rank([_finding("p1", high), _finding("p2", high * part)], n)
    assert ranking[0].passage_id == "p1" or ranking[0].suspicion == ranking[1].suspicion
    assert all(0 <= (f.suspicion or 0) <= 1 for f in ranking)


def test_what_a_small_store_shows_is_judged_by_the_screens_alone() -> None:
    findings = [_finding(f"p{i}", 0.8, "groups", f"g{i // 5}") for i in range(25)]
    assert all(0.7 < (f.suspicion or 0) <= 0.8 for f in _rank(findings, 600))


def test_a_campaign_does_not_make_itself_usual() -> None:
    for n in (1000, 100_000):
        grouped = [_finding(f"p{i}", 0.7, "groups", "one") for i in range(300)]
        ranking = _rank(grouped, n)
        assert all((f.suspicion or 0) >= 0.7 for f in ranking)
        apart = [_finding(f"p{i}", 0.7, "groups", f"g{i // 3}") for i in range(300)]
        assert (_rank(apart, n)[0].suspicion or 0) < (ranking[0].suspicion or 0)
    assert _rank(grouped, 1000)[0].evidence["p_value"] == pytest.approx(1 / 701, rel=0.01)


def test_the_p_value_is_the_share_of_others_that_look_as_suspicious() -> None:
    ranking = _rank([_finding(f"p{i}", 0.9 - 0.1 * i, f"screen-{i}") for i in range(5)], 99)
    assert [f.evidence["p_value"] for f in ranking] == pytest.approx(
        [0.0101, 0.0202, 0.0303, 0.0404, 0.0505], rel=0.01
    )


def test_exposure_is_no_poison_and_what_could_not_be_judged_comes_last() -> None:
    key = _finding("p1", 0.99, "secrets", **{"class": "exposure"})
    ranking = _rank([_finding("p9", None, "health"), key, _finding("p2", 0.3)])
    assert [f.passage_id for f in ranking] == ["p2", "p1", "p9"]
    assert ranking[1] == key
    shown = listed(ranking, 10_000, Limit(threshold=None, alert_budget=0.0001))
    assert [f.passage_id for f in shown] == ["p2", "p1", "p9"]


@given(
    st.lists(st.floats(0, 1), max_size=60),
    st.floats(0.001, 1),
    st.integers(60, 5000),
)
def test_no_more_than_the_budget_is_listed(values: list[float], budget: float, n: int) -> None:
    ranking = _rank([_finding(f"p{i}", v, f"s{i % 3}") for i, v in enumerate(values)], n)
    shown = listed(ranking, n, Limit(threshold=None, alert_budget=budget))
    assert len(shown) <= max(1, budget * n + 1e-6)
    assert all((f.suspicion or 0) >= FLOOR for f in shown)
    assert shown == ranking[: len(shown)]


def test_the_false_positive_rate_bounds_the_share_of_passages_outside_groups() -> None:
    ranking = _rank([_finding(f"p{i}", 0.2 + 0.0005 * i) for i in range(1000)], 10_000)
    shown = listed(ranking, 10_000, Limit(threshold=None, false_positive_rate=0.01))
    assert len(shown) == 100
    group = [_finding(f"p{i}", 0.9, "groups", "one") for i in range(2000, 2300)]
    shown = listed(_rank(group, 10_000), 10_000, Limit(threshold=None, false_positive_rate=0.001))
    assert len(shown) == 300


def test_equal_suspicion_is_listed_in_the_order_of_the_store() -> None:
    ranking = _rank([_finding("p7", 0.5, "a"), _finding("p3", 0.5, "b")])
    assert [f.passage_id for f in ranking] == ["p3", "p7"]


@pytest.mark.parametrize(
    "given_",
    [{"threshold": 1.2}, {"alert_budget": 0.0}, {"alert_budget": 2.0}, {"false_positive_rate": -1}],
)
def test_a_limit_out_of_range_is_refused(given_: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(given_))):
        Limit(**given_)
