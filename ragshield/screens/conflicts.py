"""Passages that are the same but for one number, date, name or negation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from ragshield.protocols import Snapshot
from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.edits import Edit, EditKind, edit_between, same_form, tokens
from ragshield.screens.groups import group_id, join
from ragshield.screens.neighbours import usual_similarity
from ragshield.screens.standing import Standing, standings
from ragshield.screens.whole import judge_batch

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0070", "LLM04:2025", "LLM08:2025", "LLM05:2026", "LLM09:2026")
"""MITRE ATLAS RAG Poisoning; OWASP data poisoning and embedding weaknesses, with the year."""

_COMPARED = 4
_LOWEST = 0.7
_STEP = 256
_FEW_SAME = 8
_MANY_SAME = 20
_WEIGHT: dict[EditKind, float] = {
    "number": 0.95,
    "date": 0.9,
    "name": 0.9,
    "negation": 0.95,
    "word": 0.55,
}


class _Pair(NamedTuple):
    """Two look-alike rows and the one value in which the second differs from the first."""

    first: int
    second: int
    edit: Edit


class _Reading(NamedTuple):
    """What the rows of one part show; little, where a store is full of series.

    Attributes:
        pairs: of rows that differ in one value from one other alone.
        series: rows that differ in one value from two others, which have two values.
        n_alike: per row of `pairs`, how many others have its form and differ in more.
    """

    pairs: list[_Pair]
    series: list[int]
    n_alike: dict[int, int]


@dataclass(frozen=True, slots=True)
class _Side:
    """The passages of a conflict that agree."""

    value: str
    rows: tuple[int, ...]


class Conflicts:
    """Passages that are a copy of another with one number, date, name or negation changed.

    An edited copy keeps its place in the vector space (a $50k edit moves the cosine by
    0.0002), so it is looked for in the words: a passage and one of its nearest neighbours
    that differ in one value alone. Both sides are named, for the texts cannot say which
    is the true one. The suspicion is about 0.55 for each then, and moves by up to 0.25
    to the side with fewer sources, fewer passages, the later arrival, or whose value no
    neighbour states. A series (yearly reports, tables, versions, entries of a register)
    differs in more values, in more than two ways, or at its head, and is left in peace.

    Source: Chen et al., RAGShield, arXiv 2604.00387 (numeric edits that embeddings miss);
    the remedy, contradiction among near-duplicates, is proposed there only.
    Differs: no language model judges the contradiction; contradictions in other words are
    left to near-duplicates and to the guard.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.

    Raises:
        ValueError: an argument out of its range.
    """

    name: ClassVar[str] = "conflicts"

    def __init__(self, *, drop_from: float = 0.7) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        self.drop_from = drop_from

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; none without vectors."""
        return judge_batch(self, batch)

    def read(self, snapshot: Snapshot, part: range) -> _Reading:
        """Rows that differ from a neighbour in one value."""
        found = _Reading([], [], {})
        if snapshot.dim is None:
            return found
        usual = usual_similarity(snapshot, depth=_COMPARED)
        cut = min(max(_LOWEST, float(usual.median[0] + usual.spread[0])), 0.95)
        for start in range(part.start, part.stop, _STEP):
            here = range(start, min(start + _STEP, part.stop))
            nearest = snapshot.nearest(here)
            close = (nearest.similarity >= cut) & (nearest.rows >= 0)
            near = [
                nearest.rows[i, :_COMPARED][close[i, :_COMPARED]].tolist() for i in range(len(here))
            ]
            _read(snapshot, dict(zip(here, near, strict=True)), found)
        return found

    def judge(self, snapshot: Snapshot, readings: Sequence[_Reading]) -> list[Finding]:
        """Findings in the order of the rows, at most one per passage."""
        series = {row for reading in readings for row in reading.series}
        n_alike = {row: n for reading in readings for row, n in reading.n_alike.items()}
        known = {(p.first, p.second): p for reading in readings for p in reading.pairs}
        pairs = [known[key] for key in sorted(known)]
        rows = sorted({row for pair in pairs for row in (pair.first, pair.second)})
        place = {row: i for i, row in enumerate(rows)}
        groups = join(len(rows), ((place[p.first], place[p.second]) for p in pairs))
        of_row = {rows[i]: g for g, members in enumerate(groups) for i in members}
        by_group: list[list[_Pair]] = [[] for _ in groups]
        for pair in pairs:
            by_group[of_row[pair.first]].append(pair)
        kept = [
            group
            for group in by_group
            if not any(p.first in series or p.second in series for p in group)
        ]
        standing = standings(
            snapshot, sorted({row for group in kept for p in group for row in (p.first, p.second)})
        )
        found = {
            row: finding
            for group in kept
            for row, finding in self._judge(snapshot, group, n_alike, standing)
            if (finding.suspicion or 0) >= MIN_SHOWN
        }
        return [found[row] for row in sorted(found)]

    def _judge(
        self,
        snapshot: Snapshot,
        pairs: Sequence[_Pair],
        n_alike: dict[int, int],
        standing: dict[int, Standing],
    ) -> Iterator[tuple[int, Finding]]:
        sides = _sides(pairs)
        if sides is None:
            return
        edit = pairs[0].edit
        rows = sorted(row for side in sides for row in side.rows)
        passages = dict(zip(rows, snapshot.passages(rows), strict=True))
        group = group_id(p.id for p in passages.values())
        base = _weight(edit, max(n_alike.get(row, 0) for row in rows))
        stated = _stated(snapshot, sides, passages)
        for own, other in ((0, 1), (1, 0)):
            side, against = sides[own], sides[other]
            lean, why = _lean(
                [standing[row] for row in side.rows],
                [standing[row] for row in against.rows],
                stated[own],
                stated[other],
            )
            suspicion = base * (0.6 + 0.25 * lean)
            for row in side.rows:
                evidence = {
                    "kind": edit.kind,
                    "value": side.value,
                    "other_value": against.value,
                    "n_same_words": edit.n_same,
                    "n_agreeing": len(side.rows),
                    "n_contradicting": len(against.rows),
                    "n_neighbours_stating": stated[own],
                    "n_neighbours_stating_other": stated[other],
                    "lean": round(lean, 3),
                    "neighbours": [passages[r].id for r in (*against.rows, *side.rows) if r != row][
                        :10
                    ],
                    "taxonomy": list(TAXONOMY),
                }
                yield (
                    row,
                    Finding(
                        passage_id=passages[row].id,
                        suspicion=round(suspicion, 4),
                        detector=self.name,
                        action=Action.DROP if suspicion >= self.drop_from else Action.KEEP,
                        reason=_reason(edit, side, against, passages, why),
                        group=group,
                        evidence=evidence,
                    ),
                )


def _read(snapshot: Snapshot, near: dict[int, list[int]], into: _Reading) -> None:
    """Compare rows with their neighbours, and write down what they show."""
    rows = sorted({row for own, others in near.items() if others for row in (own, *others)})
    words = {row: tokens(p.text) for row, p in zip(rows, snapshot.passages(rows), strict=True)}
    counts = {row: Counter(found) for row, found in words.items()}
    compared: dict[tuple[int, int], Edit | None] = {}
    for row, others in near.items():
        edits: list[_Pair] = []
        n_alike = 0
        for other in others:
            a, b = min(row, other), max(row, other)
            if words[a] == words[b] or not same_form(counts[a], counts[b]):
                continue
            if (a, b) not in compared:
                compared[a, b] = edit_between(words[a], words[b])
            edit = compared[a, b]
            # Another head is another thing.
            if edit is None or (edit.position < 2 and edit.kind in ("name", "word")):
                n_alike += 1
            else:
                edits.append(_Pair(a, b, edit))
        values = {p.edit.second if p.first == row else p.edit.first for p in edits}
        if len(values) > 1:
            into.series.append(row)
        elif edits:
            into.pairs.extend(edits)
            into.n_alike[row] = n_alike


def _sides(pairs: Sequence[_Pair]) -> tuple[_Side, _Side] | None:
    """Who states which of two values; None where there are more than two: a series."""
    stating: dict[str, set[int]] = {}
    for pair in pairs:
        stating.setdefault(pair.edit.first, set()).add(pair.first)
        stating.setdefault(pair.edit.second, set()).add(pair.second)
    if len(stating) != 2:
        return None
    (one, first), (two, second) = sorted(stating.items(), key=lambda item: min(item[1]))
    if first & second:
        return None
    return _Side(one, tuple(sorted(first))), _Side(two, tuple(sorted(second)))


def _weight(edit: Edit, n_alike: int) -> float:
    """How sure it is that one of two is an edited copy, whichever it is."""
    length = float(np.interp(edit.n_same, (4, _FEW_SAME, _MANY_SAME), (0.2, 0.6, 1.0)))
    weight = _WEIGHT[edit.kind] * length
    if edit.numbering:
        weight *= 0.4
    # Others of the same form that differ in more: entries of a register, rows of a table.
    return weight * (1.0, 0.75, 0.5)[min(n_alike, 2)]


def _stated(
    snapshot: Snapshot, sides: tuple[_Side, _Side], passages: dict[int, Passage]
) -> tuple[int, int]:
    """How many neighbours outside the conflict state each of its two values."""
    if not all(side.value for side in sides):
        return 0, 0
    first = min(passages)
    known = snapshot.nearest([first]).rows[0]
    others = [int(row) for row in known if row >= 0 and int(row) not in passages]
    texts = [" ".join(tokens(p.text)) for p in snapshot.passages(others)]
    counts = [sum(1 for text in texts if f" {side.value} " in f" {text} ") for side in sides]
    return counts[0], counts[1]


def _lean(
    own: Sequence[Standing], other: Sequence[Standing], n_own: int, n_other: int
) -> tuple[float, str]:
    """Whether this side is the likelier edit: -1 to 1, and what says so."""
    signs = []
    sources = {s.source for s in own if s.source}, {s.source for s in other if s.source}
    if all(sources) and sources[0] != sources[1]:
        if len(sources[0]) != len(sources[1]):
            less = len(sources[0]) < len(sources[1])
            signs.append((0.6 if less else -0.6, "fewer sources say it" if less else ""))
        sizes = [max(s.n_of_source for s in side) for side in (own, other)]
        if max(sizes) >= max(5 * min(sizes), 3):
            less = sizes[0] < sizes[1]
            signs.append((0.5 if less else -0.5, "its source has little else here" if less else ""))
    if len(own) != len(other):
        less = len(own) < len(other)
        signs.append((0.4 if less else -0.4, "fewer passages say it" if less else ""))
    times = [[s.arrival for s in side if s.arrival is not None] for side in (own, other)]
    if all(times) and min(times[0]) != min(times[1]):
        later = min(times[0]) > min(times[1])
        signs.append((0.5 if later else -0.5, "it came later" if later else ""))
    if n_own != n_other:
        less = n_own < n_other
        part = 0.6 * abs(n_own - n_other) / max(n_own, n_other)
        signs.append((part if less else -part, "neighbours state the other" if less else ""))
    lean = float(np.clip(sum(sign for sign, _ in signs), -1, 1))
    return lean, " and ".join(why for sign, why in signs if sign > 0 and why)


def _reason(edit: Edit, side: _Side, against: _Side, passages: dict[int, Passage], why: str) -> str:
    other = passages[against.rows[0]].id
    what = {"word": "word", "negation": "negation"}.get(edit.kind, edit.kind)
    says = f'says "{side.value}"' if side.value else "leaves out"
    there = f'"{against.value}"' if against.value else "nothing"
    text = f"the same as {other} but for one {what}: it {says} where that has {there}"
    return f"{text}; {why}" if why else text
