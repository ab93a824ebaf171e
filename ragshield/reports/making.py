"""From a scan to a report: fingerprints, the baseline, neighbours, the map."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from ragshield import __version__
from ragshield.findings import redacted_evidence, redacted_reason
from ragshield.protocols import Snapshot
from ragshield.records import Passage
from ragshield.reports.fingerprints import shown_url
from ragshield.reports.projection import project
from ragshield.reports.report import Beside, Listed, Report, listed_findings
from ragshield.scanning import ScanReport

NAMED_SHOWN = 4
NEAREST_SHOWN = 3
MAX_ILLUSTRATED = 2_000
"""Passages whose neighbours are looked up and whose place is drawn; the worst."""

COVERED = "(not quoted: the passage holds a secret or personal data; --text quotes it)"


class NamedRows(Snapshot, Protocol):
    """A snapshot that knows its passages by id."""

    def rows_of(self, ids: Sequence[str]) -> list[int | None]:
        """The row of each id; None for an id that is not stored."""
        ...


def make_report(
    scan: ScanReport,
    *,
    baseline: Collection[str] | None = None,
    max_findings: int | None = None,
    illustrate: bool = True,
    expose: bool = False,
) -> Report:
    """A finished scan, ready to be written.

    Args:
        scan: not closed yet, if neighbours and a map are wanted.
        baseline: fingerprints of findings that are known; None without a baseline.
        max_findings: list only the worst; None lists all.
        illustrate: look up the neighbours of the worst 2,000 passages and draw the map.
        expose: quote passages that hold secrets or personal data, too. Without it no
            format quotes them: a report that shows what leaked is the next leak.
    """
    every = listed_findings(scan.url, scan.findings, scan.passages, baseline=baseline or ())
    if not expose:
        every = _covered(every)
    listed = every[:max_findings]
    report = Report(
        url=shown_url(scan.url),
        listed=listed,
        every=every,
        n_passages=scan.n_passages,
        n_suspicious=len({f.passage_id for f in scan.findings if f.suspicion is not None}),
        n_unreadable=scan.n_unreadable,
        screens=scan.screens,
        threshold=scan.threshold,
        complete=scan.complete,
        problem=scan.problem,
        notes=scan.notes,
        seconds=scan.seconds,
        made_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        version=__version__,
        has_baseline=baseline is not None,
    )
    if not illustrate or scan.snapshot is None:
        return report
    return illustrated(report, scan.snapshot, compared=scan.neighbour_recall is not None)


def _covered(every: tuple[Listed, ...]) -> tuple[Listed, ...]:
    """The same, with passages that expose something covered wherever they would be quoted."""
    exposed = exposed_ids(every)
    covered = []
    for listed in every:
        finding, passage = listed.finding, listed.passage
        if passage is None or passage.id not in exposed:
            covered.append(listed)
            continue
        shown = replace(
            finding,
            reason=redacted_reason(finding, passage),
            evidence=redacted_evidence(finding.evidence),
        )
        covered.append(replace(listed, finding=shown, passage=replace(passage, text=COVERED)))
    return tuple(covered)


def exposed_ids(listed: Iterable[Listed]) -> frozenset[str]:
    """Passages that hold a secret or personal data, as far as a screen says so."""
    return frozenset(
        x.finding.passage_id for x in listed if x.finding.evidence.get("class") == "exposure"
    )


def illustrated(report: Report, snapshot: NamedRows, *, compared: bool = True) -> Report:
    """The report with the neighbours of its findings and the map of the store.

    Args:
        report: as it is without them.
        snapshot: the store as it was read.
        compared: whether the snapshot's neighbours are known already. Finding them only
            to illustrate a report could take longer than the scan.
    """
    by_id: dict[str, list[Listed]] = {}
    for listed in report.listed:
        if listed.passage is not None and len(by_id) < MAX_ILLUSTRATED:
            by_id.setdefault(listed.finding.passage_id, [])
        if listed.finding.passage_id in by_id:
            by_id[listed.finding.passage_id].append(listed)
    ids = list(by_id)
    found = dict(zip(ids, snapshot.rows_of(ids), strict=True))
    rows = {passage_id: row for passage_id, row in found.items() if row is not None}
    drawn = project(snapshot, list(rows.values()))
    covered = frozenset(
        x.finding.passage_id
        for x in report.every
        if x.passage is not None and x.passage.text == COVERED
    )
    return replace(
        report,
        beside=_beside(by_id, rows, snapshot, covered, compared=compared),
        map=drawn,
        placed=tuple(rows),
    )


def _beside(
    by_id: dict[str, list[Listed]],
    rows: dict[str, int],
    snapshot: NamedRows,
    covered: Collection[str],
    *,
    compared: bool,
) -> dict[str, tuple[Beside, ...]]:
    """For each passage those that its findings name, then the nearest others."""
    named = {name: _named(by_id[name], name) for name in rows}
    wanted = list(dict.fromkeys(i for ids in named.values() for i in ids))
    row_of = dict(zip(wanted, snapshot.rows_of(wanted), strict=True))
    order = {name: [r for i in ids if (r := row_of[i]) is not None] for name, ids in named.items()}
    near: dict[str, list[int]] = {name: [] for name in rows}
    if compared and snapshot.dim is not None:
        nearest = snapshot.nearest(list(rows.values())).rows
        for name, line in zip(rows, nearest, strict=True):
            others = [int(r) for r in line if r >= 0 and int(r) not in order[name]]
            near[name] = others[:NEAREST_SHOWN]
    needed = sorted({r for name in rows for r in (*order[name], *near[name])})
    passages: dict[int, Passage] = dict(zip(needed, snapshot.passages(needed), strict=True))
    passages |= {r: replace(p, text=COVERED) for r, p in passages.items() if p.id in covered}
    shown = {}
    for name, row in rows.items():
        both = [*order[name], *near[name]]
        similarities = _similarities(snapshot, row, both)
        shown[name] = tuple(
            Beside(passages[r], similarity, named=r in order[name])
            for r, similarity in zip(both, similarities, strict=True)
        )
    return shown


def _named(listed: Sequence[Listed], passage_id: str) -> list[str]:
    ids: dict[str, None] = {}
    for one in listed:
        given = one.finding.evidence.get("neighbours")
        if isinstance(given, list | tuple):
            ids.update((i, None) for i in given if isinstance(i, str) and i != passage_id)
    return list(ids)[:NAMED_SHOWN]


def _similarities(snapshot: Snapshot, row: int, others: Sequence[int]) -> list[float | None]:
    if snapshot.dim is None or not others:
        return [None] * len(others)
    unit = snapshot.unit([row, *others])
    usable = np.asarray(unit.any(axis=1))
    cosines = np.clip(unit[1:] @ unit[0], -1.0, 1.0)
    return [
        float(cosine) if usable[0] and good else None
        for cosine, good in zip(cosines, usable[1:], strict=True)
    ]
