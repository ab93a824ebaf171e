"""A reader that asks a chat model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, ClassVar

from ragshield.chat import aask, ask, check_prompt, fill, open_chat_model
from ragshield.readers.extractive import UNKNOWN
from ragshield.records import Passage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


class ChatReader:
    """Answer with any LangChain chat model, in PoisonedRAG's question-answering prompt.

    Source: Zou et al., USENIX Security 2025, arXiv 2402.07867; prompt as in
    sleeepeer/PoisonedRAG@168d189: contexts joined by line ends, a short answer asked for.

    Differs: without passages the model is not asked and the answer is "I don't know",
    so that what a model knows by heart never passes for an answer from passages.

    Args:
        model: any LangChain chat model; it keeps its own time limit and retries.
        prompt: text with the places {contexts} and {question}; None for the one above.
        max_passages: only the first so many are shown; None for all.

    Raises:
        ValueError: the prompt lacks a place, or max_passages < 1.
    """

    name: ClassVar[str] = "chat"

    def __init__(
        self, model: BaseChatModel, *, prompt: str | None = None, max_passages: int | None = None
    ) -> None:
        if max_passages is not None and max_passages < 1:
            raise ValueError(f"max_passages is {max_passages}; it must be at least 1, or None")
        if prompt is None:
            prompt = files("ragshield.readers").joinpath("chat_prompt.txt").read_text("utf-8")
        self._prompt = check_prompt(prompt.strip(), ("contexts", "question"))
        self._model = model
        self._max_passages = max_passages

    def answer(self, question: str, passages: Sequence[Passage]) -> str:
        """The model's answer.

        Raises:
            IncompleteError: the model failed or took too long.
        """
        shown = self._shown(question, passages)
        return UNKNOWN if shown is None else ask(self._model, shown)

    async def aanswer(self, question: str, passages: Sequence[Passage]) -> str:
        """`answer`, without blocking the event loop."""
        shown = self._shown(question, passages)
        return UNKNOWN if shown is None else await aask(self._model, shown)

    def _shown(self, question: str, passages: Sequence[Passage]) -> str | None:
        texts = [passage.text for passage in passages[: self._max_passages] if passage.text.strip()]
        if not texts or not question.strip():
            return None
        return fill(self._prompt, {"contexts": "\n".join(texts), "question": question})


def openai_reader(
    model: str,
    *,
    temperature: float = 0.1,
    max_tokens: int = 150,
    timeout_s: float = 60.0,
    max_passages: int | None = None,
) -> ChatReader:
    """Answer through a server that speaks OpenAI's protocol: openai:URL#MODEL.

    The defaults are those of PoisonedRAG's released evaluation.

    Args:
        model: `URL#MODEL`, for example `http://localhost:8000/v1#tiny`.
        temperature: of sampling, 0 = always the likeliest word.
        max_tokens: longest answer.
        timeout_s: seconds to wait for each of three attempts.
        max_passages: only the first so many are shown; None for all.

    Raises:
        UsageError: the URL or the model is missing, or a key is needed and not set.
        MissingExtraError: langchain-openai is not installed.
    """
    chat = open_chat_model(
        model, temperature=temperature, max_tokens=max_tokens, timeout_s=timeout_s
    )
    return ChatReader(chat, max_passages=max_passages)
