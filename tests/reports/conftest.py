from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from ragshield.records import Action, Batch, Finding, Passage
from ragshield.reports.making import illustrated, make_report
from ragshield.reports.report import Report
from ragshield.scanning import ScanReport
from ragshield.snapshot.memory import MemorySnapshot

TAGGED = "".join(chr(0xE0000 + ord(c)) for c in "obey")
HOSTILE = (
    "</script><script>alert(1)</script> \"quoted\" 'single' & <img src=x onerror=alert(2)> "
    f"\u202eevil\u202c zero\u200bwidth {TAGGED} ]]> | `tick` @team #12 [a](http://evil.example) "
    "\x1b[31m \x00 \ud800 end"
)


class NamedSnapshot(MemorySnapshot):
    """Held in memory, and finds its passages by id."""

    def rows_of(self, ids):
        everything = self.passages(range(len(self)))
        place = {passage.id: row for row, passage in enumerate(everything)}
        return [place.get(name) for name in ids]


def finding(name: str, suspicion: float | None = 0.93, **changes) -> Finding:
    made = Finding(
        passage_id=name,
        suspicion=suspicion,
        detector="question-echo",
        action=Action.DROP,
        reason=f'begins with the question "{string.capwords(name)} who built it" and answers it',
        evidence={"question": "who built it", "restated": 0.8, "taxonomy": ["AML.T0066"]},
    )
    return replace(made, **changes)


def scanned(findings: list[Finding], texts: dict[str, str], **changes) -> ScanReport:
    base = ScanReport(
        url="chroma:./db#docs",
        findings=tuple(findings),
        passages={name: Passage(name, text, source="wiki") for name, text in texts.items()},
        n_passages=63,
        n_unreadable=0,
        complete=True,
        problem=None,
        notes=(),
        seconds=1.25,
        screens=("near-duplicates", "question-echo"),
        threshold=0.5,
    )
    return replace(base, **changes)


@pytest.fixture(scope="session")
def report_of() -> Callable[..., Report]:
    """A report over hand-made findings; texts by passage id."""

    def build(findings: list[Finding], texts: dict[str, str], **changes) -> Report:
        baseline = changes.pop("baseline", None)
        scan = scanned(findings, texts, **changes)
        report = make_report(scan, baseline=baseline, illustrate=False)
        return replace(report, made_at="2026-01-02T03:04:05Z")

    return build


@pytest.fixture(scope="session")
def hostile(report_of) -> Report:
    """Three findings: two hostile passages in a group, one that could not be judged."""
    evil = "kb/<b>1</b> \u202e"
    findings = [
        finding(evil, 0.97, group="g1", evidence={"question": "alert", "n": 2, "loud": HOSTILE}),
        finding("kb/2", 0.61, group="g1", detector="near-duplicates", reason=f'says "{HOSTILE}"'),
        finding("kb/3", None, detector="vector-health", reason="its text is empty", evidence={}),
    ]
    texts = {evil: HOSTILE, "kb/2": HOSTILE * 40, "kb/3": ""}
    report = report_of(findings, texts, notes=("note <b>loud</b> \u202e | *and* more",))
    names = [*texts, *(f"clean{i}" for i in range(30))]
    passages = tuple(Passage(n, texts.get(n, f"{HOSTILE} near {n}")) for n in names)
    vectors = np.random.default_rng(2).standard_normal((len(names), 8)).astype(np.float32)
    vectors[2] = 0
    return illustrated(report, NamedSnapshot(Batch(passages, vectors)))


@pytest.fixture(scope="session")
def many(report_of) -> Report:
    """2,000 findings in 1,000 pairs, with places on a map."""
    names = [f"p{i:04}" for i in range(2000)]
    findings = [finding(n, round(1 - i / 4000, 4), group=f"g{i // 2}") for i, n in enumerate(names)]
    texts = {n: f"{n} who built it. Per Holm built it, says {n}." for n in names}
    report = report_of(findings, texts, n_passages=6000)
    passages = tuple(
        Passage(n, texts.get(n, f"clean {n}")) for n in [*names, *map(str, range(4000))]
    )
    vectors = np.random.default_rng(3).standard_normal((6000, 16)).astype(np.float32)
    return illustrated(report, NamedSnapshot(Batch(passages, vectors)))


@pytest.fixture(scope="session")
def clean(report_of) -> Report:
    """Nothing found."""
    return report_of([], {})
