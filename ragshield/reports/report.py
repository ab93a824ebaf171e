"""A finished scan as every format reads it: ranked, grouped, fingerprinted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ragshield.findings import LEVELS, Level, level_of, redacted
from ragshield.records import Finding, Passage
from ragshield.reports.fingerprints import fingerprints
from ragshield.reports.projection import StoreMap
from ragshield.reports.visible import visible
from ragshield.screens.groups import join

_AGREES = 0.25


@dataclass(frozen=True, slots=True)
class Listed:
    """One finding of a report.

    Attributes:
        finding: what was found.
        passage: the passage it speaks of; None where it speaks of the store.
        fingerprint: what identifies it in later scans.
        known: whether the baseline holds it.
    """

    finding: Finding
    passage: Passage | None
    fingerprint: str
    known: bool

    @property
    def detectors(self) -> tuple[str, ...]:
        """Who says so: its detector, and those whose findings were fused into this one."""
        said = self.finding.evidence.get("screens")
        others = said if isinstance(said, Mapping) else {}
        agreeing = (n for n, s in others.items() if isinstance(s, int | float) and s >= _AGREES)
        return tuple(dict.fromkeys([self.finding.detector, *agreeing]))

    def reasons(self, *, quote: bool) -> tuple[str, ...]:
        """Its reason, then those of the findings fused into it, made visible.

        Args:
            quote: False leaves out what is quoted from the passage.
        """
        also = self.finding.evidence.get("also")
        more = also if isinstance(also, list | tuple) else ()
        said = [self.finding.reason, *(one for one in more if isinstance(one, str))]
        return tuple(visible(one if quote else redacted(one, self.passage)) for one in said)


@dataclass(frozen=True, slots=True)
class Beside:
    """A stored passage that lies near a suspicious one.

    Attributes:
        passage: the neighbour.
        similarity: cosine of the two stored vectors; None where it is not known.
        named: whether a detector names it as its evidence.
    """

    passage: Passage
    similarity: float | None
    named: bool


@dataclass(frozen=True, slots=True)
class Card:
    """Findings that share a passage or a group: what a person looks at together.

    Attributes:
        number: 1 is the most suspicious card.
        listed: its findings, worst first.
    """

    number: int
    listed: tuple[Listed, ...]

    @property
    def suspicion(self) -> float | None:
        """The highest of its findings; None if none could be judged."""
        judged = [x.finding.suspicion for x in self.listed if x.finding.suspicion is not None]
        return max(judged, default=None)

    @property
    def level(self) -> Level:
        """That suspicion in one word."""
        return level_of(self.suspicion)

    @property
    def passage_ids(self) -> tuple[str, ...]:
        """Its passages, worst first."""
        return tuple(dict.fromkeys(x.finding.passage_id for x in self.listed))

    @property
    def detectors(self) -> tuple[str, ...]:
        """Names of those who found it, the surest first."""
        return tuple(dict.fromkeys(name for x in self.listed for name in x.detectors))

    @property
    def known(self) -> bool:
        """Whether the baseline holds all of it."""
        return all(x.known for x in self.listed)

    @property
    def about_store(self) -> bool:
        """Whether it is about the store itself and not about a passage."""
        return all(x.passage is None for x in self.listed)

    def leading(self) -> tuple[Listed, ...]:
        """One finding for each detector: its worst."""
        first: dict[str, Listed] = {}
        for listed in self.listed:
            first.setdefault(listed.finding.detector, listed)
        return tuple(first.values())

    def worst_of(self, passage_id: str) -> Listed:
        """The worst finding about one of its passages."""
        return next(x for x in self.listed if x.finding.passage_id == passage_id)


@dataclass(frozen=True, slots=True)
class Report:
    """A finished scan.

    Attributes:
        url: the store's, without a password.
        listed: findings to show, ranked.
        every: all findings, those too that a limit keeps off the list.
        n_passages: passages read.
        n_suspicious: of those, with a finding that says so.
        n_unreadable: of those, that could not be judged.
        screens: screens that ran to the end.
        threshold: suspicion from which findings are listed; None where something else
            limits the list.
        complete: whether everything was read and every screen finished.
        problem: why not, in one sentence.
        notes: what a reader should know.
        seconds: how long it took.
        made_at: when, ISO 8601 in UTC.
        version: of ragshield.
        has_baseline: whether findings were compared with an earlier report.
        beside: for a passage's id, stored passages near it, nearest first.
        map: where the passages lie, in two dimensions; None without vectors.
        placed: ids of the passages that the map's points stand for, in their order.
    """

    url: str
    listed: tuple[Listed, ...]
    every: tuple[Listed, ...] = field(repr=False)
    n_passages: int
    n_suspicious: int
    n_unreadable: int
    screens: tuple[str, ...]
    threshold: float | None
    complete: bool
    problem: str | None
    notes: tuple[str, ...]
    seconds: float
    made_at: str
    version: str
    has_baseline: bool = False
    beside: Mapping[str, Sequence[Beside]] = field(default_factory=dict, repr=False)
    map: StoreMap | None = field(default=None, repr=False)
    placed: tuple[str, ...] = field(default=(), repr=False)

    @property
    def n_findings(self) -> int:
        """Findings there are; more than are listed where the list was cut."""
        return len(self.every)

    def cards(self) -> tuple[Card, ...]:
        """Findings that share a passage or a group, together; the worst card first."""
        by_key: dict[tuple[str, str], int] = {}
        pairs = []
        for i, listed in enumerate(self.listed):
            keys = [("passage", listed.finding.passage_id)]
            if listed.finding.group is not None:
                keys.append(("group", listed.finding.group))
            pairs += [(by_key.setdefault(key, i), i) for key in keys]
        joined = join(len(self.listed), pairs)
        inside = {i for members in joined for i in members}
        alone = [[i] for i in range(len(self.listed)) if i not in inside]
        return tuple(
            Card(number, tuple(self.listed[i] for i in members))
            for number, members in enumerate(sorted(joined + alone), start=1)
        )

    def n_by_level(self) -> dict[Level, int]:
        """Listed passages by their worst level, in the order of the levels."""
        worst: dict[str, Level] = {}
        for listed in self.listed:  # ranked: the first of a passage is its worst
            worst.setdefault(listed.finding.passage_id, level_of(listed.finding.suspicion))
        counts = Counter(worst.values())
        order: tuple[Level, ...] = (*LEVELS, "unjudged")
        return {level: counts[level] for level in order if counts[level]}


def listed_findings(
    url: str,
    findings: Sequence[Finding],
    passages: Mapping[str, Passage],
    *,
    baseline: Collection[str] = (),
) -> tuple[Listed, ...]:
    """Ranked findings with their passages and fingerprints.

    Args:
        url: the store's.
        findings: all of a scan, ranked.
        passages: those they speak of, by id.
        baseline: fingerprints that are known.
    """
    prints = fingerprints(url, findings, passages)
    return tuple(
        Listed(finding, passages.get(finding.passage_id), mark, mark in baseline)
        for finding, mark in zip(findings, prints, strict=True)
    )


def summary(report: Report) -> str:
    """What came of it, in one sentence."""
    found = f"{report.n_suspicious:,} suspicious" if report.n_suspicious else "none suspicious"
    limit = "" if report.threshold is None else f" at {report.threshold:g} or above"
    return (
        f"{report.n_passages:,} passages read, {found}{limit} "
        f"({', '.join(report.screens) or 'no screen finished'}; {report.seconds:.1f} s)"
    )
