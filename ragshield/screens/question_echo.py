"""Passages that carry the question they want to be found by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Snapshot
from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.groups import group_id
from ragshield.screens.questions import FAQ, READ_CHARS, Echo, after, echoes, keys, restated
from ragshield.screens.whole import judge_batch
from ragshield.text import normal_form, words

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0066", "LLM08:2025", "LLM09:2026")
"""MITRE ATLAS Retrieval Content Crafting; OWASP embedding weaknesses, with the year."""

_MIN_RESTATED = 0.5
_STEP = 256
_FIELDS = np.dtype(
    [
        ("row", np.int32),
        ("key", np.uint64),
        ("marked", np.bool_),
        ("leading", np.bool_),
        ("specific", np.float32),
        ("restated", np.float32),
        ("n_questions", np.int16),
    ]
)


class _Reading(NamedTuple):
    """Questions of one part: 20 bytes each, and the words of those that have no mark.

    Attributes:
        asked: rows of `_FIELDS`, in the order of the store.
        open_ended: words of each leading question without a mark, in the same order.
    """

    asked: NDArray[np.void]
    open_ended: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """One question of the store, its text not yet read again; `cut` where it was cut short."""

    row: int
    marked: bool
    leading: bool
    specific: float
    restated: float
    n_questions: int
    key: int
    cut: str | None = None


class QuestionEcho:
    """Passages that repeat a question and then answer it, singly or in groups.

    Text built to be retrieved carries the question itself (PoisonedRAG: `question + "."
    + text`). A passage is suspicious when it holds a question whose content words the
    text beside it restates, and more so when other passages hold the same question. How
    often the store's passages ask different questions is its habit: where many do (an FAQ),
    a question that only one passage asks says little, and the suspicion is low.

    Source: query echo as a lexical filter, TRIS layer 2 and FilterRAG; the attack's form
    after Zou et al., PoisonedRAG, USENIX Security 2025, arXiv 2402.07867, section 4.2.
    Differs: those filters know the question asked; here there is none, so it is looked for
    in the passage itself.

    Args:
        drop_from: suspicion in (0, 1] from which the finding's action is DROP.
        habit: share of the store's passages that may ask a question of their own before
            such passages count as the store's habit, in (0, 1).

    Raises:
        ValueError: an argument out of its range.
    """

    name: ClassVar[str] = "question-echo"

    def __init__(self, *, drop_from: float = 0.5, habit: float = 0.02) -> None:
        if not 0 < drop_from <= 1:
            raise ValueError(f"drop_from is {drop_from}; it must be in (0, 1]")
        if not 0 < habit < 1:
            raise ValueError(f"habit is {habit}; it must be in (0, 1)")
        self.drop_from = drop_from
        self.habit = habit

    def screen(self, batch: Batch) -> list[Finding]:
        """Findings in the batch's order, at most one per passage; reads no vectors."""
        return judge_batch(self, batch)

    def read(self, snapshot: Snapshot, part: range) -> _Reading:
        """The questions that the part's passages hold."""
        rows, open_ended = [], []
        for steps in range(part.start, part.stop, _STEP):
            here = range(steps, min(steps + _STEP, part.stop))
            for row, passage in zip(here, snapshot.passages(here), strict=True):
                for echo in echoes(passage.text):
                    rows.append(_fields(row, echo))
                    if echo.leading and not echo.marked:
                        open_ended.append(" ".join(words(echo.question)))
        return _Reading(np.array(rows, dtype=_FIELDS), tuple(open_ended))

    def judge(self, snapshot: Snapshot, readings: Sequence[_Reading]) -> list[Finding]:
        """Findings in the order of the rows, at most one per passage."""
        found = _cut_to_shared(snapshot, readings)
        best: dict[int, Finding] = {}
        for members in _repeated(found):
            for finding_row, finding in self._group(snapshot, members):
                _keep_worse(best, finding_row, finding)
        grouped = set(best)
        single = [echo for echo in found if echo.row not in grouped]
        strong = {(echo.row, echo.marked) for echo in single if _strong(echo)}
        n_strong = {marked: sum(1 for _, m in strong if m is marked) for marked in (True, False)}
        # What cannot restate enough is not worth reading again.
        single = [echo for echo in single if echo.restated >= _MIN_RESTATED]
        for echo, passage in _read_again(snapshot, single):
            share = n_strong[echo.marked] / max(len(snapshot), 1)
            # A handful says nothing about habits: the share counts from the second on.
            usual = n_strong[echo.marked] <= 2
            rare = 1.0 if usual else min(1.0, (self.habit / share) ** 0.5)
            _keep_worse(best, echo.row, self._single(echo, passage, rare, share))
        return [best[row] for row in sorted(best) if (best[row].suspicion or 0) >= MIN_SHOWN]

    def _group(
        self, snapshot: Snapshot, members: Sequence[_Found]
    ) -> Iterator[tuple[int, Finding]]:
        n = len(members)
        passages = [passage for _, passage in _read_again(snapshot, members)]
        ids = [passage.id for passage in passages]
        one_text = len({normal_form(p.text[:READ_CHARS]) for p in passages}) == 1
        mean = float(np.mean([echo.restated for echo in members]))
        group = group_id(ids)
        near = ids[:11]
        for echo, passage in zip(members, passages, strict=True):
            question = _question(echo, passage)
            # Chunks of one page may all carry its title; they do not all restate it.
            restated = (mean + echo.restated) / 2
            suspicion = min(0.15 + 0.65 * restated + 0.05 * min(n - 1, 4), 0.99)
            if one_text:
                suspicion *= 0.5  # copies of one text: a duplicate, not a chorus
            suspicion *= echo.specific
            if not echo.leading:
                # One question of many is an interview or a form; one alone, often a link.
                suspicion *= 0.6 if echo.n_questions > 1 else 0.65
            reason = (
                f'{n} passages carry the same question "{_short(question)}" '
                f"and go on to answer it ({restated:.0%} of its words restated)"
            )
            evidence = {
                "question": question,
                "restated": round(echo.restated, 3),
                "n_passages": n,
                "neighbours": [other for other in near if other != passage.id][:10],
            }
            yield echo.row, self._finding(passage.id, suspicion, reason, group, evidence)

    def _single(self, echo: _Found, passage: Passage, rare: float, share: float) -> Finding:
        suspicion = 0.2 + 0.5 * echo.restated
        suspicion *= rare * echo.specific
        if not echo.leading:
            suspicion *= 0.7
        if echo.n_questions > 1 or FAQ.search(passage.text[:READ_CHARS]):
            suspicion *= 0.6
        question = _question(echo, passage)
        where = "begins with" if echo.leading else "contains"
        reason = (
            f'{where} the question "{_short(question)}" and restates '
            f"{echo.restated:.0%} of its words beside it"
        )
        evidence = {
            "question": question,
            "restated": round(echo.restated, 3),
            "question_mark": echo.marked,
            "share_of_store": round(share, 4),
        }
        return self._finding(passage.id, suspicion, reason, None, evidence)

    def _finding(
        self,
        passage_id: str,
        suspicion: float,
        reason: str,
        group: str | None,
        evidence: dict[str, object],
    ) -> Finding:
        action = Action.DROP if suspicion >= self.drop_from else Action.KEEP
        evidence = {**evidence, "taxonomy": list(TAXONOMY)}
        return Finding(passage_id, round(suspicion, 4), self.name, action, reason, group, evidence)


def _fields(row: int, echo: Echo) -> tuple[int, int, bool, bool, float, float, int]:
    key = _key(echo.question) if keys(words(echo.question)) else 0
    n = min(echo.n_questions, 1000)
    return row, key, echo.marked, echo.leading, echo.specific, echo.restated, n


def _key(question: str) -> int:
    """What two askings of one question have in common: their words without articles."""
    form = normal_form(question).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(form, digest_size=8).digest(), "little")


def _strong(echo: _Found) -> bool:
    return echo.leading and echo.restated >= _MIN_RESTATED


def _question(echo: _Found, passage: Passage) -> str:
    """The question itself, read from the passage again."""
    if echo.cut is not None:
        return echo.cut
    return next(e.question for e in echoes(passage.text) if _key(e.question) == echo.key)


def _read_again(snapshot: Snapshot, found: Sequence[_Found]) -> Iterator[tuple[_Found, Passage]]:
    for start in range(0, len(found), _STEP):
        some = found[start : start + _STEP]
        yield from zip(some, snapshot.passages([echo.row for echo in some]), strict=True)


def _cut_to_shared(snapshot: Snapshot, readings: Sequence[_Reading]) -> list[_Found]:
    """All questions; leading ones without a mark cut to what other passages begin with too.

    With no mark, and perhaps no full stop, a question has no visible end; the words that
    two passages begin with alike show it.
    """
    found = [
        _Found(int(r), bool(m), bool(f), float(s), float(e), int(n), int(k))
        for reading in readings
        for r, k, m, f, s, e, n in reading.asked.tolist()
    ]
    starts = [start.split() for reading in readings for start in reading.open_ended]
    places = [i for i, echo in enumerate(found) if echo.leading and not echo.marked]
    order = sorted(range(len(starts)), key=lambda i: starts[i])
    shared: list[tuple[int, int]] = []
    for at, i in enumerate(order):
        near = [starts[order[j]] for j in (at - 1, at + 1) if 0 <= j < len(order)]
        n = max((_n_shared(starts[i], other) for other in near), default=0)
        if 4 <= n < len(starts[i]) and len(keys(starts[i][:n])) > 1:
            shared.append((i, n))
    again = _read_again(snapshot, [found[places[i]] for i, _ in shared])
    for (i, n), (echo, passage) in zip(shared, again, strict=True):
        question = " ".join(starts[i][:n])
        found[places[i]] = replace(
            echo,
            cut=question,
            key=_key(question),
            specific=1.0,
            restated=restated(question, after(passage.text, n)),
        )
    return found


def _n_shared(a: Sequence[str], b: Sequence[str]) -> int:
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


def _repeated(found: Sequence[_Found]) -> list[list[_Found]]:
    """Askings of the same question in two or more passages."""
    by_question: dict[int, dict[int, _Found]] = {}
    for echo in found:
        if echo.key:
            rows = by_question.setdefault(echo.key, {})
            if echo.row not in rows or rows[echo.row].restated < echo.restated:
                rows[echo.row] = echo
    return [list(rows.values()) for rows in by_question.values() if len(rows) > 1]


def _keep_worse(best: dict[int, Finding], row: int, finding: Finding) -> None:
    known = best.get(row)
    if known is None or (finding.suspicion or 0) > (known.suspicion or 0):
        best[row] = finding


def _short(text: str, n_chars: int = 80) -> str:
    flat = " ".join(text.replace('"', "'").split())
    return flat if len(flat) <= n_chars else f"{flat[: n_chars - 1]}…"
