from __future__ import annotations

import json

from ragshield.records import Action, Finding
from ragshield.reports.lines import as_json, as_jsonl
from ragshield.reports.report import summary


def found(name: str, suspicion: float | None, group: str | None = None, detector: str = "a"):
    return Finding(name, suspicion, detector, Action.DROP, f"{detector} says so", group)


def test_findings_that_share_a_passage_or_a_group_are_one_card(report_of) -> None:
    findings = [
        found("p1", 0.9, "g1"),
        found("p2", 0.8, "g1"),
        found("p2", 0.7, "g2", "b"),
        found("p3", 0.6, "g2", "b"),
        found("p4", 0.5),
        found("p5", None),
    ]
    cards = report_of(findings, {f.passage_id: "" for f in findings}).cards()
    assert [card.passage_ids for card in cards] == [("p1", "p2", "p3"), ("p4",), ("p5",)]
    assert [card.number for card in cards] == [1, 2, 3]
    assert cards[0].suspicion == 0.9
    assert cards[0].detectors == ("a", "b")
    assert [x.finding.detector for x in cards[0].leading()] == ["a", "b"]
    assert cards[2].level == "unjudged"


def test_a_finding_fused_from_several_names_all_that_agree(report_of) -> None:
    fused = Finding(
        "p1",
        0.9,
        "a",
        Action.DROP,
        "a says so; also found by b (0.60)",
        evidence={"screens": {"a": 0.8, "b": 0.6, "c": 0.1}, "also": ['b says "hidden words"']},
    )
    report = report_of([fused], {"p1": "hidden words"})
    (card,) = report.cards()
    assert card.detectors == ("a", "b")
    assert report.listed[0].reasons(quote=True)[1] == 'b says "hidden words"'
    assert report.listed[0].reasons(quote=False)[1] == 'b says "…"'


def test_a_finding_about_the_store_is_a_card_of_its_own(report_of) -> None:
    own = found("chroma:./db#docs", 1.0, detector="collection-configuration")
    card, _ = report_of([own, found("p1", 0.9)], {"p1": "x"}).cards()
    assert card.about_store


def test_the_summary_names_the_threshold_where_there_is_one(report_of) -> None:
    said = summary(report_of([found("p1", 0.9)], {"p1": ""}))
    assert said.startswith("63 passages read, 1 suspicious at 0.5 or above (near-duplicates, ")
    assert "suspicious (near" in summary(report_of([found("p1", 0.9)], {"p1": ""}, threshold=None))


def test_levels_are_counted_by_passage(report_of) -> None:
    findings = [found("p1", 0.95), found("p1", 0.6, detector="b"), found("p2", 0.6)]
    report = report_of(findings, {"p1": "", "p2": ""})
    assert report.n_by_level() == {"critical": 1, "medium": 1}


def test_json_lines_and_json_hold_the_same_ranked_findings(hostile) -> None:
    lines = [json.loads(line) for line in as_jsonl(hostile, quote=True)]
    document = json.loads(as_json(hostile, quote=True))
    assert [line["passage_id"] for line in lines] == [
        record["passage_id"] for record in document["findings"]
    ]
    wanted = {"passage_id", "suspicion", "group", "detector", "reason", "fingerprint"}
    assert wanted <= set(lines[0])
    assert document["schema"] == "ragshield-scan/1"
    assert document["groups"][0]["passage_ids"] == [lines[0]["passage_id"], "kb/2"]
    assert document["n_findings"] == document["n_listed"] == 3
    assert "known" not in lines[0]


def test_json_is_utf_8_whatever_is_stored(hostile) -> None:
    assert as_json(hostile, quote=True).encode("utf-8")
    for line in as_jsonl(hostile, quote=True):
        assert line.isprintable()
        assert line.encode("utf-8")


def test_without_quotes_json_holds_nothing_stored(hostile) -> None:
    text = as_json(hostile, quote=False) + "".join(as_jsonl(hostile, quote=False))
    for stored in ("alert", "onerror", "evil", "obey"):
        assert stored not in text
