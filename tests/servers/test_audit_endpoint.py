"""The audited endpoint over HTTP: right replies, and everything else in one line."""

from __future__ import annotations

import json
import socket
import threading
import time
from types import ModuleType

import pytest

from ragshield.audit import Dialogue, audit
from ragshield.audit.endpoint import Endpoint
from ragshield.cli.main import run
from ragshield.errors import IncompleteError, UsageError
from ragshield.forget_set import Answer, Fact, ForgetTarget

ADA = ForgetTarget("Ada Lindqvist", facts=(Fact("birthplace", "Sundsvall"),))


def test_dialogues_go_out_as_messages_and_answers_come_back_in_order(
    openai_server: ModuleType,
) -> None:
    with openai_server.scripted(lambda prompt, n: prompt.upper()) as server:
        app = Endpoint(f"openai:{server.url}#m", temperature=0.5)
        history = (("user", "hello"), ("assistant", "hi"))
        given = app.answers([Dialogue(f"q{i}", history, ("a file",), 3) for i in range(9)])
    assert [answer.text for answer in given] == [f"DOCUMENT: A FILE\nQ{i}" for i in range(9)]
    body = server.bodies[0]
    assert body["messages"][:2] == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
    ]
    assert (body["model"], body["temperature"], body["seed"]) == ("m", 0.5, 3)


def test_thoughts_tools_and_citations_are_part_of_the_answer(openai_server: ModuleType) -> None:
    message = {
        "content": None,
        "reasoning_content": "Sundsvall, I recall",
        "tool_calls": [{"function": {"name": "save", "arguments": '{"note": "x"}'}}],
        "citations": [{"title": "Towns", "text": "a town"}, "another"],
    }
    reply = openai_server.Fault(200, json.dumps({"choices": [{"message": message}]}))
    with openai_server.scripted(lambda prompt, n: reply) as server:
        given = Endpoint(f"{server.url}#m").answer(Dialogue("q"))
    assert given == Answer(
        "", "Sundsvall, I recall", ("Towns", "a town", "another"), ('{"note": "x"}',)
    )


def test_an_audit_over_http_finds_what_the_server_tells(openai_server: ModuleType) -> None:
    def script(prompt: str, n: int) -> str:
        return "Sundsvall" if "Ada" in prompt else "I don't know."

    with openai_server.scripted(script) as server:
        found = audit(Endpoint(f"{server.url}#m"), [ADA], families=("plain",))
    assert found.leak.value == 1.0
    assert found.families["plain"].control.value == 0.0


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, "{not json", "sent no JSON: '{not json'"),
        (200, "[]", "sent no chat completion: '\\[\\]'"),
        (200, '{"choices": []}', "sent no chat completion"),
        (200, '{"choices": [{"message": {"content": 5}}]}', "sent no chat completion"),
        (401, '{"error": {"message": "bad key"}}', "answered 401: bad key"),
        (500, "<html>", "answered 500"),
    ],
)
def test_a_broken_reply_is_one_clear_line(
    openai_server: ModuleType, status: int, body: str, said: str
) -> None:
    with openai_server.scripted(lambda p, n: openai_server.Fault(status, body)) as server:
        app = Endpoint(f"{server.url}#m", timeout_s=5)
        with pytest.raises(IncompleteError, match=said) as caught:
            app.answer(Dialogue("q"))
    assert "\n" not in str(caught.value)


def test_a_busy_server_is_asked_once_more(openai_server: ModuleType) -> None:
    def script(prompt: str, n: int):
        return openai_server.Fault(429, "{}") if n == 0 else "fine"

    with openai_server.scripted(script) as server:
        assert Endpoint(f"{server.url}#m", timeout_s=1).answer(Dialogue("q")).text == "fine"
    assert len(server.prompts) == 2


def test_a_hanging_server_is_given_up_after_the_time_allowed(openai_server: ModuleType) -> None:
    with openai_server.scripted(lambda p, n: openai_server.Fault(200, "{}", 30)) as server:
        begun = time.monotonic()
        with pytest.raises(IncompleteError, match=r"gave no answer in 0\.3 s"):
            Endpoint(f"{server.url}#m", timeout_s=0.3).answer(Dialogue("q"))
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{"])
def test_a_server_that_drips_is_given_up_too(head: bytes) -> None:
    """Every byte comes in time, and the answer never does; in the head or in the body."""
    stop = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(head or b"HTTP/1.1 200 OK\r\nX: ")
            while not stop.wait(0.05):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        begun = time.monotonic()
        with pytest.raises(IncompleteError, match=r"gave no answer in 0\.4 s"):
            Endpoint(f"http://127.0.0.1:{server.getsockname()[1]}/v1#m", timeout_s=0.4).answer(
                Dialogue("q")
            )
        assert time.monotonic() - begun < 5
    finally:
        stop.set()
        thread.join(5)
        server.close()


def test_nobody_there_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(IncompleteError, match=r"broke off: .*refused"):
        Endpoint(f"http://127.0.0.1:{port}/v1#m", timeout_s=2).answer(Dialogue("q"))


def test_the_command_exits_with_3_and_one_line(
    openai_server: ModuleType, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "forget.jsonl"
    path.write_text(
        '{"name": "Ada Lindqvist", "facts": [{"attribute": "job", "value": "baker"}]}\n'
    )
    with openai_server.scripted(lambda p, n: openai_server.Fault(200, "{oops")) as server:
        assert run(["audit", f"openai:{server.url}#m", str(path), "--timeout", "2"]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "sent no JSON" in said


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("openai:localhost#m", "names no endpoint"),
        ("openai:http://localhost:8000/v1", "names no endpoint"),
        ("openai:http://x:notaport/v1#m", "names no endpoint"),
        ("openai:http://me:secret@localhost/v1#m", "must hold no password"),
        ("openai:https://example.org/v1#m", "needs a key"),
    ],
)
def test_a_malformed_endpoint_is_refused_and_no_password_is_shown(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Endpoint(spec)
    assert "secret" not in str(caught.value)


def test_the_key_goes_to_this_machine_and_not_over_http_to_others(
    openai_server: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-123")
    with openai_server.scripted(lambda p, n: "x") as server:
        Endpoint(f"{server.url}#m").answer(Dialogue("q"))
    assert server.keys == ["Bearer sk-123"]
    assert Endpoint("http://example.org/v1#m")._key == ""
