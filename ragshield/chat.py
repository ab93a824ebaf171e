"""Asking a chat model: any LangChain one, or a server that speaks OpenAI's protocol."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ragshield.errors import IncompleteError, MissingExtraError, UsageError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_FORM = "openai:URL#MODEL, for example openai:http://localhost:8000/v1#tiny"
_SLOT = re.compile(r"\{(\w+)\}")
_SECRET = re.compile(r"\b(?:sk|key|pk)-[\w*.-]{4,}|(?<=Bearer )\S+|(?<=://)[^/\s@]+(?=@)")


def open_chat_model(
    spec: str, *, temperature: float, max_tokens: int, timeout_s: float, max_retries: int = 2
) -> BaseChatModel:
    """A chat model behind an OpenAI-compatible server.

    The key is read from OPENAI_API_KEY. It is sent over https, and over http to this
    machine only; a server elsewhere without https gets a placeholder.

    Args:
        spec: `openai:URL#MODEL`, where URL is what comes before `/chat/completions`.
        temperature: of sampling, 0 = always the likeliest word.
        max_tokens: longest reply.
        timeout_s: seconds to wait for each attempt.
        max_retries: further attempts after a timeout, a refused connection or an error
            of the server.

    Raises:
        UsageError: the spec is malformed, holds a password, or https and no key is set.
        MissingExtraError: langchain-openai is not installed.
    """
    url, model = _parse(spec)
    parts = urlsplit(url)
    local = _is_local(parts.hostname or "")
    key = os.environ.get("OPENAI_API_KEY", "") if local or parts.scheme == "https" else "none"
    if not key and not local:
        raise UsageError(
            f"{parts.hostname} needs a key: set the environment variable OPENAI_API_KEY"
        )
    try:
        import httpx
        from langchain_openai import ChatOpenAI
    except ImportError as error:
        raise MissingExtraError(
            "openai: needs langchain-openai: pip install 'ragshield[openai]'"
        ) from error
    clients: dict[str, Any] = {}
    if local:  # a proxy would not find this machine's own server
        clients = {
            "http_client": httpx.Client(trust_env=False),
            "http_async_client": httpx.AsyncClient(trust_env=False),
        }
    return ChatOpenAI(
        model=model,
        base_url=url,
        api_key=lambda: key or "none",
        temperature=temperature,
        max_completion_tokens=max_tokens,
        timeout=timeout_s,
        max_retries=max_retries,
        use_responses_api=False,
        **clients,
    )


class Reply(NamedTuple):
    """What a chat model sent back.

    Attributes:
        text: stripped.
        n_tokens_in: tokens of the prompt, as the model counts them; None = not told.
        n_tokens_out: tokens of the reply; None = not told.
    """

    text: str
    n_tokens_in: int | None = None
    n_tokens_out: int | None = None


def ask(model: BaseChatModel, prompt: str) -> str:
    """The reply to one message, stripped.

    Raises:
        IncompleteError: the model failed or gave no reply in the time that it allows.
    """
    return ask_counted(model, prompt).text


async def aask(model: BaseChatModel, prompt: str) -> str:
    """`ask`, without blocking the event loop."""
    return (await aask_counted(model, prompt)).text


def ask_counted(model: BaseChatModel, prompt: str) -> Reply:
    """The reply to one message, with its tokens.

    Raises:
        IncompleteError: the model failed or gave no reply in the time that it allows.
    """
    try:
        message = model.invoke(prompt)
    # A chat model is anybody's code: every library raises its own kinds.
    except Exception as error:
        raise _failure(model, error) from None
    return _reply(message)


async def aask_counted(model: BaseChatModel, prompt: str) -> Reply:
    """`ask_counted`, without blocking the event loop."""
    try:
        message = await model.ainvoke(prompt)
    except Exception as error:
        raise _failure(model, error) from None
    return _reply(message)


def check_prompt(prompt: str, needed: tuple[str, ...]) -> str:
    """A prompt that has a place for everything it must hold.

    Raises:
        ValueError: a place is missing; the message names it.
    """
    missing = [name for name in needed if f"{{{name}}}" not in prompt]
    if missing:
        raise ValueError(f"the prompt has no {{{missing[0]}}}; it needs: {', '.join(needed)}")
    return prompt


def fill(prompt: str, values: Mapping[str, str]) -> str:
    """Put values into their places, all at once: braces inside a value stay as they are."""
    return _SLOT.sub(lambda match: values.get(match[1], match[0]), prompt)


def _parse(spec: str) -> tuple[str, str]:
    rest = spec.removeprefix("openai:")
    url, _, model = rest.partition("#")
    try:
        parts = urlsplit(url)
        named = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or True)
    except ValueError:
        named = False
    if not named:
        raise UsageError(
            f"chat model '{_redacted(spec)}' names no http(s) URL; write it as {_FORM}"
        )
    if parts.username or parts.password:
        raise UsageError("a chat model's URL must hold no password: set OPENAI_API_KEY instead")
    if not model:
        raise UsageError(f"chat model '{spec}' names no model after '#'; write it as {_FORM}")
    return url.rstrip("/"), model


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _reply(message: Any) -> Reply:
    told = getattr(message, "usage_metadata", None) or {}
    return Reply(str(message.text).strip(), told.get("input_tokens"), told.get("output_tokens"))


def _failure(model: BaseChatModel, error: Exception) -> IncompleteError:
    url = getattr(model, "openai_api_base", None)
    where = f" at {_redacted(url)}" if isinstance(url, str) else ""
    cause = " ".join(_redacted(str(error)).split())
    cause = f": {cause[:200]}" if cause else ""
    return IncompleteError(f"the chat model{where} failed ({type(error).__name__}{cause})")


def _redacted(text: str) -> str:
    for name, value in os.environ.items():
        if name.endswith(("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")) and len(value) >= 6:
            text = text.replace(value, "***")
    return _SECRET.sub("***", text)
