from __future__ import annotations

from dataclasses import replace

import pytest

from ragshield.records import Action, Finding, Passage
from ragshield.reports.fingerprints import fingerprints, shown_url, store_name

PASSAGES = {n: Passage(n, f"text of {n}") for n in ("a", "b")}
FINDINGS = [
    Finding("a", 0.9, "question-echo", Action.DROP, "because", "g1", {"n": 3}),
    Finding("a", 0.8, "near-duplicates", Action.DROP, "because"),
    Finding("b", 0.7, "question-echo", Action.DROP, "because"),
]
URL = "chroma:./db#docs"


def marks(url: str = URL, findings=FINDINGS, passages=PASSAGES) -> tuple[str, ...]:
    return fingerprints(url, findings, passages)


def test_each_finding_has_its_own() -> None:
    assert len(set(marks())) == 3
    assert all(len(mark) == 32 for mark in marks())


def test_a_rescan_gives_the_same_whatever_else_changed() -> None:
    changed = [
        replace(f, suspicion=0.55, reason="other words", group="g9", evidence={"n": 4})
        for f in FINDINGS
    ]
    assert marks(findings=changed[::-1]) == marks()[::-1]
    assert marks(url="chroma:/srv/copies/db/#docs") == marks()
    assert marks(findings=FINDINGS[2:]) == marks()[2:]


def test_another_text_store_or_detector_gives_another() -> None:
    edited = {**PASSAGES, "a": Passage("a", "text of a, edited")}
    assert marks(passages=edited)[0] != marks()[0]
    assert marks(passages=edited)[2] == marks()[2]
    assert not set(marks(url="chroma:./db#other")) & set(marks())
    assert not set(marks(url="chroma:./other#docs")) & set(marks())


def test_where_findings_were_fused_the_surest_screen_may_change() -> None:
    fused = replace(FINDINGS[0], evidence={"screens": {"question-echo": 0.9, "conflicts": 0.8}})
    other = replace(fused, detector="conflicts")
    assert marks(findings=[fused]) == marks(findings=[other])


def test_two_findings_of_one_detector_about_one_passage_differ_in_any_order() -> None:
    two = [replace(FINDINGS[0], reason="key on line 1"), replace(FINDINGS[0], reason="key, line 2")]
    assert len(set(marks(findings=two))) == 2
    assert marks(findings=two[::-1]) == marks(findings=two)[::-1]


@pytest.mark.parametrize(
    ("url", "name", "shown"),
    [
        ("chroma:/a/b/db#docs", "chroma:db#docs", "chroma:/a/b/db#docs"),
        ("jsonl:x/docs.jsonl", "jsonl:docs.jsonl", "jsonl:x/docs.jsonl"),
        ("memory:docs", "memory:docs", "memory:docs"),
        (
            "chroma+https://user:secret@host:8000#docs",
            "chroma+https://host:8000#docs".replace("//", "", 1),
            "chroma+https://host:8000#docs",
        ),
    ],
)
def test_names_of_stores_hold_no_password(url: str, name: str, shown: str) -> None:
    assert store_name(url) == name
    assert shown_url(url) == shown
