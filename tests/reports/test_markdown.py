from __future__ import annotations

import re
from dataclasses import replace

from ragshield.reports.markdown import MAX_CHARS, as_markdown


def test_stored_text_can_break_neither_table_nor_page(hostile) -> None:
    text = as_markdown(hostile, quote=True)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 2
    assert {row.count("|") for row in rows} == {6}
    tags = set(re.findall(r"</?([a-z]+)", text))
    assert tags == {"code", "br", "a", "details", "summary"}
    for alive in ("<script", "<img", "@team", " #12", "](http", "http://evil", "`tick`", "\u202e"):
        assert alive not in text
    assert "&#60;script&#62;alert(1)" in text


def test_texts_are_quoted_only_when_asked(hostile) -> None:
    text = as_markdown(hostile, quote=False)
    for stored in ("alert(1)", "onerror", "evil", "obey"):
        assert stored not in text


def test_a_long_list_is_cut_with_counts(many) -> None:
    text = as_markdown(many, quote=True)
    assert "### ragshield scan: 2,000 suspicious passages in 1,000 groups" in text
    assert "_975 more groups are not shown here._" in text
    assert len(text) < MAX_CHARS


def test_it_stays_below_the_limit_of_a_comment_whatever_is_stored(report_of) -> None:
    from ragshield.records import Action, Finding

    loud = "<>" * 30
    findings = [
        Finding(f"{loud}{i}", 0.9, "near-duplicates", Action.DROP, "*" * 5000, f"g{i // 6}")
        for i in range(400)
    ]
    text = as_markdown(
        report_of(findings, {f.passage_id: "[]" * 900 for f in findings}), quote=True
    )
    assert len(text) <= MAX_CHARS
    assert "more groups are not shown here" in text


def test_verdicts(clean, hostile, report_of) -> None:
    assert as_markdown(clean, quote=False).startswith(
        "### ragshield scan: no suspicious passages\n"
    )
    assert "| # |" not in as_markdown(clean, quote=False)
    known = tuple(replace(listed, known=True) for listed in hostile.listed)
    text = as_markdown(replace(hostile, listed=known, has_baseline=True), quote=False)
    assert text.startswith("### ragshield scan: no new suspicious passages\n")
    assert "_3 passages are known from the baseline._" in text
    broken = report_of([], {}, complete=False, problem="it *broke* off")
    text = as_markdown(broken, quote=False)
    assert text.startswith("### ragshield scan: no findings so far (incomplete)\n")
    assert "**Incomplete:** it &#42;broke&#42; off" in text
