from __future__ import annotations

import re
from html.parser import HTMLParser

from ragshield.forget.plans.records import (
    Artefact,
    AtRisk,
    Elsewhere,
    ForgetPlan,
    Kept,
    PlanItem,
    SharedFact,
)
from ragshield.protocols import Cost
from ragshield.reports.plan_page import plan_as_html


def item(name: str, selected: bool = True, text: str = "text") -> PlanItem:
    return PlanItem(name, selected, 0.9, f"why {name}", ("seed",), "0", text)


PLAN = ForgetPlan(
    store_url="memory:<docs>",
    created="2026-01-02T03:04:05+00:00",
    subject="Ada <script>alert(1)</script>",
    aliases=(),
    ids=(),
    unknown_ids=("u",),
    n_passages=1234,
    items=(item("goes-1", text="\u202eevil & \x1b[31m"), item("review-1", False)),
    at_risk=(AtRisk("near-1", 0.71, "goes-1", "text"),),
    scope="document",
    shared="keep",
    request={"exceptions": ["she sang"], "sentence": "forget it"},
    shared_facts=(SharedFact("In 1820.", "Ada", "1820", "goes-1", ("o1", "o2"), 30),),
    kept=(Kept("kept-1", "she sang", "text"),),
    elsewhere=(Elsewhere("memory:other", 5, (item("there-1"),)),),
    artefacts=(Artefact("docstore", "store.json", "node-1", "because", 0.8, True, "0"),),
    cost=Cost(95.0, 3_000_000, "in place"),
    notes=("a note",),
)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data


def parsed(plan: ForgetPlan) -> Tags:
    tags = Tags()
    tags.feed(plan_as_html(plan))
    assert tags.open == []
    return tags


def test_everything_in_the_plan_is_on_the_page() -> None:
    text = " ".join(parsed(PLAN).text.split())
    for said in (
        "1,234", "goes-1", "why goes-1", "found through seed", "review-1", "kept-1",
        "keeps 'she sang'",
        "memory:other", "there-1", "docstore store.json", "node-1", "Ada: 1820", "30 others",
        "also in o1, o2 …", "near-1", "0.71", "a note", "2 minutes", "3 MB", "To be kept: she sang",
        "Read from: forget it", "1 ids asked for are not in the store", "2026-01-02 03:04:05 UTC",
    ):  # fmt: skip
        assert said in text, said


def test_stored_text_is_escaped_and_what_does_not_show_is_named() -> None:
    page = plan_as_html(PLAN)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "⟨U+202E⟩evil &amp; ⟨U+001B⟩[31m" in page


def test_nothing_is_loaded_from_anywhere() -> None:
    page = plan_as_html(PLAN)
    assert "default-src &#x27;none&#x27;" in page
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert "script" not in parsed(PLAN).seen


def test_an_empty_plan_says_so_and_shows_no_empty_tables() -> None:
    empty = ForgetPlan("memory:", "now", None, (), ("a",), (), 3, (), ())
    text = parsed(empty).text
    assert "Nothing is selected." in text
    assert "To forget 1 id" in text
    assert parsed(empty).seen.count("section") == 1


def test_a_long_plan_is_cut_on_the_page_with_a_word() -> None:
    many = ForgetPlan(
        "memory:", "now", "A", (), (), (), 3, tuple(item(f"i{n}") for n in range(600)), ()
    )
    text = parsed(many).text
    assert "100 more stand in the plan file." in text
    assert "i499" in text
    assert "i500" not in text
