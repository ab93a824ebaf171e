"""The rest of a campaign, given a few of its passages that a person has confirmed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError, UsageError
from ragshield.protocols import Snapshot
from ragshield.records import Action, Finding, Passage
from ragshield.text import content_words
from ragshield.wording.manner import apart, manners

DETECTOR = "campaign"
TAXONOMY = ("AML.T0070", "LLM04:2025", "LLM08:2025", "LLM05:2026", "LLM09:2026")
"""MITRE ATLAS RAG Poisoning; OWASP data poisoning and embedding weaknesses, with the year."""

_SAMPLE = 4000
_CANDIDATES = 400
_BLOCK = 16_384
_READ_CHARS = 4000
_JOINS = 0.7
_SHOWN = 0.25
_RARE_SOURCE = 0.02
_SMALL_SOURCE = 6
_OF_CAMPAIGN = 10
# How alike a passage has to be, and what that means. From 0.31 on 1.3 honest passages of 99,950
# are accused beside a campaign. Chosen without each family and data set, the constants come out
# as 0.8, 0.4 to 0.5 and 0.27 to 0.30 (benchmarks/results/scan_like.md).
_NEARNESS = 0.8
_MANNER = 0.4
_ALIKE = (0.0, 0.31, 1.0)
_MEANS = (0.0, 0.5, 0.95)
_RAREST = 3.5


@dataclass(frozen=True, slots=True)
class _Member:
    """What a candidate shares with the confirmed passages, each in [0, 1]."""

    near: float
    wording: float
    manner: float
    trail: float
    style: float

    @property
    def suspicion(self) -> float:
        # The vector says more than the words: a paraphrase keeps one, an edit keeps both. How
        # it is written says nothing by itself, and which of those on the topic are meant.
        topic = self.near**_NEARNESS * self.wording ** (1 - _NEARNESS)
        alike = topic * (1 - _MANNER + 2 * _MANNER * self.manner)
        level = float(np.interp(alike, _ALIKE, _MEANS))
        return 1.0 - (1 - level) * (1 - 0.5 * self.trail) * (1 - 0.7 * self.style)


def campaign(
    snapshot: Snapshot,
    confirmed: Sequence[int],
    findings: Sequence[Finding] = (),
    *,
    rounds: int = 3,
) -> list[Finding]:
    """Passages like the confirmed ones, most alike first.

    Five things are compared: how near a passage is to a confirmed one beyond what is usual
    in this store; how many of the rare words that the confirmed share it has too; whether it
    is written in the same manner (long or short sentences, capitals, markup), as far as few
    passages of the store are; whether it came from the same source (the fewer passages come
    from it, unless several of the confirmed do, the more that says); and whether the same
    screens accuse it. What is at least 0.7 alike joins the confirmed for the next round,
    so a campaign is followed from passage to passage. Where a campaign has several
    targets, confirm one passage of each: what they share then is style and source.

    After the idea of corrective unlearning (Goel et al., arXiv 2402.14015): a small
    confirmed subset stands for the whole manipulation. The measure is our own.

    Args:
        snapshot: the store.
        confirmed: rows of the passages that a person has confirmed; at least one.
        findings: fused findings of the same store (evidence `screens`), for style; may
            be empty.
        rounds: how often what was found may lead further; at least 1.

    Returns:
        Findings of detector `campaign`, suspicion in [0.25, 1], without the confirmed.

    Raises:
        UsageError: rounds < 1, or nothing is confirmed.
        InputError: a row that the snapshot does not have.
    """
    if rounds < 1:
        raise UsageError(f"rounds is {rounds}; it must be at least 1")
    seeds = list(dict.fromkeys(int(row) for row in confirmed))
    if not seeds:
        raise UsageError("name at least one confirmed passage")
    if not all(0 <= row < len(snapshot) for row in seeds):
        raise InputError("a confirmed passage is not in the snapshot")
    background = _Background.of(snapshot)
    styles = _styles(findings)
    found: dict[int, tuple[_Member, int]] = {}
    known = list(seeds)
    for _ in range(rounds):
        members = _compare(snapshot, known, len(seeds), background, styles)
        # Who has joined keeps what it joined for: compared again it would be nearest to itself.
        found.update(members)
        joining = [row for row, (member, _) in members.items() if member.suspicion >= _JOINS]
        if not joining:
            break
        known += joining
    names = dict(zip(seeds, snapshot.passages(seeds), strict=True))
    ordered = sorted(found.items(), key=lambda item: (-item[1][0].suspicion, item[0]))
    kept = [(row, pair) for row, pair in ordered if pair[0].suspicion >= _SHOWN]
    passages = snapshot.passages([row for row, _ in kept])
    return [
        _finding(passage, member, names[nearest].id if nearest in names else None, len(seeds))
        for passage, (_, (member, nearest)) in zip(passages, kept, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Background:
    """What is usual in the store: words, sources, and a sample of rows to compare with.

    `manner` are the sample's measures, (n, 7), `spread` their standard deviation.
    """

    sample: NDArray[np.intp]
    manner: NDArray[np.float64]
    spread: NDArray[np.float64]
    rarity: Mapping[str, float]
    unseen: float
    sources: Counter[str]

    @classmethod
    def of(cls, snapshot: Snapshot) -> _Background:
        n = len(snapshot)
        rows = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.intp))
        passages = snapshot.passages(rows.tolist())
        counts = Counter(word for p in passages for word in set(_words(p)))
        rarity = {word: math.log((len(rows) + 1) / (c + 1)) for word, c in counts.items()}
        sources = Counter(p.source for p in passages if p.source is not None)
        manner = manners([p.text[:_READ_CHARS] for p in passages])
        return cls(rows, manner, manner.std(axis=0), rarity, math.log(len(rows) + 1), sources)

    def weight(self, word: str) -> float:
        return self.rarity.get(word, self.unseen)

    def is_rare_source(self, source: str | None) -> bool:
        if source is None or len(self.sources) < 2:
            return False
        return self.sources[source] <= _RARE_SOURCE * len(self.sample) + 1


def _compare(
    snapshot: Snapshot,
    known: Sequence[int],
    n_confirmed: int,
    background: _Background,
    styles: Mapping[str, Mapping[str, float]],
) -> dict[int, tuple[_Member, int]]:
    """Candidates with what they share, and the known row that each is nearest to.

    The first `n_confirmed` known rows are the confirmed; the others have joined them.
    """
    similarity, nearest = _similarities(snapshot, known)
    chosen = set(np.argsort(-similarity, kind="stable")[:_CANDIDATES].tolist())
    seeds = snapshot.passages(known)
    # Only what a person has confirmed leaves a trail: who has joined may be honest.
    confirmed = seeds[:n_confirmed]
    n_seeds = Counter(p.source for p in confirmed if background.is_rare_source(p.source))
    n_rows: Counter[str | None] = Counter()
    if styles or n_seeds:
        more, n_rows = _others(snapshot, styles, frozenset(n_seeds))
        chosen |= more
    rows = sorted(chosen - set(known))
    passages = snapshot.passages(rows)
    usual = _usual(similarity[background.sample], known, background.sample)
    shared = _shared_words(seeds, background)
    style = _mean_style([styles.get(p.id, {}) for p in seeds])
    manner = _manners(passages, seeds, background)
    out = {}
    for i, (row, passage) in enumerate(zip(rows, passages, strict=True)):
        near = float(np.clip((similarity[row] - usual) / max(1 - usual, 0.05), 0, 1))
        member = _Member(
            near=near,
            wording=_wording(passage, seeds, shared, background),
            manner=float(manner[i]),
            trail=_trail(n_seeds[passage.source], n_rows[passage.source]),
            style=_alike(styles.get(passage.id, {}), style),
        )
        out[row] = (member, known[nearest[row]])
    return out


def _manners(
    passages: Sequence[Passage], seeds: Sequence[Passage], background: _Background
) -> NDArray[np.float64]:
    """How rarely a passage of the store is written as much like a seed: (n,), in [0, 1]."""
    own = manners([p.text[:_READ_CHARS] for p in seeds])
    found = apart(manners([p.text[:_READ_CHARS] for p in passages]), own, background.spread)
    usual = np.sort(apart(background.manner, own, background.spread))
    share = np.maximum(np.searchsorted(usual, found), 1) / len(usual)
    return np.clip(-np.log10(share) / _RAREST, 0.0, 1.0)


def _trail(n_seeds: int, n_rows: int) -> float:
    """What coming from the source of so many seeds, and of so many passages, says: [0, 1]."""
    if n_seeds > 1:
        return 1.0
    return min(1.0, math.sqrt(_SMALL_SOURCE / max(n_rows, 1))) if n_seeds else 0.0


def _similarities(
    snapshot: Snapshot, known: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """For every row the highest cosine to a known one, and which; -1 without vectors."""
    n = len(snapshot)
    best = np.full(n, -1.0, dtype=np.float32)
    which = np.zeros(n, dtype=np.intp)
    if not snapshot.dim:
        return best, which
    targets = snapshot.unit(known)
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        products = snapshot.unit(range(start, stop)) @ targets.T
        which[start:stop] = products.argmax(axis=1)
        best[start:stop] = products.max(axis=1)
    return best, which


def _usual(similarity: NDArray[np.float32], known: Sequence[int], rows: NDArray[np.intp]) -> float:
    """Near the top of what unrelated passages reach: their 99th percentile."""
    rest = np.sort(similarity[~np.isin(rows, known)])
    # In a small store the rest of the campaign would be that percentile.
    rest = rest[: len(rest) - min(_OF_CAMPAIGN, len(rest) // 5)]
    return float(np.quantile(rest, 0.99)) if len(rest) else 0.0


def _shared_words(seeds: Sequence[Passage], background: _Background) -> dict[str, float]:
    """Rare words that at least half of the seeds hold (all words of a single seed)."""
    counts = Counter(word for p in seeds for word in set(_words(p)))
    least = max(1, math.ceil(len(seeds) / 2)) if len(seeds) < 4 else max(2, len(seeds) // 3)
    weights = {w: background.weight(w) for w, c in counts.items() if c >= least}
    floor = 0.5 * background.unseen
    return {w: weight for w, weight in weights.items() if weight >= floor}


def _wording(
    passage: Passage,
    seeds: Sequence[Passage],
    shared: Mapping[str, float],
    background: _Background,
) -> float:
    """Share of the seeds' common rare words, or of the most alike seed's own: [0, 1]."""
    own = set(_words(passage))
    total = sum(shared.values())
    common = sum(weight for word, weight in shared.items() if word in own) / total if total else 0
    alike = 0.0
    for seed in seeds[:50]:
        other = set(_words(seed))
        both = sum(background.weight(word) for word in own & other)
        least = min(sum(map(background.weight, own)), sum(map(background.weight, other)))
        alike = max(alike, both / least if least else 0.0)
    return float(min(1.0, max(common, alike * 1.25)))


def _words(passage: Passage) -> list[str]:
    return content_words(passage.text[:_READ_CHARS])


def _styles(findings: Sequence[Finding]) -> dict[str, dict[str, float]]:
    out: dict[str, dict[str, float]] = {}
    for finding in findings:
        if finding.suspicion is None or finding.evidence.get("class") == "exposure":
            continue
        given = finding.evidence.get("screens") or {finding.detector: finding.suspicion}
        out.setdefault(finding.passage_id, {}).update(
            {name: float(value) for name, value in given.items() if value}
        )
    return out


def _mean_style(styles: Sequence[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for style in styles:
        for name, value in style.items():
            total[name] = total.get(name, 0.0) + value
    return {name: value / len(styles) for name, value in total.items()}


def _alike(own: Mapping[str, float], other: Mapping[str, float]) -> float:
    """How far the same screens say the same: the sum of the smaller values, at most 1."""
    return min(1.0, sum(min(value, other.get(name, 0.0)) for name, value in own.items()))


def _others(
    snapshot: Snapshot, styles: Mapping[str, Mapping[str, float]], sources: frozenset[str | None]
) -> tuple[set[int], Counter[str | None]]:
    """Rows from the seeds' sources or that any screen accuses; and how many a source has."""
    found: set[int] = set()
    n_rows: Counter[str | None] = Counter()
    for part in snapshot.parts():
        for row, passage in zip(part, snapshot.passages(part), strict=True):
            if passage.source in sources:
                n_rows[passage.source] += 1
                found.add(row)
            elif passage.id in styles:
                found.add(row)
    return found, n_rows


def _finding(passage: Passage, member: _Member, nearest: str | None, n: int) -> Finding:
    said = []
    if member.near > 0:
        said.append(f"nearness {member.near:.2f} beyond the usual")
    said.append(f"{100 * member.wording:.0f} % of their rare words")
    if member.manner >= 0.5:
        said.append("written as few others are")
    if member.trail:
        said.append("the same source")
    if member.style >= 0.25:
        said.append("the same screens accuse it")
    like = "the confirmed passage" if n == 1 else f"the {n} confirmed passages"
    suspicion = round(member.suspicion, 4)
    return Finding(
        passage_id=passage.id,
        suspicion=suspicion,
        detector=DETECTOR,
        action=Action.DROP if suspicion >= 0.5 else Action.KEEP,
        reason=f"like {like}: {', '.join(said)}",
        group=DETECTOR,
        evidence={
            "near": round(member.near, 4),
            "wording": round(member.wording, 4),
            "manner": round(member.manner, 4),
            "trail": round(member.trail, 4),
            "style": round(member.style, 4),
            "neighbours": [] if nearest is None else [nearest],
            "taxonomy": list(TAXONOMY),
        },
    )
