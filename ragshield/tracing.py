"""Which stored passages caused a wrong answer: traced back through any reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ragshield.errors import UsageError
from ragshield.protocols import Reader, Retriever
from ragshield.records import Action, Finding, Hit
from ragshield.retriever import check_question
from ragshield.text import STOP_WORDS, sentences, states, words

DETECTOR = "trace"
TAXONOMY = ("AML.T0070", "LLM04:2025", "LLM08:2025", "LLM05:2026", "LLM09:2026")
"""MITRE ATLAS RAG Poisoning; OWASP data poisoning and embedding weaknesses, with the year."""

_LONG_ANSWER = 8
_SAME_WORDS = 0.8
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Suspect:
    """One passage in the scope of a trace.

    Attributes:
        hit: the passage and its similarity to the question.
        rank: its place in the retrieval, from 1.
        responsibility: [0, 1], higher = more to blame: the mean of the three below.
        nearness: similarity to the question between the lowest (0) and the highest (1)
            of the scope.
        support: share of the answer's words in its best sentence, 1 if it states it.
        alone: whether the reader gives the answer from this passage alone.
        blamed: whether it belongs to the passages that caused the answer.
    """

    hit: Hit
    rank: int
    responsibility: float
    nearness: float
    support: float
    alone: bool
    blamed: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a wrong answer comes from.

    Attributes:
        question: what was asked.
        answer: the wrong answer that is traced.
        given: what the reader answers now from the best k passages.
        reproduced: whether that is the wrong answer.
        suspects: the passages in scope, most responsible first.
        without: what the reader answers once the blamed passages are taken out.
        explained: whether passages are blamed and the answer is gone without them.
        n_calls: how often the reader was asked.
    """

    question: str
    answer: str
    given: str
    reproduced: bool
    suspects: tuple[Suspect, ...]
    without: str
    explained: bool
    n_calls: int

    @property
    def blamed(self) -> tuple[Suspect, ...]:
        """The passages that caused the answer, most responsible first."""
        return tuple(suspect for suspect in self.suspects if suspect.blamed)

    def findings(self) -> tuple[Finding, ...]:
        """One finding per passage in scope; the blamed ones say drop."""
        return tuple(_finding(suspect) for suspect in self.suspects)


def trace(
    question: str,
    answer: str,
    retriever: Retriever,
    reader: Reader,
    *,
    k: int = 5,
    max_windows: int = 20,
    same: Callable[[str, str], bool] | None = None,
    on_call: Callable[[int], None] | None = None,
) -> Trace:
    """Rank the stored passages by how far they caused a wrong answer.

    The scope: the ranked passages in windows of k, until as many windows give another
    answer as give the wrong one. Each passage in scope is then judged by how near it is
    to the question, how far it states the answer, and whether it leads the reader there
    alone; the mean is its responsibility, and the higher of two clusters is blamed. The
    proof comes last: the blamed are taken out and the reader is asked again; while the
    wrong answer stays, those that still carry it are blamed, too.

    Black box: needs answers, no log-probabilities. Where no passage states the answer or
    leads to it, nobody is blamed: it did not come from this store, or not in one piece.

    Source: RAGOrigin (Zhang et al., S&P 2026, arXiv 2509.13772, sections 4.2 to 4.4).
    Differs: support and the reader's answer from the passage alone take the place of a
    proxy model's two losses; components are scaled to [0, 1], not to z-scores; a passage
    that neither states the answer nor leads to it is never blamed; the counterfactual
    check at the end is ours.

    Args:
        question: what was asked.
        answer: the wrong answer, as short as states it.
        retriever: finds the passages; k x max_windows are asked for.
        reader: answers from passages; asked at most `max_windows` + scope + 5 times.
        k: passages that the reader sees.
        max_windows: bound of the scope.
        same: whether a given answer (first) is the wrong one (second). Default: it states
            it as whole words; of a long one, 80 % of its content words.
        on_call: called with the number of calls so far.

    Raises:
        UsageError: an empty question or answer, k or max_windows < 1.
    """
    check_question(question, k)
    if not words(answer):
        raise UsageError("the wrong answer is empty; give the words that should not be there")
    if max_windows < 1:
        raise UsageError(f"max_windows is {max_windows}; it must be at least 1")
    agrees = same or says
    n_calls = 0

    def asked(hits: Sequence[Hit]) -> str:
        nonlocal n_calls
        n_calls += 1
        if on_call is not None:
            on_call(n_calls)
        return reader.answer(question, [hit.passage for hit in hits])

    hits = retriever.retrieve(question, k * max_windows).hits
    given = asked(hits[:k])
    scope = _scope(hits, k, lambda window: agrees(asked(window), answer))
    alone = [agrees(asked([hit]), answer) for hit in scope]
    support = [_support(hit.text, answer) for hit in scope]
    nearness = _scaled([hit.similarity for hit in scope])
    responsibility = (nearness + np.array(support) + np.array(alone, dtype=float)) / 3
    carries = [a or s >= 1.0 for a, s in zip(alone, support, strict=True)]
    cut = _two_means(responsibility)
    blamed = {
        hit.id
        for hit, value, carried in zip(scope, responsibility, carries, strict=True)
        if carried and value >= cut
    }
    able = {hit.id for hit, carried in zip(scope, carries, strict=True) if carried}
    without = given
    for _ in range(_ROUNDS):
        left = [hit for hit in hits if hit.id not in blamed][:k]
        without = asked(left) if blamed else given
        more = {hit.id for hit in left} & able
        if not blamed or not more or not agrees(without, answer):
            break
        blamed |= more
    suspects = [
        Suspect(
            hit, i + 1, round(float(responsibility[i]), 4), round(float(nearness[i]), 4),
            round(support[i], 4), alone[i], hit.id in blamed,
        )
        for i, hit in enumerate(scope)
    ]  # fmt: skip
    return Trace(
        question=question,
        answer=answer,
        given=given,
        reproduced=agrees(given, answer),
        suspects=tuple(sorted(suspects, key=lambda s: (not s.blamed, -s.responsibility, s.rank))),
        without=without,
        explained=bool(blamed) and not agrees(without, answer),
        n_calls=n_calls,
    )


def says(given: str, answer: str) -> bool:
    """Whether an answer given states another, or most of its words where it is long."""
    if states(given, answer):
        return True
    wanted = {word for word in words(answer) if word not in STOP_WORDS}
    if len(wanted) < _LONG_ANSWER:
        return False
    return len(wanted & set(words(given))) >= _SAME_WORDS * len(wanted)


def _scope(hits: Sequence[Hit], k: int, carries: Callable[[Sequence[Hit]], bool]) -> list[Hit]:
    """The first windows, until half of them no longer give the answer."""
    scope = list(hits[:k])
    n_same, n_other = 1, 0
    for start in range(k, len(hits), k):
        window = hits[start : start + k]
        scope.extend(window)
        if carries(window):
            n_same += 1
        else:
            n_other += 1
        if n_other >= n_same:
            break
    return scope


def _support(text: str, answer: str) -> float:
    if states(text, answer):
        return 1.0
    wanted = {word for word in words(answer) if word not in STOP_WORDS}
    if not wanted:
        return 0.0
    best = max((len(wanted & set(words(part))) for part in sentences(text)), default=0)
    found = best / len(wanted)
    if len(wanted) >= _LONG_ANSWER and found >= _SAME_WORDS:
        return 1.0
    # Some of a name is not the name.
    return 0.5 * found


def _scaled(values: Sequence[float]) -> np.ndarray:
    found = np.nan_to_num(np.array(values, dtype=np.float64))
    if not len(found) or found.max() == found.min():
        return np.ones(len(found))
    scaled: np.ndarray = (found - found.min()) / (found.max() - found.min())
    return scaled


def _two_means(values: np.ndarray) -> float:
    """The smallest value of the higher of two clusters with the least squared error."""
    ordered = np.sort(values)
    if len(ordered) < 2:
        return float(ordered[0]) if len(ordered) else 0.0
    errors = [
        float(((ordered[:i] - ordered[:i].mean()) ** 2).sum())
        + float(((ordered[i:] - ordered[i:].mean()) ** 2).sum())
        for i in range(1, len(ordered))
    ]
    return float(ordered[1 + int(np.argmin(errors))])


def _finding(suspect: Suspect) -> Finding:
    said = ["leads the reader to the answer by itself"] if suspect.alone else []
    if suspect.support >= 1:
        said.append("states the answer")
    elif suspect.support > 0:
        said.append(f"has {200 * suspect.support:.0f} % of its words in one sentence")
    reason = (
        f"rank {suspect.rank} for the question; {'; '.join(said) or 'does not state the answer'}"
    )
    return Finding(
        passage_id=suspect.hit.id,
        suspicion=suspect.responsibility,
        detector=DETECTOR,
        action=Action.DROP if suspect.blamed else Action.KEEP,
        reason=reason,
        evidence={
            "rank": suspect.rank,
            "similarity": round(suspect.hit.similarity, 4),
            "nearness": suspect.nearness,
            "support": suspect.support,
            "alone": suspect.alone,
            "taxonomy": list(TAXONOMY),
        },
    )
