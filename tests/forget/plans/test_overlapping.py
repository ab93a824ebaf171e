from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ragshield.forget.plans.file import write_plan
from ragshield.forget.plans.overlapping import overlaps, plans_in
from ragshield.forget.plans.records import Elsewhere, ForgetPlan, Kept, PlanItem


def plan(name: str, *ids: str, url: str = "memory:a", **more) -> ForgetPlan:
    items = tuple(PlanItem(x, True, 1.0, "r", (), "0", "t") for x in ids)
    return ForgetPlan(url, "now", name, (), (), (), 9, items, (), Path(f"{name}.json"), **more)


def test_passages_that_two_plans_delete_are_named() -> None:
    (found,) = overlaps([plan("p", "a", "b", "c"), plan("q", "c", "b"), plan("r", "z")])
    assert (found.first, found.second, found.kind) == ("p.json", "q.json", "both delete")
    assert found.ids == ("b", "c")
    assert str(found) == "p.json and q.json both delete 2 passages of memory:a: 'b', 'c'"


def test_what_one_plan_keeps_and_another_deletes_is_named() -> None:
    keeper = plan("p", "a", kept=(Kept("b", "she sang", "t"),))
    (found,) = overlaps([plan("q", "b"), keeper])
    assert (found.kind, found.first) == ("kept", "p.json")
    assert str(found) == "p.json keeps 1 passage of memory:a that q.json deletes: 'b'"


def test_collections_are_told_apart_and_elsewhere_counts() -> None:
    assert overlaps([plan("p", "a"), plan("q", "a", url="memory:b")]) == ()
    item = PlanItem("a", True, 1.0, "r", (), "0", "t")
    there = (Elsewhere("memory:b", 3, (item,)),)
    (found,) = overlaps([plan("p", "x", elsewhere=there), plan("q", "a", url="memory:b")])
    assert (found.store_url, found.ids) == ("memory:b", ("a",))


def test_only_what_is_selected_counts() -> None:
    unsure = plan("p", "a")
    unsure = replace(unsure, items=tuple(replace(i, selected=False) for i in unsure.items))
    assert overlaps([unsure, plan("q", "a")]) == ()


def test_other_plans_beside_a_plan_are_found(tmp_path: Path) -> None:
    for name in ("p", "q"):
        write_plan(replace(plan(name, "a"), path=None), tmp_path / f"{name}.json")
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "broken.json").write_text('{"schema": "ragshield-forget-plan", ')
    (found,) = plans_in(tmp_path, but=tmp_path / "p.json")
    assert found.path == tmp_path / "q.json"
