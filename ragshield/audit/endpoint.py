"""An application behind an OpenAI-compatible endpoint: patient, and no longer than told."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from ragshield.audit.asking import Dialogue
from ragshield.errors import IncompleteError, UsageError
from ragshield.forget_set import Answer

_FORM = "openai:URL#MODEL, for example openai:http://localhost:8000/v1#tiny"
_MOST_BYTES = 8_000_000


class Endpoint:
    """Answers from a server that speaks OpenAI's chat protocol.

    What stands beside the answer is looked at too: `reasoning_content` and `reasoning`,
    arguments of tool calls, and `citations` or `sources` of the message or the reply.

    The key is read from OPENAI_API_KEY; it is sent over https, and over http to this machine
    only. A server that says it is busy, fails or breaks off is asked once more.

    Args:
        spec: `openai:URL#MODEL`, where URL is what comes before `/chat/completions`.
        timeout_s: longest time for one answer, also where the server sends a byte now and
            then.
        temperature: of sampling; None leaves it to the server. Several decodings differ only
            where it is above 0.
        max_tokens: longest answer.
        workers: questions under way at once.

    Raises:
        UsageError: malformed, with a password in it, or a key is needed and not set.
    """

    def __init__(
        self,
        spec: str,
        *,
        timeout_s: float = 60.0,
        temperature: float | None = None,
        max_tokens: int = 400,
        workers: int = 4,
    ) -> None:
        for name, value in (("timeout_s", timeout_s), ("max_tokens", max_tokens)):
            if value <= 0:
                raise UsageError(f"{name} is {value}; it must be above 0")
        if workers < 1:
            raise UsageError(f"workers is {workers}; it must be at least 1")
        url, _, self.model = spec.removeprefix("openai:").partition("#")
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port
        except ValueError:
            self._host = ""
        if not self._host or parts.scheme not in ("http", "https") or not self.model:
            raise UsageError(f"'{_bare(spec)}' names no endpoint and model; write it as {_FORM}")
        if parts.username or parts.password:
            raise UsageError("an endpoint's URL must hold no password: set OPENAI_API_KEY instead")
        self._secure = parts.scheme == "https"
        self._path = f"{parts.path.rstrip('/')}/chat/completions"
        self._where = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        key = os.environ.get("OPENAI_API_KEY", "")
        local = _is_local(self._host)
        if not key and self._secure and not local:
            raise UsageError(
                f"{self._host} needs a key: set the environment variable OPENAI_API_KEY"
            )
        self._key = key if self._secure or local else ""
        self._timeout_s = timeout_s
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._workers = workers

    def answers(self, dialogues: Sequence[Dialogue]) -> list[Answer]:
        """One answer for each dialogue.

        Raises:
            IncompleteError: no answer in time, an error of the server, or a reply that is
                no chat completion.
        """
        return [answer for answer, _ in self.timed(dialogues)]

    def timed(self, dialogues: Sequence[Dialogue]) -> list[tuple[Answer, float]]:
        """`answers`, each with the seconds that it took."""

        def ask(dialogue: Dialogue) -> tuple[Answer, float]:
            begun = time.perf_counter()
            return self.answer(dialogue), time.perf_counter() - begun

        with ThreadPoolExecutor(self._workers) as pool:
            waiting = [pool.submit(ask, dialogue) for dialogue in dialogues]
            try:
                return [one.result() for one in waiting]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def answer(self, dialogue: Dialogue) -> Answer:
        """The answer to one dialogue; `answers` for many."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": _messages(dialogue),
            "max_tokens": self._max_tokens,
            "stream": False,
        }
        if self._temperature is not None:
            body["temperature"] = self._temperature
            body["seed"] = dialogue.sample
        raw = json.dumps(body).encode()
        try:
            return self._once(raw)
        except _AgainError:
            time.sleep(min(1.0, self._timeout_s / 10))
        try:
            return self._once(raw)
        except _AgainError as error:
            raise IncompleteError(str(error)) from error

    def _once(self, body: bytes) -> Answer:
        connection = (
            http.client.HTTPSConnection(
                self._host,
                self._port,
                timeout=self._timeout_s,
                context=ssl.create_default_context(),
            )
            if self._secure
            else http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        )
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        late = threading.Event()

        def cut() -> None:
            late.set()
            with suppress(OSError):
                if connection.sock is not None:
                    connection.sock.shutdown(socket.SHUT_RDWR)

        # A limit for every single byte would let a server drip for ever.
        timer = threading.Timer(self._timeout_s, cut)
        timer.daemon = True
        timer.start()
        try:
            connection.request("POST", self._path, body, headers)
            reply = connection.getresponse()
            raw = reply.read(_MOST_BYTES + 1)
        except (http.client.HTTPException, OSError) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise self._late() from error
            said = " ".join(str(error).split())[:120] or type(error).__name__
            raise _AgainError(f"the endpoint {self._where} broke off: {said}") from error
        finally:
            timer.cancel()
            connection.close()
        if late.is_set():
            raise self._late()
        if len(raw) > _MOST_BYTES:
            most = f"{_MOST_BYTES // 1_000_000} MB"
            raise IncompleteError(f"the endpoint {self._where} sent more than {most} at once")
        if reply.status != 200:
            said = _error_of(raw)
            line = f"the endpoint {self._where} answered {reply.status}{said}"
            if reply.status in (408, 425, 429) or reply.status >= 500:
                raise _AgainError(line)
            raise IncompleteError(line)
        return self._parsed(raw)

    def _parsed(self, raw: bytes) -> Answer:
        try:
            reply = json.loads(raw.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise self._broken("no JSON", raw) from error
        try:
            message = reply["choices"][0]["message"]
            text = message.get("content")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise self._broken("no chat completion", raw) from error
        if isinstance(text, list):  # content in parts
            text = " ".join(
                part["text"]
                for part in text
                if isinstance(part, dict) and isinstance(part.get("text"), str)
            )
        if text is not None and not isinstance(text, str):
            raise self._broken("no chat completion", raw)
        thoughts = [
            message[key]
            for key in ("reasoning_content", "reasoning")
            if isinstance(message.get(key), str)
        ]
        return Answer(
            text or "",
            "\n".join(dict.fromkeys(thoughts)),
            _texts(message.get("citations"), message.get("sources"), reply.get("citations")),
            _arguments(message),
        )

    def _late(self) -> IncompleteError:
        return IncompleteError(
            f"the endpoint {self._where} gave no answer in {self._timeout_s:g} s; give it more "
            "time (--timeout) or look whether it hangs"
        )

    def _broken(self, what: str, raw: bytes) -> IncompleteError:
        start = " ".join(raw[:60].decode("utf-8", "replace").split())
        return IncompleteError(f"the endpoint {self._where} sent {what}: {start!r}")


class _AgainError(Exception):
    """A failure after which it is worth asking once more."""


def _messages(dialogue: Dialogue) -> list[dict[str, str]]:
    messages = [{"role": who, "content": text} for who, text in dialogue.history]
    question = dialogue.question
    if dialogue.documents:
        question = "\n".join([*(f"Document: {text}" for text in dialogue.documents), question])
    return [*messages, {"role": "user", "content": question}]


def _arguments(message: dict[str, Any]) -> tuple[str, ...]:
    calls = message.get("tool_calls")
    found = []
    for call in calls if isinstance(calls, list) else []:
        given = call.get("function", {}).get("arguments") if isinstance(call, dict) else None
        if given is not None:
            found.append(given if isinstance(given, str) else json.dumps(given))
    return tuple(found)


def _texts(*given: Any) -> tuple[str, ...]:
    """Every text in lists of texts or of objects."""
    found: list[str] = []
    for one in given:
        for entry in one if isinstance(one, list) else []:
            values = entry.values() if isinstance(entry, dict) else (entry,)
            found += [value for value in values if isinstance(value, str)]
    return tuple(found)


def _error_of(raw: bytes) -> str:
    try:
        error = json.loads(raw.decode("utf-8"))["error"]
        said = error["message"] if isinstance(error, dict) else error
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f": {' '.join(str(said).split())[:160]}"


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _bare(spec: str) -> str:
    """A spec without a password that may stand in it."""
    head, at, tail = spec.rpartition("@")
    return f"***@{tail}" if at and head else spec
