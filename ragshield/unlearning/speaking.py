"""Whatever answers questions, asked in one way: chat model, endpoint, reader or function."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.resources import files
from typing import Any, TypeAlias, TypeVar, cast

from ragshield.chat import check_prompt, fill, open_chat_model
from ragshield.errors import IncompleteError, RagshieldError, UsageError
from ragshield.forget_set import Answer
from ragshield.records import Passage

Turn: TypeAlias = tuple[str, str]
"""One turn of a conversation: `user` or `assistant`, and what was said."""

_THOUGHTS = re.compile(r"<think(?:ing)?>(.*?)(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_LONGEST = 400_000
_T = TypeVar("_T")


class Speaker:
    """Asks a model and gives its answer with all that came with it.

    Args:
        model: any LangChain chat model; `openai:URL#MODEL`; a reader (`answer(question,
            passages)`); or a function of a question that gives a text or an `Answer`.
        timeout_s: seconds after which a model that has not answered has failed.
        prompt: text with the places {contexts} and {question}; None for ragshield's.

    Raises:
        UsageError: none of these, or a timeout that is not positive.
        ValueError: the prompt lacks a place.
    """

    def __init__(self, model: Any, *, timeout_s: float = 60.0, prompt: str | None = None) -> None:
        if timeout_s <= 0:
            raise UsageError(f"timeout_s is {timeout_s}, it must be more than 0")
        if isinstance(model, str):
            model = open_chat_model(
                model, temperature=0.0, max_tokens=512, timeout_s=timeout_s, max_retries=0
            )
        self._kind = _kind_of(model)
        self._model = model
        self._timeout_s = timeout_s
        if prompt is None:
            prompt = files("ragshield.unlearning").joinpath("answer.txt").read_text("utf-8")
        self._prompt = check_prompt(prompt.strip(), ("contexts", "question"))

    @property
    def streams(self) -> bool:
        """Whether it gives its answer bit by bit."""
        return self._kind == "chat"

    @property
    def reads(self) -> bool:
        """Whether an instruction has to stand among its passages, being told nothing else."""
        return self._kind == "reader"

    def say(self, question: str, passages: Sequence[str], history: Sequence[Turn] = ()) -> Answer:
        """The answer to a question.

        Raises:
            IncompleteError: the model failed, took too long or gave no answer; the message
                says what kind of failure it was and nothing that the model said.
        """
        return answer_of(self._within(lambda: self._asked(question, passages, history)))

    async def asay(
        self, question: str, passages: Sequence[str], history: Sequence[Turn] = ()
    ) -> Answer:
        """`say` without blocking the event loop."""
        if self._kind != "chat":
            return await asyncio.to_thread(self.say, question, passages, history)
        try:
            call = self._model.ainvoke(self._messages(question, passages, history))
            reply = await asyncio.wait_for(call, self._timeout_s)
        except TimeoutError:
            raise self._late() from None
        except Exception as error:
            raise _failure(error) from None
        return answer_of(reply)

    def stream(
        self, question: str, passages: Sequence[str], history: Sequence[Turn] = ()
    ) -> Iterator[str]:
        """The answer's text bit by bit; whole where the model cannot stream."""
        if self._kind != "chat":
            yield self.say(question, passages, history).text
            return
        try:
            chunks = iter(self._model.stream(self._messages(question, passages, history)))
        except Exception as error:
            raise _failure(error) from None
        while True:
            chunk = self._within(lambda: next(chunks, None))
            if chunk is None:
                return
            yield _chunk_text(chunk)

    async def astream(
        self, question: str, passages: Sequence[str], history: Sequence[Turn] = ()
    ) -> AsyncIterator[str]:
        """`stream` without blocking the event loop."""
        if self._kind != "chat":
            yield (await self.asay(question, passages, history)).text
            return
        chunks = self._model.astream(self._messages(question, passages, history)).__aiter__()
        while True:
            try:
                chunk = await asyncio.wait_for(anext(chunks, None), self._timeout_s)
            except TimeoutError:
                raise self._late() from None
            except Exception as error:
                raise _failure(error) from None
            if chunk is None:
                return
            yield _chunk_text(chunk)

    def _asked(self, question: str, passages: Sequence[str], history: Sequence[Turn]) -> Any:
        if self._kind == "reader":
            shown = [Passage(str(i), text) for i, text in enumerate(passages)]
            return self._model.answer(question, shown)
        if self._kind == "chat":
            return self._model.invoke(self._messages(question, passages, history))
        return self._model(question)

    def _messages(
        self, question: str, passages: Sequence[str], history: Sequence[Turn]
    ) -> list[Turn]:
        contexts = "\n\n".join(passages) if passages else "(none)"
        asked = fill(self._prompt, {"contexts": contexts, "question": question})
        roles = {"user": "human", "assistant": "ai"}
        return [*((roles[role], said) for role, said in history), ("human", asked)]

    def _within(self, call: Callable[[], _T]) -> _T:
        """The result of a call, in a thread that cannot keep the process alive."""
        result: list[_T] = []
        failed: list[BaseException] = []

        def work() -> None:
            try:
                result.append(call())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(self._timeout_s)
        if thread.is_alive():
            raise self._late()
        if failed:
            raise _failure(failed[0]) from None
        return result[0]

    def _late(self) -> IncompleteError:
        return IncompleteError(f"the model gave no answer within {self._timeout_s:g} s")


def _kind_of(model: Any) -> str:
    if callable(getattr(model, "invoke", None)):
        return "chat"
    if callable(getattr(model, "answer", None)):
        return "reader"
    if callable(model):
        return "app"
    raise UsageError(
        f"{type(model).__name__} is no model: give a LangChain chat model, openai:URL#MODEL, a "
        "reader or a function of a question"
    )


def _failure(error: BaseException) -> RagshieldError:
    """What went wrong, in words of our own: an error may repeat what the model said."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        raise error
    if isinstance(error, UsageError):
        return error
    return IncompleteError(f"the model failed ({type(error).__name__}); ask again later")


def answer_of(reply: Any) -> Answer:
    """A model's reply as an answer, with thoughts, citations and tools' arguments.

    Raises:
        IncompleteError: it is no text, or unreasonably long.
    """
    if isinstance(reply, Answer):
        answer = reply
    elif isinstance(reply, str):
        answer = Answer(reply)
    elif isinstance(getattr(reply, "text", None), str):
        answer = _of_message(reply)
    else:
        raise IncompleteError(
            f"the model gave no answer, but something of type {type(reply).__name__}"
        )
    if sum(map(len, answer.parts)) > _LONGEST:
        raise IncompleteError(f"the model's answer has more than {_LONGEST} characters")
    thoughts = "\n".join(match[1].strip() for match in _THOUGHTS.finditer(answer.text))
    if not thoughts:
        return answer
    text = _THOUGHTS.sub("", answer.text).strip()
    reasoning = "\n".join(part for part in (answer.reasoning, thoughts) if part)
    return Answer(text, reasoning, answer.citations, answer.tool_arguments)


def _of_message(reply: Any) -> Answer:
    more = cast("dict[str, Any]", getattr(reply, "additional_kwargs", None) or {})
    thoughts = [str(more[k]) for k in ("reasoning_content", "reasoning", "thinking") if more.get(k)]
    cited = [
        c if isinstance(c, str) else json.dumps(c, ensure_ascii=False, default=str)
        for c in more.get("citations") or ()
    ]
    content = getattr(reply, "content", "")
    for block in content if isinstance(content, list) else ():
        if not isinstance(block, dict):
            continue
        if block.get("type") in ("reasoning", "thinking"):
            thoughts.append(json.dumps(block, ensure_ascii=False, default=str))
        elif block.get("type") not in ("text", "output_text", "tool_use", "tool_call"):
            cited.append(json.dumps(block, ensure_ascii=False, default=str))
        cited += [
            json.dumps(a, ensure_ascii=False, default=str)
            for a in block.get("annotations") or block.get("citations") or ()
        ]
    calls = [
        *(getattr(reply, "tool_calls", None) or ()),
        *(getattr(reply, "invalid_tool_calls", None) or ()),
    ]
    arguments = [json.dumps(call.get("args"), ensure_ascii=False, default=str) for call in calls]
    return Answer(str(reply.text), "\n".join(thoughts), tuple(cited), tuple(arguments))


def _chunk_text(chunk: Any) -> str:
    text = chunk if isinstance(chunk, str) else getattr(chunk, "text", "")
    return text if isinstance(text, str) else ""
