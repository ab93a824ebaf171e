from __future__ import annotations

from datetime import date

import pytest

from ragshield.findings import without_quotes
from ragshield.records import Action, Batch, Finding, MetaValue, Passage
from ragshield.screens.forged_metadata import ForgedMetadata
from ragshield.screens.whole import judge_snapshot
from ragshield.snapshot.memory import MemorySnapshot

TODAY = date(2026, 6, 1)


def judge(
    text: str = "The mill stands by the river.",
    source: str | None = None,
    others: tuple[str, ...] = (),
    **meta: MetaValue,
) -> Finding | None:
    passages = [Passage("p", text, source, meta)]
    passages += [Passage(f"o{i}", "The mill is old.", other) for i, other in enumerate(others)]
    found = ForgedMetadata(today=TODAY).screen(Batch(tuple(passages), None))
    assert all(finding.passage_id == "p" for finding in found)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("source", "known", "how"),
    [
        ("https://en.wikipedla.org/wiki/Mill", "wikipedia.org", "one letter"),
        ("https://www.wikipeda.org/Mill", "wikipedia.org", "one letter"),
        ("https://birtannica.com/mill", "britannica.com", "one letter"),
        ("https://wikipedi\u0430.org/Mill", "wikipedia.org", "looks like"),
        ("https://g\u00f6ogle.com/", "google.com", "looks like"),
        ("https://rnicrosoft.com/kb", "microsoft.com", "looks like"),
        ("g00gle.com", "google.com", "looks like"),
        ("https://xn--wikipedi-86g.org/Mill", "wikipedia.org", "looks like"),
    ],
)
def test_an_imitated_source_is_named_with_what_it_imitates(source, known, how) -> None:
    finding = judge(source=source)
    assert finding is not None
    assert how in finding.reason
    assert f'"{known}"' in finding.reason
    assert finding.action is Action.DROP
    assert known not in without_quotes(finding.reason)


def test_a_source_that_the_store_knows_well_is_imitated_too() -> None:
    finding = judge(source="https://brackvater.se/a", others=("https://brackwater.se/b",) * 20)
    assert finding is not None
    assert '"brackwater.se"' in finding.reason


def test_a_source_named_like_one_that_is_known_imitates_no_other() -> None:
    # "python3" is one letter from "python", and the name of a source that the store knows.
    assert judge(source="python3.11-minimal", others=("python3.11",) * 20) is None


@pytest.mark.parametrize(
    "source",
    [
        "https://de.wikipedia.org/wiki/M",
        "https://wikimedia.org",
        "https://docs.python.org/3/",
        "handbook.pdf",
        "/srv/docs/mill.txt",
        "Per Lund",
        "https://holm-mills.se/history",
        "https://m\u00fcnchen.de/",
        "https://[broken",
        "",
    ],
)
def test_honest_and_odd_sources_are_quiet(source: str) -> None:
    assert judge(source=source) is None


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"date": "2031-04-01"}, "in the future"),
        ({"published_at": "2026-02-30T10:00:00"}, "no day of the calendar"),
        ({"timestamp": 1_900_000_000}, "in the future"),
        ({"created_at": 1_900_000_000_000.0}, "in the future"),
    ],
)
def test_impossible_dates_are_found(meta: dict[str, MetaValue], said: str) -> None:
    finding = judge(**meta)
    assert finding is not None
    assert said in finding.reason
    assert finding.suspicion == 0.6


def test_a_text_that_reports_on_a_year_after_its_own_date_is_found() -> None:
    text = "In March 2025 the mill was sold to Per Lund."
    finding = judge(text, date="2019-05-02")
    assert finding is not None
    assert finding.reason == "it is dated 2019-05-02 and reports on 2025 as past"
    assert judge(text, date="2025-05-02") is None


@pytest.mark.parametrize(
    "meta",
    [{}, {"date": "2026-06-02"}, {"date": "last spring"}, {"date": 20190502}, {"page": 2099},
     {"date": True}, {"date": "1066-10-14"}],
)  # fmt: skip
def test_plausible_or_missing_dates_are_quiet(meta: dict[str, MetaValue]) -> None:
    text = "The new line is planned to open in 2040; the old one was closed in 1999."
    assert judge("The mill is old." if meta.get("date") == "1066-10-14" else text, **meta) is None


def test_two_signs_weigh_more_than_one() -> None:
    finding = judge(source="https://wikipedla.org/", date="2031-01-01")
    assert finding is not None
    assert finding.suspicion == pytest.approx(1 - 0.4 * 0.4)
    assert set(finding.evidence["signs"]) == {"imitated-source", "impossible-date"}


def test_the_same_store_gives_the_same_findings_however_it_is_cut() -> None:
    sources = ["https://brackwater.se/b"] * 30 + ["https://brackvater.se/a"] + ["holm.se"] * 9
    passages = tuple(
        Passage(str(i), "The mill is old.", source, {"date": "2031-01-01"} if i % 15 == 0 else {})
        for i, source in enumerate(sources)
    )
    batch = Batch(passages, None)
    cuts = [MemorySnapshot(batch, n_parts=n) for n in (1, 3, 7)]
    found = [judge_snapshot(ForgedMetadata(today=TODAY), snapshot) for snapshot in cuts]
    assert found[0] == found[1] == found[2]
    assert [f.passage_id for f in found[0]] == ["0", "15", "30"]
    assert set(found[0][2].evidence["signs"]) == {"imitated-source", "impossible-date"}
