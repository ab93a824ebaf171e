"""A reader that asks a chat model."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ragshield.chat import (
    Reply,
    aask_counted,
    ask_counted,
    check_prompt,
    fill,
    open_chat_model,
)
from ragshield.errors import IncompleteError, MissingExtraError, UsageError
from ragshield.readers.extractive import UNKNOWN
from ragshield.readers.ledger import Ledger, Usage, Written, parts
from ragshield.records import Passage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0


class ChatReader:
    """Answer with any LangChain chat model, in PoisonedRAG's question-answering prompt.

    Source: Zou et al., USENIX Security 2025, arXiv 2402.07867; prompt as in
    sleeepeer/PoisonedRAG@168d189: contexts joined by line ends, a short answer asked for.

    Differs: without passages the model is not asked and the answer is "I don't know",
    so that what a model knows by heart never passes for an answer from passages.

    Args:
        model: any LangChain chat model; its own time limit and retries hold as well.
        prompt: text with the places {contexts} and {question}; None for the one above.
        max_passages: only the first so many are shown; None for all.
        timeout_s: seconds for each attempt; None leaves it to the model. A model that
            is not asynchronous goes on in a thread of its own when it is given up.
        n_retries: further attempts after a failure, with growing pauses.
        n_at_once: questions that `answers` and `aanswers` ask at the same time.
        cache: a file that keeps answers between runs; None = every question is asked.
            With one, a model that draws its words says the same again.

    Raises:
        InputError: the cache is no cache.
        ValueError: the prompt lacks a place, or a number is out of range.
    """

    name: ClassVar[str] = "chat"

    def __init__(
        self,
        model: BaseChatModel,
        *,
        prompt: str | None = None,
        max_passages: int | None = None,
        timeout_s: float | None = None,
        n_retries: int = 0,
        n_at_once: int = 4,
        cache: Path | str | None = None,
    ) -> None:
        for name, value, least in (
            ("max_passages", max_passages, 1),
            ("n_retries", n_retries, 0),
            ("n_at_once", n_at_once, 1),
        ):
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}; it must be at least {least}")
        if timeout_s is not None and timeout_s <= 0:
            raise ValueError(f"timeout_s is {timeout_s}; it must be above 0, or None")
        if prompt is None:
            prompt = files("ragshield.readers").joinpath("chat_prompt.txt").read_text("utf-8")
        self._prompt = check_prompt(prompt.strip(), ("contexts", "question"))
        self._model = model
        self._max_passages = max_passages
        self._timeout_s = timeout_s
        self._n_retries = n_retries
        self._n_at_once = n_at_once
        self._ledger = Ledger(_identity(model), cache=cache, n_kept=4096 if cache else 0)

    @property
    def usage(self) -> Usage:
        """What asking cost so far, in the tokens that the model itself counts."""
        return self._ledger.usage

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        """The model's answer.

        Raises:
            IncompleteError: the model failed or took too long, in every attempt.
        """
        return self.answers([question], [passages])[0]

    async def aanswer(self, question: str, passages: Sequence[Passage]) -> str:
        """`answer`, without blocking the event loop."""
        return (await self.aanswers([question], [passages]))[0]

    def answers(self, questions: Sequence[str], passages: Sequence[Sequence[Passage]]) -> list[str]:
        """Answers to many questions, each with its own passages; equal ones are asked once.

        Raises:
            UsageError: not as many lists of passages as questions.
            IncompleteError: the model failed; answers that came before are in the cache.
        """
        prompts, found = self._begin(questions, passages)
        new = [prompt for part in parts(prompts, found, 1) for prompt in part]
        if len(new) == 1:
            found[new[0]] = self._written(new[0])
        elif new:
            with ThreadPoolExecutor(min(self._n_at_once, len(new))) as pool:
                found |= zip(new, pool.map(self._written, new), strict=True)
        return [UNKNOWN if prompt is None else found[prompt] for prompt in prompts]

    async def aanswers(
        self, questions: Sequence[str], passages: Sequence[Sequence[Passage]]
    ) -> list[str]:
        """`answers`, without blocking the event loop."""
        prompts, found = self._begin(questions, passages)
        new = [prompt for part in parts(prompts, found, 1) for prompt in part]
        gate = asyncio.Semaphore(self._n_at_once)

        async def written(prompt: str) -> str:
            async with gate:
                return await self._awritten(prompt)

        tasks = [asyncio.create_task(written(prompt)) for prompt in new]
        try:
            found |= zip(new, await asyncio.gather(*tasks), strict=True)
        finally:
            for task in tasks:
                task.cancel()
        return [UNKNOWN if prompt is None else found[prompt] for prompt in prompts]

    def _begin(
        self, questions: Sequence[str], passages: Sequence[Sequence[Passage]]
    ) -> tuple[list[str | None], dict[str, str]]:
        """Each question's prompt, and the answers that are known already."""
        if len(questions) != len(passages):
            raise UsageError(f"{len(questions)} questions with {len(passages)} lists of passages")
        prompts = [self._shown(q, given) for q, given in zip(questions, passages, strict=True)]
        return prompts, self._ledger.known(p for p in prompts if p is not None)

    def _written(self, prompt: str) -> str:
        for wait_s in self._waits():
            try:
                reply = within(self._timeout_s, lambda: ask_counted(self._model, prompt))
            except IncompleteError:
                if wait_s is None:
                    raise
                self._ledger.count_retry()
                time.sleep(wait_s)
            else:
                return self._kept(prompt, reply)
        raise AssertionError("unreachable")

    async def _awritten(self, prompt: str) -> str:
        for wait_s in self._waits():
            try:
                asked = aask_counted(self._model, prompt)
                try:
                    reply = await asyncio.wait_for(asked, self._timeout_s)
                except TimeoutError:
                    raise _late(self._timeout_s) from None
            except IncompleteError:
                if wait_s is None:
                    raise
                self._ledger.count_retry()
                await asyncio.sleep(wait_s)
            else:
                return self._kept(prompt, reply)
        raise AssertionError("unreachable")

    def _waits(self) -> list[float | None]:
        """The pause after each attempt that fails; None after the last."""
        pauses = [min(_FIRST_WAIT_S * 2**i, _LONGEST_WAIT_S) for i in range(self._n_retries)]
        return [*pauses, None]

    def _kept(self, prompt: str, reply: Reply) -> str:
        self._ledger.keep(prompt, Written(*reply))
        return reply.text

    def _shown(self, question: str, passages: Sequence[Passage]) -> str | None:
        texts = [passage.text for passage in passages[: self._max_passages] if passage.text.strip()]
        if not texts or not question.strip():
            return None
        return fill(self._prompt, {"contexts": "\n".join(texts), "question": question})


def within(seconds: float | None, call: Callable[[], Reply]) -> Reply:
    """What a call gives, if it comes in time; one that is late ends by itself, unheard.

    Raises:
        IncompleteError: it did not come in time.
    """
    if seconds is None:
        return call()
    done: queue.SimpleQueue[Reply | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put(call())
        except BaseException as error:  # raised again where it is waited for
            done.put(error)

    here = contextvars.copy_context()  # callbacks of the caller hear what the model does
    threading.Thread(target=lambda: here.run(run), daemon=True).start()
    try:
        found = done.get(timeout=seconds)
    except queue.Empty:
        raise _late(seconds) from None
    if isinstance(found, BaseException):
        raise found
    return found


def _late(seconds: float | None) -> IncompleteError:
    return IncompleteError(f"the chat model gave no answer within {seconds or 0:g} s")


def _identity(model: BaseChatModel) -> str:
    """What tells this model and its settings from another, without any key."""
    names = """model_name model model_id openai_api_base base_url temperature top_p
        max_tokens seed""".split()
    settings = [(name, getattr(model, name, None)) for name in names]
    told = [f"{name}={v}" for name, v in settings if isinstance(v, str | int | float)]
    text = " ".join([type(model).__qualname__, *told])
    return f"chat {hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def openai_reader(
    model: str,
    *,
    temperature: float = 0.1,
    max_tokens: int = 150,
    timeout_s: float = 60.0,
    max_passages: int | None = None,
    n_at_once: int = 4,
    cache: Path | str | None = None,
) -> ChatReader:
    """Answer through a server that speaks OpenAI's protocol: openai:URL#MODEL.

    The defaults are those of PoisonedRAG's released evaluation.

    Args:
        model: `URL#MODEL`, for example `http://localhost:8000/v1#tiny`.
        temperature: of sampling, 0 = always the likeliest word.
        max_tokens: longest answer.
        timeout_s: seconds to wait for each of three attempts.
        max_passages: only the first so many are shown; None for all.
        n_at_once: questions that `answers` asks at the same time.
        cache: a file that keeps answers between runs; None = every question is asked.

    Raises:
        UsageError: the URL or the model is missing, or a key is needed and not set.
        MissingExtraError: langchain-openai is not installed.
    """
    chat = open_chat_model(
        model, temperature=temperature, max_tokens=max_tokens, timeout_s=timeout_s
    )
    return ChatReader(chat, max_passages=max_passages, n_at_once=n_at_once, cache=cache)


def langchain_reader(
    model: str,
    *,
    temperature: float = 0.1,
    max_tokens: int = 150,
    timeout_s: float = 60.0,
    n_retries: int = 2,
    max_passages: int | None = None,
    n_at_once: int = 4,
    cache: Path | str | None = None,
) -> ChatReader:
    """Answer with a chat model that LangChain opens by name: langchain:PROVIDER:MODEL.

    Args:
        model: `PROVIDER:MODEL` as `langchain.chat_models.init_chat_model` takes it, for
            example `ollama:llama3.2`; keys and addresses come from the environment that
            the provider's package reads.
        temperature: of sampling, 0 = always the likeliest word.
        max_tokens: longest answer.
        timeout_s: seconds to wait for each attempt.
        n_retries: further attempts after a failure.
        max_passages: only the first so many are shown; None for all.
        n_at_once: questions that `answers` asks at the same time.
        cache: a file that keeps answers between runs; None = every question is asked.

    Raises:
        UsageError: there is no such model, or the provider refuses the settings.
        MissingExtraError: langchain or the provider's package is not installed.
    """
    if not all(model.partition(":")):
        raise UsageError(f"chat model '{model}' is not PROVIDER:MODEL, such as ollama:llama3.2")
    try:
        from langchain.chat_models import init_chat_model

        opened: Any = init_chat_model(model, temperature=temperature, max_tokens=max_tokens)
    except ImportError as error:
        cause = str(error).splitlines()[0][:160]
        raise MissingExtraError(
            f"langchain: needs langchain and the provider's package: {cause}"
        ) from error
    # Every provider's package refuses settings, and missing keys, with errors of its own.
    except Exception as error:
        raise UsageError(
            f"chat model '{model}' cannot be opened ({type(error).__name__})"
        ) from None
    return ChatReader(
        cast("BaseChatModel", opened),
        timeout_s=timeout_s,
        n_retries=n_retries,
        max_passages=max_passages,
        n_at_once=n_at_once,
        cache=cache,
    )
