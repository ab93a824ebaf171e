from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ragshield.records import Action, Batch, Finding, Passage
from ragshield.reports.junit import as_junit
from ragshield.reports.lines import as_json, as_jsonl
from ragshield.reports.making import illustrated, make_report
from ragshield.reports.markdown import as_markdown
from ragshield.reports.page import as_html
from ragshield.reports.plain import as_text
from ragshield.reports.sarif import as_sarif
from ragshield.scanning import scan
from ragshield.snapshot.memory import MemorySnapshot
from ragshield.stores.memory import MemoryStore
from ragshield.stores.url import open_store


class Named(MemorySnapshot):
    """Finds its passages by id; can refuse to look for neighbours."""

    searched = False

    def rows_of(self, ids):
        everything = self.passages(range(len(self)))
        place = {passage.id: row for row, passage in enumerate(everything)}
        return [place.get(name) for name in ids]

    def nearest(self, rows):
        self.searched = True
        return super().nearest(rows)


def snapshot(n: int = 12) -> Named:
    # Rows on a quarter circle: the nearest of row i are its neighbours in order.
    angle = np.linspace(0, np.pi / 2, n)
    vectors = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    return Named(Batch(tuple(Passage(f"p{i}", f"text {i}") for i in range(n)), vectors))


def accused(**evidence) -> list[Finding]:
    return [Finding("p0", 0.9, "conflicts", Action.DROP, "it contradicts", evidence=evidence)]


def test_named_evidence_comes_first_then_the_nearest(report_of) -> None:
    report = report_of(accused(neighbours=["p5", "gone", "p0"]), {"p0": "text 0"})
    beside = illustrated(report, snapshot()).beside["p0"]
    assert [(b.passage.id, b.named) for b in beside] == [
        ("p5", True),
        ("p1", False),
        ("p2", False),
        ("p3", False),
    ]
    np.testing.assert_allclose(
        [b.similarity for b in beside], np.cos(np.array([5, 1, 2, 3]) * np.pi / 22), atol=1e-6
    )


def test_neighbours_are_not_searched_only_to_illustrate(report_of) -> None:
    rows = snapshot()
    report = illustrated(report_of(accused(neighbours=["p5"]), {"p0": ""}), rows, compared=False)
    assert [b.passage.id for b in report.beside["p0"]] == ["p5"]
    assert not rows.searched
    assert report.map is not None
    assert report.placed == ("p0",)


def test_a_store_without_vectors_has_neighbours_by_name_and_no_map(report_of) -> None:
    rows = Named(Batch(tuple(Passage(f"p{i}", "") for i in range(3)), None))
    report = illustrated(report_of(accused(neighbours=["p2"]), {"p0": ""}), rows)
    (beside,) = report.beside["p0"]
    assert (beside.passage.id, beside.similarity) == ("p2", None)
    assert report.map is None


@pytest.fixture
def store() -> MemoryStore:
    made = open_store("memory:", writable=True)
    rng = np.random.default_rng(1)
    texts = [f"Passage {i} speaks about harbour {i * 17} and mill {i * 3}." for i in range(60)]
    texts += [f"who built it? Per Holm built it{end}" for end in (".", ", they say.", " alone.")]
    vectors = rng.standard_normal((63, 16)).astype(np.float32)
    vectors[60:] = vectors[60] + 0.05 * vectors[60:]
    made.add(Batch(tuple(Passage(f"p{i}", t) for i, t in enumerate(texts)), vectors))
    return made


def test_a_real_scan_becomes_a_report_that_says_what_it_left_out(store) -> None:
    with scan(store, ["near-duplicates", "question-echo"], threshold=0.1) as found:
        report = make_report(found, max_findings=1)
        again = make_report(found, baseline={x.fingerprint for x in report.every})
    assert len(report.listed) == 1
    assert report.n_findings == len(found.findings) >= 3
    assert report.map is not None
    assert report.map.n_rows == 63
    assert len(report.beside[report.listed[0].finding.passage_id]) >= 3
    assert all(listed.known for listed in again.every)
    assert not any(listed.known for listed in report.every)


def test_a_passage_that_holds_a_secret_is_quoted_nowhere_unless_asked(store) -> None:
    secret = "AKIA-EXAMPLE-KEY who built it? Per Holm built it, says AKIA-EXAMPLE-KEY."
    leak = Finding(
        "leak",
        0.9,
        "secrets",
        Action.KEEP,
        "exposes an access key",
        evidence={"class": "exposure", "kind": "aws-key", "neighbours": ["p60"]},
    )
    echo = Finding(
        "leak",
        0.8,
        "question-echo",
        Action.DROP,
        'carries "AKIA-EXAMPLE-KEY who built it"',
        evidence={"question": "AKIA-EXAMPLE-KEY who built it", "neighbours": ["p60"]},
    )
    near = Finding(
        "p60", 0.7, "near-duplicates", Action.DROP, "x", evidence={"neighbours": ["leak"]}
    )
    store.add(Batch((Passage("leak", secret),), np.ones((1, 16), dtype=np.float32)))
    with scan(store, ["near-duplicates"]) as found:
        passages = {"leak": Passage("leak", secret), "p60": Passage("p60", "Per Holm")}
        made = replace(found, findings=(leak, echo, near), passages=passages)
        report = make_report(made)
        loud = make_report(made, expose=True)
    quoting = [as_html, as_json, as_sarif, as_junit, as_markdown]
    for write in quoting:
        assert "AKIA" not in write(report, quote=True), write.__name__
        assert "AKIA" in write(loud, quote=True), write.__name__
    assert "AKIA" not in "".join(as_jsonl(report, quote=True))
    assert "AKIA" not in "".join(line.text for line in as_text(report, quote=True))
    assert [x.fingerprint for x in report.listed] == [x.fingerprint for x in loud.listed]
