"""`Forgetting`: any retriever and model, so that neither tells what is to be forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from ragshield.errors import UsageError
from ragshield.forget_set import Answer
from ragshield.protocols import Encoder
from ragshield.unlearning.critic import Critic
from ragshield.unlearning.decision_log import Action, Decision, DecisionLog
from ragshield.unlearning.keys import ForgetKeys, check_encoder
from ragshield.unlearning.output_gate import Judged, OutputGate
from ragshield.unlearning.planning import GATES, GateName, Plan, Planner
from ragshield.unlearning.query_gate import QueryGate
from ragshield.unlearning.refusing import REFUSAL, is_refusal
from ragshield.unlearning.retrieval_filter import RetrievalFilter
from ragshield.unlearning.retrieving import Found, Source
from ragshield.unlearning.speaking import Speaker, Turn, answer_of
from ragshield.unlearning.streaming import Held, PartJudge

_SPARE = 4


@dataclass(frozen=True, slots=True)
class Given:
    """What is given for a question, and why; the decision is not for who asks."""

    answer: Answer
    decision: Decision


class Forgetting:
    """A retriever and a model that do not tell what is to be forgotten.

    Nothing rests on the model's obedience: questions about targets are not answered from
    what it says, retrieved texts about them do not reach it, and its answer, thoughts,
    citations and tools' arguments are given only where they give nothing away. The
    constraint is applied by this code and stands in no prompt and no store, so there is
    nothing to retrieve or to override.

    All refusals read the same, an application's own "I don't know" included, and by default
    cost the same: the model is asked and its answer thrown away.

    Args:
        keys: of the forget set.
        model: a LangChain chat model, `openai:URL#MODEL`, a reader, or a function of a
            question that gives a text or an `Answer` (an application as it is).
        retriever: a LangChain retriever or a ragshield one; None where the model needs
            none.
        encoder: the one the keys were made with, the gates' own; None goes without
            meaning, by name and value alone.
        gates: which parts are on.
        critic: an optional last judge.
        refusal: what is said where nothing is told.
        even_cost: ask the model also where its answer is not given, so that the time does
            not say so.
        split: answer the parts of a question that may be answered.
        k: passages to retrieve.
        timeout_s: seconds after which a model that has not answered has failed.
        prompt: for a chat model, with the places {contexts} and {question}.
        log: where decisions go, as keyed hashes.

    Raises:
        UsageError: an unknown gate, no model, k < 1 or an empty refusal.
        InputError: the encoder is not the keys' own.
    """

    def __init__(
        self,
        keys: ForgetKeys,
        model: Any,
        *,
        retriever: Any = None,
        encoder: Encoder | None = None,
        gates: Sequence[GateName] = GATES,
        critic: Critic | None = None,
        refusal: str = REFUSAL,
        even_cost: bool = True,
        split: bool = True,
        k: int = 5,
        timeout_s: float = 60.0,
        prompt: str | None = None,
        log: DecisionLog | None = None,
    ) -> None:
        unknown = [gate for gate in gates if gate not in GATES]
        if unknown:
            raise UsageError(f"unknown gate '{unknown[0]}'; allowed: {', '.join(GATES)}")
        if not refusal.strip():
            raise UsageError("the refusal is empty; give a sentence")
        if encoder is not None:
            check_encoder(keys, encoder.name)
        meaning = encoder if "semantic" in gates else None
        self.keys = keys
        self.gates = tuple(gates)
        self.query_gate = QueryGate(keys, encoder)
        self.retrieval_filter = RetrievalFilter(keys, encoder)
        self.output_gate = OutputGate(
            keys, meaning, exact="exact" in gates, attributes="attribute" in gates
        )
        # What one of them has read in a text the others need not read again.
        shared = self.query_gate.recogniser
        self.retrieval_filter.recogniser = self.output_gate.recogniser = shared
        self._speaker = Speaker(model, timeout_s=timeout_s, prompt=prompt)
        self._source = Source(retriever, k, spare=_SPARE if "retrieval" in gates else 1)
        self._k = k
        self._critic = critic
        self._refusal = refusal
        self._even_cost = even_cost
        self._planner = Planner(
            self.query_gate, self.retrieval_filter, self.gates, refusal=refusal, split=split
        )
        self._log = log

    def ask(
        self,
        question: str,
        *,
        audience: str | None = None,
        history: Sequence[Turn] = (),
        documents: Sequence[str] = (),
    ) -> Answer:
        """The answer that an audience may have.

        Args:
            question: any text.
            audience: who asks, as the service knows, never as the question says; None or
                an unknown one: anybody.
            history: turns before this one, as (`user` or `assistant`, text).
            documents: texts that came with the question, filtered like retrieved ones.

        Raises:
            UsageError: the question is empty or longer than 200,000 characters.
            IncompleteError: the model failed or took too long.
        """
        return self.judged(question, audience=audience, history=history, documents=documents).answer

    def __call__(self, question: str) -> Answer:
        """`ask` as anybody."""
        return self.ask(question)

    def judged(
        self,
        question: str,
        *,
        audience: str | None = None,
        history: Sequence[Turn] = (),
        documents: Sequence[str] = (),
    ) -> Given:
        """`ask`, with the decision behind it, which must not reach who asked."""
        plan = self._planner.plan(question, audience, history)
        if plan.is_cover and not self._even_cost:
            return self._refused(plan)
        shown = self._shown(self._source.find(plan.asked), documents, plan)
        answer = self._speaker.say(plan.asked, shown, plan.history)
        return self._given(plan, answer)

    async def aask(
        self,
        question: str,
        *,
        audience: str | None = None,
        history: Sequence[Turn] = (),
        documents: Sequence[str] = (),
    ) -> Answer:
        """`ask` without blocking the event loop."""
        plan = await asyncio.to_thread(self._planner.plan, question, audience, history)
        if plan.is_cover and not self._even_cost:
            return self._refused(plan).answer
        found = await self._source.afind(plan.asked)
        shown = await asyncio.to_thread(self._shown, found, documents, plan)
        answer = await self._speaker.asay(plan.asked, shown, plan.history)
        return (await asyncio.to_thread(self._given, plan, answer)).answer

    def stream(
        self,
        question: str,
        *,
        audience: str | None = None,
        history: Sequence[Turn] = (),
        documents: Sequence[str] = (),
    ) -> Iterator[str]:
        """The answer's text sentence by sentence, none before it has been judged.

        Each sentence is judged together with all before it and the one after it. Where the
        question is near a target, only a part of it is answered, or there is a critic, the
        whole answer is judged before its first word is given. A sentence that fails ends
        the answer.
        """
        plan = self._planner.plan(question, audience, history)
        if plan.is_cover and not self._even_cost:
            yield self._refused(plan).answer.text
            return
        shown = self._shown(self._source.find(plan.asked), documents, plan)
        if self._must_wait(plan):
            answer = self._speaker.say(plan.asked, shown, plan.history)
            yield self._given(plan, answer).answer.text
            return
        held = Held(self._part_judge(plan))
        for piece in self._speaker.stream(plan.asked, shown, plan.history):
            yield from held.add(piece)
            if held.is_over:
                break
        yield from held.end()

    async def astream(
        self,
        question: str,
        *,
        audience: str | None = None,
        history: Sequence[Turn] = (),
        documents: Sequence[str] = (),
    ) -> AsyncIterator[str]:
        """`stream` without blocking the event loop."""
        plan = await asyncio.to_thread(self._planner.plan, question, audience, history)
        if plan.is_cover and not self._even_cost:
            yield self._refused(plan).answer.text
            return
        found = await self._source.afind(plan.asked)
        shown = await asyncio.to_thread(self._shown, found, documents, plan)
        if self._must_wait(plan):
            answer = await self._speaker.asay(plan.asked, shown, plan.history)
            yield (await asyncio.to_thread(self._given, plan, answer)).answer.text
            return
        held = Held(self._part_judge(plan))
        async for piece in self._speaker.astream(plan.asked, shown, plan.history):
            for part in await asyncio.to_thread(lambda: list(held.add(piece))):  # noqa: B023
                yield part
            if held.is_over:
                break
        for part in await asyncio.to_thread(lambda: list(held.end())):
            yield part

    def as_runnable(self, *, audience: str | None = None) -> Any:
        """A LangChain runnable of a question that gives the answer's text."""
        from langchain_core.runnables import RunnableLambda

        def text(question: str) -> str:
            return self.ask(question, audience=audience).text

        async def atext(question: str) -> str:
            return (await self.aask(question, audience=audience)).text

        return RunnableLambda(text, afunc=atext)

    def _shown(self, found: Sequence[Found], documents: Sequence[str], plan: Plan) -> list[str]:
        if "retrieval" not in self.gates:
            return [*documents, *(passage.text for passage in found)]
        left, about, who = self.retrieval_filter.first, plan.focus, plan.audience
        texts = [passage.text for passage in found]
        return [
            *left(documents, len(documents), about, audience=who),
            *left(texts, self._k, about, audience=who),
        ]

    def _must_wait(self, plan: Plan) -> bool:
        near = bool(plan.focus.near or plan.focus.beside or plan.focus.hints)
        return plan.is_cover or plan.is_part or near or self._critic is not None

    def _refused(self, plan: Plan, gates: Sequence[str] = ("query",)) -> Given:
        return self._logged(plan, Answer(self._refusal), "refused", gates, plan.focus.refused)

    def _given(self, plan: Plan, said: Answer) -> Given:
        """What may be given of what a model said."""
        if plan.is_cover:
            return self._refused(plan)
        judged = self.output_gate.judge(said, plan.focus, audience=plan.audience)
        gates = ["query"] if plan.is_part else []
        gates += list(dict.fromkeys(leak.gate for leak in judged.leaks))
        concerned = {**plan.focus.refused, **{leak.target: leak.how for leak in judged.leaks}}
        if judged.answer is not None and self._critic is not None:
            checked = self._criticised(plan, judged.answer)
            if checked is not judged.answer:
                gates.append("critic")
            judged = Judged(checked, judged.leaks)
        answer = judged.answer
        if answer is None or is_refusal(answer.text):
            action: Action = "refused" if answer is None or gates else "answered"
            # Thoughts and citations of an answer that is not given would say why.
            return self._logged(plan, Answer(self._refusal), action, gates, concerned)
        if plan.is_part:
            answer = replace(answer, text=f"{answer.text.rstrip()} {self._refusal}")
            return self._logged(plan, answer, "partly", gates, concerned)
        action = "repaired" if gates else "answered"
        return self._logged(plan, answer, action, gates, concerned)

    def _criticised(self, plan: Plan, answer: Answer) -> Answer | None:
        """The answer if the critic passes it; else mended and judged again; else nothing."""
        critic = cast("Critic", self._critic)
        near = sorted(plan.focus.near)
        if critic.passes(plan.asked, answer.text, near):
            return answer
        mended = Answer(critic.mended(plan.asked, answer.text, near))
        again = self.output_gate.judge(mended, plan.focus, audience=plan.audience)
        if again.answer is None or again.leaks:
            return None
        return mended if critic.passes(plan.asked, mended.text, near) else None

    def _logged(
        self,
        plan: Plan,
        answer: Answer,
        action: Action,
        gates: Sequence[str],
        concerned: dict[int, str],
    ) -> Given:
        decision = Decision(
            action,
            tuple(gates),
            tuple(self.keys.targets[row].id for row in concerned),
            tuple(dict.fromkeys(concerned.values())),
        )
        if self._log is not None:
            self._log.write(plan.question, plan.audience, decision)
        return Given(answer, decision)

    def _part_judge(self, plan: Plan) -> PartJudge:
        def leaks(text: str) -> bool:
            found = self.output_gate.leaks(text, plan.focus, plan.audience)
            if found:
                gates = tuple(dict.fromkeys(leak.gate for leak in found))
                concerned = {leak.target: leak.how for leak in found}
                self._logged(plan, Answer(""), "repaired", gates, concerned)
            return bool(found)

        return PartJudge(
            leaks,
            lambda text: self._given(plan, answer_of(text)).answer.text,
            self._refusal,
            lambda: self._logged(plan, Answer(""), "answered", (), {}),
        )
