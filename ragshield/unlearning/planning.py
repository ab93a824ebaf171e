"""What is done with a question before a model is asked: refused, asked in part, or asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from ragshield.errors import UsageError
from ragshield.retriever import check_question
from ragshield.unlearning.clauses import answerable
from ragshield.unlearning.query_gate import Focus, QueryGate
from ragshield.unlearning.retrieval_filter import RetrievalFilter
from ragshield.unlearning.speaking import Turn

GateName: TypeAlias = Literal["query", "retrieval", "exact", "attribute", "semantic"]
"""The parts that can be switched: the query gate, the retrieval filter, and the output
gate's three tests."""

GATES: tuple[GateName, ...] = get_args(GateName)
_LONGEST = 200_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done before the model is asked.

    Attributes:
        question: as it came.
        asked: what the model is asked.
        focus: what the question is about.
        audience: who asks.
        history: the turns before, without what they say of targets.
        is_cover: whether it is asked only so that a refusal costs what an answer does.
        is_part: whether it is asked a part of the question.
    """

    question: str
    asked: str
    focus: Focus
    audience: str | None
    history: tuple[Turn, ...]
    is_cover: bool
    is_part: bool


class Planner:
    """Makes a plan for each question.

    Args:
        query_gate: says what a question is about.
        retrieval_filter: takes out of the history what must not reach the model.
        gates: which parts are on.
        refusal: stands in the history where a whole turn was taken out.
        split: whether the parts of a question that may be answered are asked.
    """

    def __init__(
        self,
        query_gate: QueryGate,
        retrieval_filter: RetrievalFilter,
        gates: Sequence[GateName],
        *,
        refusal: str,
        split: bool,
    ) -> None:
        self.query_gate = query_gate
        self.retrieval_filter = retrieval_filter
        self._gates = gates
        self._refusal = refusal
        self._split = split

    def plan(self, question: str, audience: str | None, history: Sequence[Turn]) -> Plan:
        """The plan for a question.

        Raises:
            UsageError: the question is empty or too long, or a turn of the history is none.
        """
        check_question(question)
        if len(question) > _LONGEST:
            raise UsageError(
                f"the question has {len(question)} characters, at most {_LONGEST} are allowed"
            )
        before = tuple(history)
        wrong = [turn for turn in before if len(turn) != 2 or turn[0] not in ("user", "assistant")]
        if wrong:
            raise UsageError("a turn of the history is ('user' or 'assistant', text)")
        asked_before = [said for role, said in before if role == "user"]
        focus = self.query_gate.judge(question, audience=audience, history=asked_before)
        if "query" not in self._gates:
            # What the question is about still tells the output gate where to look.
            weak = {**focus.weak, **focus.refused}
            focus = replace(focus, refused={}, weak=weak)
        rest = self._rest(question, audience, asked_before) if focus.is_refused else None
        return Plan(
            question=question,
            asked=question if rest is None else rest,
            focus=focus,
            audience=audience,
            history=self._past(before, audience),
            is_cover=focus.is_refused and rest is None,
            is_part=rest is not None,
        )

    def _rest(self, question: str, audience: str | None, before: Sequence[str]) -> str | None:
        if not self._split:
            return None
        return answerable(
            question,
            lambda part: self.query_gate.judge(part, audience=audience, history=before).is_refused,
        )

    def _past(self, history: tuple[Turn, ...], audience: str | None) -> tuple[Turn, ...]:
        """The turns before without what they say of targets: a model is told nothing anew."""
        if "retrieval" not in self._gates or not history:
            return history
        shown = self.retrieval_filter.rest([said for _, said in history], audience=audience)
        return tuple(
            (role, text or self._refusal) for (role, _), text in zip(history, shown, strict=True)
        )
