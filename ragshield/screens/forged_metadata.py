"""Passages whose source, title or date is impossible, imitated or contradicted by the text."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import ClassVar
from urllib.parse import urlsplit

from ragshield.protocols import Snapshot
from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.whole import judge_batch
from ragshield.screens.wordings import LOOK_ALIKES, quoted, together

TAXONOMY = ("AML.T0071", "AML.T0067.000", "LLM08:2025", "LLM09:2026", "CWE-345")
"""MITRE ATLAS False RAG Entry Injection and Citations; OWASP embedding weaknesses, with the
year; CWE Insufficient Verification of Data Authenticity."""

_SOURCE_KEYS = ("source", "url", "link", "origin", "site", "domain", "publisher", "author")
_DATE_KEYS = frozenset(
    """date published publication_date published_at created created_at creation_date modified
    updated updated_at last_modified timestamp""".split()
)
# Well-known sources that a forger would borrow; those of the store itself are added.
_WELL_KNOWN = frozenset(
    """wikipedia.org wikimedia.org wikidata.org britannica.com nature.com sciencemag.org
    science.org who.int nih.gov cdc.gov nasa.gov europa.eu un.org worldbank.org reuters.com
    apnews.com bbc.com bbc.co.uk nytimes.com theguardian.com washingtonpost.com github.com
    microsoft.com google.com apple.com amazon.com python.org debian.org mozilla.org ietf.org
    arxiv.org ieee.org acm.org springer.com elsevier.com stackoverflow.com openai.com""".split()
)
_DOMAIN = re.compile(r"^(?:[\w-]{1,63}\.){1,5}[\w-]{2,18}$")
_PAST_TENSE = re.compile(
    r"\b(?:in|on|since|as of|during|until|dated|published|updated)\s(?:\w{3,9}\s)?"
    r"(?:\d{1,2},?\s)?(19\d\d|20\d\d)\b(?P<rest>[^.;!?]{0,120}?)\b(?:was|were|had|"
    r"has been|confirmed|announced|published|released|found|reported|became|won|"
    r"died|opened|closed)\b",
    re.I,
)
_PLANS = re.compile(r"\b(?:will|would|if|planned|expected|forecast|projected|target|goal)", re.I)
_ISO = re.compile(r"^(\d{4})-(\d\d)-(\d\d)")
_EDGE = timedelta(days=2)
_RARE_SHARE = 0.2
_READ_CHARS = 20_000
_ROWS_OF_A_SOURCE = 200
_STEP = 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """What one part of a store shows.

    Attributes:
        counts: passages of each source.
        named: rows and ids of the first passages of each source.
        dated: row, id, signs and words for each passage whose dates cannot be.
    """

    counts: Counter[str]
    named: dict[str, list[tuple[int, str]]]
    dated: list[tuple[int, str, dict[str, float], list[str]]]


class ForgedMetadata:
    """Passages with a date to come, a source one letter from a known one, or years that clash.

    Looked for are dates in the future or impossible; text that reports in the past tense on
    a year after the passage's own date; and a source that imitates a frequent source of the
    store or a widely known one (look-alike letters, one edit, a known name with another
    ending). Passages without metadata are silent. Suspicion says how sure it is that the
    metadata cannot be true; a careless date looks the same as a forged one.

    Source: MITRE ATLAS, False RAG Entry Injection and Citations; look-alike names after Holgers
    et al., Cutting through the Confusion, USENIX 2006, and Szurdi et al., The Long
    "Taile" of Typosquatting, USENIX Security 2014.
    Differs: those look at domains in traffic; here at what a store says of its passages.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.
        today: the day from which a date is in the future; None for the current day (UTC).

    Raises:
        ValueError: drop_from out of its range.
    """

    name: ClassVar[str] = "forged-metadata"

    def __init__(self, *, drop_from: float = 0.5, today: date | None = None) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        self.drop_from = drop_from
        self.today = today

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; reads no vectors."""
        return judge_batch(self, batch)

    def read(self, snapshot: Snapshot, part: range) -> Reading:
        """The sources of a part, and the passages whose dates cannot be."""
        today = self.today or datetime.now(UTC).date()
        counts: Counter[str] = Counter()
        named: dict[str, list[tuple[int, str]]] = {}
        dated: list[tuple[int, str, dict[str, float], list[str]]] = []
        for step in range(part.start, part.stop, _STEP):
            rows = range(step, min(step + _STEP, part.stop))
            for row, passage in zip(rows, snapshot.passages(rows), strict=True):
                host = _host(passage)
                if host is not None:
                    counts[host] += 1
                    if counts[host] <= _ROWS_OF_A_SOURCE:
                        named.setdefault(host, []).append((row, passage.id))
                signs, parts = _date_signs(passage, today)
                if signs:
                    dated.append((row, passage.id, signs, parts))
        return Reading(counts, named, dated)

    def judge(self, snapshot: Snapshot, readings: Sequence[Reading]) -> list[Finding]:
        """Findings in the order of the rows."""
        counts: Counter[str] = Counter()
        for reading in readings:
            counts.update(reading.counts)
        found: dict[int, tuple[str, dict[str, float], list[str]]] = {}
        for host, (known, how) in _imitations(counts).items():
            weight = 0.85 if how == "looks like" else 0.6
            said = f'its source "{quoted(host)}" {how} "{quoted(known)}"'
            for reading in readings:
                for row, passage_id in reading.named.get(host, ()):
                    found[row] = (passage_id, {"imitated-source": weight}, [said])
        for reading in readings:
            for row, passage_id, signs, parts in reading.dated:
                _, before, said_before = found.get(row, (passage_id, {}, []))
                found[row] = (passage_id, {**before, **signs}, [*said_before, *parts])
        return [self._finding(*found[row]) for row in sorted(found)]

    def _finding(self, passage_id: str, signs: dict[str, float], parts: list[str]) -> Finding:
        suspicion = round(together(list(signs.values())), 4)
        return Finding(
            passage_id,
            suspicion,
            self.name,
            Action.DROP if suspicion >= self.drop_from else Action.KEEP,
            "; ".join(parts),
            evidence={"signs": signs, "taxonomy": list(TAXONOMY)},
        )


def _date_signs(passage: Passage, today: date) -> tuple[dict[str, float], list[str]]:
    """What a passage's dates show, each with its weight, and in words."""
    if not passage.meta:
        return {}, []
    signs: dict[str, float] = {}
    said, parts = _dates(passage.meta, today)
    if parts:
        signs["impossible-date"] = 0.6
    years = [
        int(match.group(1))
        for match in _PAST_TENSE.finditer(passage.text[:_READ_CHARS])
        if not _PLANS.search(match.group("rest"))
    ]
    if said is not None and years and max(years) > said.year:
        signs["text-after-date"] = 0.55
        parts.append(f"it is dated {said.isoformat()} and reports on {max(years)} as past")
    elif said is None and years and max(years) > today.year:
        signs["text-from-the-future"] = 0.5
        parts.append(f"it reports on {max(years)} as past")
    return signs, parts[:2]


def _host(passage: Passage) -> str | None:
    """The domain that a passage names as its source, if it names one."""
    candidates = [passage.source, *(passage.meta.get(key) for key in _SOURCE_KEYS)]
    for value in candidates:
        if not isinstance(value, str) or not value or len(value) > 2000:
            continue
        try:
            host = urlsplit(value if "://" in value else f"//{value}").hostname
        except ValueError:
            continue
        if host and _DOMAIN.match(host):
            return host.removeprefix("www.")
    return None


def _imitations(counts: Mapping[str, int]) -> dict[str, tuple[str, str]]:
    """Rare sources that imitate a known one: the known one, and how."""
    most = sum(counts.values())
    frequent = {host for host, n in counts.items() if n >= max(3, 0.01 * most)}
    known = {_registered(host) for host in frequent} | _WELL_KNOWN
    by_folded = {_folded(host): host for host in known}
    neighbours: dict[str, str] = {}
    labels = {_label(host) for host in known}
    for host in sorted(known):  # the same twin at every scan
        if len(_label(host)) >= 6:
            for near in _deletions(_label(host)):
                neighbours.setdefault(near, host)
    found = {}
    for host in counts:
        domain = _registered(host)
        if domain in known or (counts[host] > _RARE_SHARE * most and most >= 10):
            continue
        if _decoded(domain) != domain or _folded(domain) != domain:
            twin = by_folded.get(_folded(domain))
            if twin:
                found[host] = (twin, "looks like")
                continue
        twin = None if _label(domain) in labels else _one_edit(_label(domain), neighbours)
        if twin:
            found[host] = (twin, "is one letter from")
    return found


def _one_edit(label: str, neighbours: Mapping[str, str]) -> str | None:
    """The known source whose name is one edit away (symmetric deletion), not the same."""
    if len(label) < 6:
        return None
    for near in sorted(_deletions(label)):
        twin = neighbours.get(near)
        if twin and _label(twin) != label and _is_one_edit(label, _label(twin)):
            return twin
    return None


def _deletions(label: str) -> set[str]:
    return {label, *(label[:i] + label[i + 1 :] for i in range(len(label)))}


def _is_one_edit(a: str, b: str) -> bool:
    if abs(len(a) - len(b)) > 1:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    x, y = a[start:], b[start:]
    if x[1:] == y[1:] or x[1:] == y or x == y[1:]:
        return True
    return len(x) == len(y) and x[:2] == y[1::-1] and x[2:] == y[2:]


def _registered(host: str) -> str:
    """The part of a host that somebody registered; right for the common endings."""
    parts = host.split(".")
    n = 3 if len(parts) > 2 and parts[-2] in {"co", "com", "org", "ac", "gov"} else 2
    return ".".join(parts[-n:])


def _label(domain: str) -> str:
    return domain.split(".")[0]


def _decoded(host: str) -> str:
    try:
        return host.encode("ascii").decode("idna") if "xn--" in host else host
    except UnicodeError:
        return host


def _folded(host: str) -> str:
    """A host with look-alike letters and digits folded."""
    plain = unicodedata.normalize("NFKD", _decoded(host)).lower()
    letters = "".join(LOOK_ALIKES.get(c, c) for c in plain if not unicodedata.combining(c))
    folded = letters.replace("rn", "m").replace("vv", "w")
    return (
        folded.translate(str.maketrans("01", "ol")) if any(c.isalpha() for c in folded) else folded
    )


def _dates(meta: Mapping[str, object], today: date) -> tuple[date | None, list[str]]:
    """The latest date that the metadata give, and what is wrong with them."""
    latest: date | None = None
    faults = []
    for key, value in sorted(meta.items()):
        if key.lower() not in _DATE_KEYS:
            continue
        day = _day(value)
        if day is None:
            if isinstance(value, str) and _ISO.match(value):
                faults.append(f'its {key} "{quoted(value, 40)}" is no day of the calendar')
            continue
        if day > today + _EDGE:
            faults.append(f"its {key} {day.isoformat()} is in the future")
        latest = day if latest is None or day > latest else latest
    return latest, faults


def _day(value: object) -> date | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        seconds = value / 1000 if value > 1e11 else value
        if not 1e8 < seconds < 1e11:
            return None
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).date()
    match = _ISO.match(value) if isinstance(value, str) else None
    if not match:
        return None
    try:
        return date(*(int(part) for part in match.groups()))
    except ValueError:
        return None
