"""Passages that carry the question they want to be found by."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ragshield.records import Action, Batch, Finding, Passage
from ragshield.screens.groups import group_id
from ragshield.text import STOP_WORDS, normal_form, words

MIN_SHOWN = 0.25
"""Findings below this suspicion are not worth a line."""

TAXONOMY = ("AML.T0066", "LLM08:2025", "LLM09:2026")
"""MITRE ATLAS Retrieval Content Crafting; OWASP embedding weaknesses, with the year."""

_MIN_RESTATED = 0.5
_WINDOW_WORDS = 60
_MAX_QUESTION_WORDS = 40
_READ_CHARS = 4000
# A sentence end, also the glued one of `question + "." + text`, but not that of "U.S." or "3.5".
_END = re.compile(r"[?!]+[.\"')\]]*\s*|(?<=\w\w)\.(?=[A-Z\"'(])|(?<=\w)[.:][\"')\]]*\s+|\s*\n+\s*")
_FAQ = re.compile(r"(?:^|\n)\W*(?:q|question|faqs?)\s*\d*\s*[:.)-]", re.IGNORECASE)
_ASKING = frozenset(
    """who whom whose what which when where why how is are was were am do does did can could will
    would shall should may might has have had who's what's where's""".split()
)
_PREPOSITIONS = frozenset("in on at for of to from by during with under about into".split())


@dataclass(frozen=True, slots=True)
class _Echo:
    """One question found in a passage.

    `restated` is the share of the question's content words that come back beside it.
    """

    row: int
    question: str
    marked: bool
    leading: bool
    restated: float
    n_questions: int


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
        passages = batch.passages
        found = [echo for row, p in enumerate(passages) for echo in _echoes(row, p.text)]
        groups = _repeated(_cut_to_shared(found, passages))
        best: dict[int, Finding] = {}
        for members in groups:
            for finding_row, finding in self._group(members, passages):
                _keep_worse(best, finding_row, finding)
        grouped = set(best)
        single = [echo for echo in found if echo.row not in grouped]
        rates = Counter(
            marked for _, marked in {(echo.row, echo.marked) for echo in single if _strong(echo)}
        )
        for echo in single:
            share = rates[echo.marked] / max(len(passages), 1)
            # A handful says nothing about habits: the share counts from the second on.
            rare = 1.0 if rates[echo.marked] <= 2 else min(1.0, (self.habit / share) ** 0.5)
            _keep_worse(best, echo.row, self._single(echo, passages[echo.row], rare, share))
        return [best[row] for row in sorted(best) if (best[row].suspicion or 0) >= MIN_SHOWN]

    def _group(
        self, members: Sequence[_Echo], passages: Sequence[Passage]
    ) -> list[tuple[int, Finding]]:
        n = len(members)
        ids = [passages[echo.row].id for echo in members]
        mean = float(np.mean([echo.restated for echo in members]))
        group = group_id(ids)
        findings = []
        for echo, passage_id in zip(members, ids, strict=True):
            # Chunks of one page may all carry its title; they do not all restate it.
            restated = (mean + echo.restated) / 2
            suspicion = min(0.15 + 0.65 * restated + 0.05 * min(n - 1, 4), 0.99)
            if len({normal_form(passages[e.row].text[:_READ_CHARS]) for e in members}) == 1:
                suspicion *= 0.5  # copies of one text: a duplicate, not a chorus
            suspicion *= _specific(echo)
            if not echo.leading and echo.n_questions > 1:
                suspicion *= 0.6  # one question of many: an interview, a form
            reason = (
                f'{n} passages carry the same question "{_short(echo.question)}" '
                f"and go on to answer it ({restated:.0%} of its words restated)"
            )
            evidence = {
                "question": echo.question,
                "restated": round(echo.restated, 3),
                "n_passages": n,
                "neighbours": [other for other in ids if other != passage_id][:10],
            }
            finding = self._finding(passage_id, suspicion, reason, group, evidence)
            findings.append((echo.row, finding))
        return findings

    def _single(self, echo: _Echo, passage: Passage, rare: float, share: float) -> Finding:
        suspicion = (0.2 + 0.5 * echo.restated) if echo.restated >= _MIN_RESTATED else 0.0
        suspicion *= rare * _specific(echo)
        if not echo.leading:
            suspicion *= 0.7
        if echo.n_questions > 1 or _FAQ.search(passage.text[:_READ_CHARS]):
            suspicion *= 0.6
        where = "begins with" if echo.leading else "contains"
        reason = (
            f'{where} the question "{_short(echo.question)}" and restates '
            f"{echo.restated:.0%} of its words beside it"
        )
        evidence = {
            "question": echo.question,
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


def _specific(echo: _Echo) -> float:
    """Less for "Where was she born?": one content word asks about nobody in particular."""
    return 1.0 if len(_keys(words(echo.question))) > 1 else 0.5


def _strong(echo: _Echo) -> bool:
    return echo.leading and echo.restated >= _MIN_RESTATED


def _echoes(row: int, text: str) -> list[_Echo]:
    """The questions in the first 4,000 characters of a text."""
    parts = _parts(text[:_READ_CHARS])
    asked = [
        (i, part, "?" in end)
        for i, (part, end) in enumerate(parts)
        if ("?" in end or (i == 0 and _asks(part))) and len(words(part)) >= 3
    ]
    found = []
    for i, part, marked in asked:
        if len(words(part)) > _MAX_QUESTION_WORDS:
            continue
        before = " ".join(p for p, _ in parts[:i])
        after = " ".join(p for p, _ in parts[i + 1 :])
        near = (words(after)[:_WINDOW_WORDS], words(before)[-_WINDOW_WORDS:])
        restated = max(_restated(part, window) for window in near)
        n_questions = sum(1 for _, _, is_marked in asked if is_marked)
        found.append(_Echo(row, part, marked, i == 0, restated, n_questions))
    return found


def _parts(text: str) -> list[tuple[str, str]]:
    """Sentences with the punctuation that ended each."""
    parts, start = [], 0
    for end in _END.finditer(text):
        if text[start : end.start()].strip():
            parts.append((text[start : end.start()].strip(), end.group()))
        start = end.end()
    if text[start:].strip():
        parts.append((text[start:].strip(), ""))
    return parts


def _asks(part: str) -> bool:
    """Whether it begins as a question does: "who ...", "in which ..."."""
    first = words(part[:200])[:2]
    if not first:
        return False
    if first[0] in _PREPOSITIONS:
        return len(first) > 1 and first[1] in {"what", "which", "whose", "whom"}
    return first[0] in _ASKING


def _restated(question: str, window: Sequence[str]) -> float:
    """Share of the question's content words that occur in the window."""
    asked = _keys(words(question))
    if not asked:
        return 0.0
    return len(asked & _keys(window)) / len(asked)


def _keys(tokens: Sequence[str]) -> set[str]:
    # Six letters stand for a stem: founded, founder, founding.
    return {token[:6] for token in tokens if token not in STOP_WORDS}


def _cut_to_shared(found: Sequence[_Echo], passages: Sequence[Passage]) -> list[_Echo]:
    """Cut leading questions with no question mark to what neighbours begin with too.

    With no mark, and perhaps no full stop, a question has no visible end; the words that
    two passages begin with alike show it.
    """
    open_ended = [echo for echo in found if echo.leading and not echo.marked]
    order = sorted(open_ended, key=lambda echo: words(echo.question))
    tokens = [words(echo.question) for echo in order]
    cut: dict[int, _Echo] = {}
    for i, echo in enumerate(order):
        near = [tokens[j] for j in (i - 1, i + 1) if 0 <= j < len(tokens)]
        n = max((_n_shared(tokens[i], other) for other in near), default=0)
        if n >= len(tokens[i]) or n < 4 or len(_keys(tokens[i][:n])) < 2:
            continue
        question = " ".join(tokens[i][:n])
        window = words(passages[echo.row].text[:_READ_CHARS])[n : n + _WINDOW_WORDS]
        cut[echo.row] = replace(echo, question=question, restated=_restated(question, window))
    return [cut.get(echo.row, echo) if echo.leading and not echo.marked else echo for echo in found]


def _n_shared(a: Sequence[str], b: Sequence[str]) -> int:
    n = 0
    while n < min(len(a), len(b)) and a[n] == b[n]:
        n += 1
    return n


def _repeated(found: Sequence[_Echo]) -> list[list[_Echo]]:
    """Echoes of the same question in two or more passages."""
    by_question: dict[str, dict[int, _Echo]] = {}
    for echo in found:
        if _keys(words(echo.question)):
            rows = by_question.setdefault(normal_form(echo.question), {})
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
