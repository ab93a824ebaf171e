"""Having a language model write an attack's texts: tried, counted, verified."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, TypeAlias

from ragshield.attacks.templates import table
from ragshield.chat import ask, fill, open_chat_model
from ragshield.errors import UsageError
from ragshield.protocols import Reader
from ragshield.records import Passage, Target
from ragshield.text import states

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

Model: TypeAlias = "BaseChatModel | str | None"
"""Any LangChain chat model, `openai:URL#MODEL`, or none."""

_TIMEOUT_S = 60.0
_QUOTES = (('"', '"'), ("'", "'"), ("\u201c", "\u201d"))


@dataclass(frozen=True, slots=True)
class Written:
    """A text that a language model wrote.

    Attributes:
        text: the last one written, on one line and without quotation marks around it.
        accepted: whether it passed every test; else it failed all tries.
        verified: whether a reader shown only this text gave the wrong answer; None =
            not tried.
        n_llm_calls: calls made for it, those for verifying included.
    """

    text: str
    accepted: bool
    verified: bool | None
    n_llm_calls: int


def opened(llm: Model, *, max_tokens: int = 400) -> BaseChatModel | None:
    """The chat model; `openai:URL#MODEL` is opened at temperature 1.

    Temperature 1, as in PoisonedRAG: another try gives another text.

    Raises:
        UsageError: the spec is malformed.
        MissingExtraError: langchain-openai is not installed.
    """
    if isinstance(llm, str):
        return open_chat_model(llm, temperature=1.0, max_tokens=max_tokens, timeout_s=_TIMEOUT_S)
    return llm


def prompt(name: str, **values: str) -> str:
    """A prompt of `writing.toml` with its places filled; braces in the values are text."""
    return fill(table("writing.toml")[name].strip(), values)


def plain(reply: str) -> str:
    """A reply on one line, without quotation marks around it, which would give it away."""
    text = " ".join(reply.split())
    for opening, closing in _QUOTES:
        if len(text) > 1 and text.startswith(opening) and text.endswith(closing):
            return text[1:-1].strip()
    return text


def json_list(reply: str) -> list[object]:
    """The first JSON list in a reply, whatever stands around it; empty if there is none."""
    decoder = json.JSONDecoder()
    at = reply.find("[")
    while at >= 0:
        try:
            found, _ = decoder.raw_decode(reply, at)
        except (json.JSONDecodeError, RecursionError):
            found = None
        if isinstance(found, list) and found:
            return found
        at = reply.find("[", at + 1)
    return []


class Writer:
    """Asks a language model for texts until one passes.

    Args:
        attack: registry name, for messages.
        llm: the chat model, opened.
        max_tries: how often a text is written anew.
        verify: whether each text is tried on a reader shown nothing else.
        verify_with: the reader for that; None for the same language model.
    """

    def __init__(
        self,
        attack: str,
        llm: BaseChatModel | None,
        *,
        max_tries: int,
        verify: bool = False,
        verify_with: Reader | None = None,
    ) -> None:
        self._attack = attack
        self._llm = llm
        self._max_tries = max_tries
        self._verify = verify
        self._verify_with = verify_with

    def ask(self, request: str) -> str:
        """One reply, as it came. One call.

        Raises:
            UsageError: there is no language model.
            IncompleteError: it failed.
        """
        if self._llm is None:
            raise UsageError(
                f"{self._attack}: needs a language model: give llm as openai:URL#MODEL "
                "(ragshield attack --llm)"
            )
        return ask(self._llm, request)

    def write(
        self,
        target: Target,
        request: str,
        *,
        unlike: Collection[str] = (),
        finish: Callable[[str], str] = plain,
    ) -> Written:
        """A text that states the wrong answer and, if asked for, makes a reader give it.

        Args:
            target: what the text is for.
            request: the prompt.
            unlike: texts that it must not repeat; one that does is not verified.
            finish: makes the text of the reply.

        Raises:
            UsageError: there is no language model.
            IncompleteError: it failed.
        """
        text, verified, n_llm_calls = "", None, 0
        for _ in range(self._max_tries):
            text, verified = finish(self.ask(request)), None
            n_llm_calls += 1
            if not states(text, target.wrong_answer) or text in unlike:
                continue
            if not self._verify:
                return Written(text, True, None, n_llm_calls)
            n_llm_calls += self._verify_with is None
            verified = self.answers_wrong(target, text)
            if verified:
                return Written(text, True, True, n_llm_calls)
        return Written(text, False, verified, n_llm_calls)

    def answers_wrong(self, target: Target, text: str) -> bool:
        """Whether the reader, shown only this text, gives the wrong answer."""
        question = target.question.text
        if self._verify_with is not None:
            answer = self._verify_with.answer(question, [Passage("generation-part", text)])
        else:
            shown = files("ragshield.attacks").joinpath("poisonedrag_verify.txt")
            asked = fill(shown.read_text("utf-8").strip(), {"contexts": text, "question": question})
            answer = self.ask(asked)
        return states(answer, target.wrong_answer)

    def lists(self, request: str, *, most: int) -> tuple[list[object], int]:
        """The items of a reply that is a JSON list, and the number of calls it took.

        Asked at most `max_tries` times; empty if no reply held a list.
        """
        for n_calls in range(1, self._max_tries + 1):
            if found := json_list(self.ask(request)):
                return found[:most], n_calls
        return [], self._max_tries


def bullets(texts: Sequence[str]) -> str:
    """Texts as a list for a prompt; `(none)` if there are none."""
    return "\n".join(f"- {text}" for text in texts) or "(none)"
