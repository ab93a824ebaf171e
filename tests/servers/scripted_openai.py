"""A server on loopback that speaks OpenAI's chat protocol and follows a script.

Real HTTP: what is tested is how a client behaves when replies are late, broken or wrong.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Fault:
    """A reply that is no answer: a status and a raw body, after a delay."""

    status: int = 200
    body: str = "{}"
    delay_s: float = 0.0


Reply = str | Fault
Script = Callable[[str, int], Reply]
"""From the prompt and the number of requests before it to what is sent back."""


@dataclass
class ScriptedServer:
    """What the client sees and what it sent.

    Attributes:
        url: base URL of the API.
        prompts: last message of every request, in order.
        bodies: every request's JSON.
        keys: every request's Authorization header.
    """

    url: str
    prompts: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


@contextmanager
def scripted(script: Script) -> Iterator[ScriptedServer]:
    """Serve until the block ends."""
    stopping = threading.Event()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                before = len(seen.prompts)
                prompt = body["messages"][-1]["content"]
                seen.prompts.append(prompt)
                seen.bodies.append(body)
                seen.keys.append(self.headers.get("Authorization", ""))
            reply = script(prompt, before)
            if isinstance(reply, str):
                reply = Fault(200, json.dumps(_completion(reply, body["model"])))
            stopping.wait(reply.delay_s)
            try:
                self.send_response(reply.status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(reply.body.encode())
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client gave up waiting, which is what some tests are about

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen = ScriptedServer(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield seen
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _completion(text: str, model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "scripted",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
