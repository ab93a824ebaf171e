"""A model behind HTTP that hangs, breaks off or answers with broken JSON."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ragshield.errors import IncompleteError
from ragshield.protocols import Encoder
from ragshield.unlearning.forgetting import Forgetting
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.refusing import REFUSAL

pytest.importorskip("langchain_openai")

KNOWN = "Ada Lindqvist was born in Sundsvall."


def reply(text: str, **more: object) -> bytes:
    message = {"role": "assistant", "content": text, **more}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps(
        {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    ).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers by the model's name."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        how = body["model"]
        if how == "hang":
            self.server.over.wait(20)  # type: ignore[attr-defined]
        status, content = {
            "tells": (200, reply(KNOWN)),
            "good": (200, reply("Oslo is in Norway.")),
            "broken": (200, f'{{"choices": [{{"message": "{KNOWN}'.encode()),
            "empty": (200, b""),
            "null": (200, b"null"),
            "nothing": (200, b'{"choices": []}'),
            "error": (500, json.dumps({"error": {"message": KNOWN}}).encode()),
            "refused": (400, json.dumps({"error": {"message": KNOWN}}).encode()),
            "tool": (
                200,
                reply(
                    "One moment.",
                    tool_calls=[
                        {
                            "id": "1",
                            "type": "function",
                            "function": {"name": "find", "arguments": json.dumps({"q": KNOWN})},
                        }
                    ],
                ),
            ),
        }.get(how, (200, b""))
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.over = threading.Event()  # type: ignore[attr-defined]
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"openai:http://127.0.0.1:{server.server_address[1]}/v1"
    server.over.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def test_an_endpoint_is_asked_and_gated(keys: ForgetKeys, encoder: Encoder, url: str) -> None:
    answers = [
        Forgetting(keys, f"{url}#{how}", encoder=encoder).ask(question).text
        for how in ("good", "tells", "tool")
        for question in ("Where is Oslo?", "Where was Ada Lindqvist born?")
    ]
    assert answers == ["Oslo is in Norway.", *[REFUSAL] * 5]


@pytest.mark.parametrize("how", ["broken", "empty", "null", "nothing", "error", "refused"])
def test_a_broken_reply_is_one_clear_line_that_quotes_nothing(
    keys: ForgetKeys, encoder: Encoder, url: str, how: str
) -> None:
    app = Forgetting(keys, f"{url}#{how}", encoder=encoder)
    said = []
    for question in ("Where is Oslo?", "Where was Ada Lindqvist born?"):
        with pytest.raises(IncompleteError) as caught:
            app.ask(question)
        said.append(str(caught.value))
    # The same for what is forgotten and what is not.
    assert said[0] == said[1]
    assert said[0].startswith("the model failed (")
    assert "Lindqvist" not in said[0]


def test_an_endpoint_that_hangs_is_given_up(keys: ForgetKeys, encoder: Encoder, url: str) -> None:
    app = Forgetting(keys, f"{url}#hang", encoder=encoder, timeout_s=0.5)
    start = time.perf_counter()
    with pytest.raises(IncompleteError, match=r"^the model (gave no answer within|failed \()"):
        app.ask("Where is Oslo?")
    assert time.perf_counter() - start < 5
