"""The chat reader over HTTP: right replies, late ones, broken ones."""

from __future__ import annotations

import time
from types import ModuleType

import pytest

from ragshield.chat import open_chat_model
from ragshield.errors import IncompleteError
from ragshield.readers import open_reader
from ragshield.readers.chat import ChatReader, openai_reader
from ragshield.records import Passage

QUESTION = "Who founded Brackwater Mills?"
PASSAGES = [Passage("1", "Ida Holm founded it."), Passage("2", "It stands by a weir.")]
KEY = "sk-very-secret-0123456789"


def test_the_prompt_is_poisonedrags_with_the_contexts_line_by_line(
    openai_server: ModuleType,
) -> None:
    with openai_server.scripted(lambda prompt, n: "  Ida Holm\n") as server:
        assert open_reader(f"openai:{server.url}#m").answer(QUESTION, PASSAGES) == "Ida Holm"
    [prompt] = server.prompts
    assert prompt.startswith("You are a helpful assistant, below is a query from a user")
    assert prompt.endswith(
        "\n\nContexts: Ida Holm founded it.\nIt stands by a weir."
        "\n\nQuery: Who founded Brackwater Mills?\n\nAnswer:"
    )
    [body] = server.bodies
    assert body["model"] == "m"
    assert body["temperature"] == 0.1
    assert body["max_completion_tokens"] == 150


async def test_the_asynchronous_answer_is_the_same(openai_server: ModuleType) -> None:
    with openai_server.scripted(lambda prompt, n: f"{len(prompt)}") as server:
        reader = openai_reader(f"{server.url}#m")
        assert await reader.aanswer(QUESTION, PASSAGES) == reader.answer(QUESTION, PASSAGES)


def test_braces_in_a_passage_are_shown_as_they_are(openai_server: ModuleType) -> None:
    hostile = [Passage("1", "{question} {contexts} {0} {")]
    with openai_server.scripted(lambda prompt, n: "ok") as server:
        openai_reader(f"{server.url}#m").answer(QUESTION, hostile)
    assert "Contexts: {question} {contexts} {0} {\n\nQuery: Who founded" in server.prompts[0]


def test_only_the_first_passages_are_shown_when_there_is_a_limit(
    openai_server: ModuleType,
) -> None:
    with openai_server.scripted(lambda prompt, n: "ok") as server:
        openai_reader(f"{server.url}#m", max_passages=1).answer(QUESTION, PASSAGES)
    assert "Contexts: Ida Holm founded it.\n\nQuery:" in server.prompts[0]


@pytest.mark.parametrize(("question", "passages"), [(QUESTION, []), ("  ", PASSAGES)])
async def test_with_nothing_to_read_the_model_is_not_asked(
    openai_server: ModuleType, question: str, passages: list[Passage]
) -> None:
    with openai_server.scripted(lambda prompt, n: "from memory") as server:
        reader = openai_reader(f"{server.url}#m")
        assert reader.answer(question, passages) == "I don't know"
        assert await reader.aanswer(question, passages) == "I don't know"
    assert server.prompts == []


def test_a_server_error_is_tried_again(openai_server: ModuleType) -> None:
    def script(prompt: str, n: int):
        return openai_server.Fault(500, '{"error": {"message": "busy"}}') if n == 0 else "Ida Holm"

    with openai_server.scripted(script) as server:
        assert openai_reader(f"{server.url}#m").answer(QUESTION, PASSAGES) == "Ida Holm"
    assert len(server.prompts) == 2


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, '{"error": {"message": "out of memory"}}'),
        (200, "{not json"),
        (200, "{}"),
        (200, '{"choices": []}'),
        (200, "null"),
        (404, "no such model"),
    ],
)
async def test_a_server_that_fails_for_good_is_one_clear_line(
    openai_server: ModuleType, status: int, body: str
) -> None:
    with openai_server.scripted(lambda prompt, n: openai_server.Fault(status, body)) as server:
        reader = _impatient(server.url)
        with pytest.raises(IncompleteError, match=r"^the chat model at http\S+ failed \(") as sync:
            reader.answer(QUESTION, PASSAGES)
        with pytest.raises(IncompleteError, match=r"^the chat model at http\S+ failed \("):
            await reader.aanswer(QUESTION, PASSAGES)
    assert "\n" not in str(sync.value)
    assert sync.value.exit_code == 3


async def test_a_server_that_does_not_answer_is_given_up(openai_server: ModuleType) -> None:
    with openai_server.scripted(lambda prompt, n: openai_server.Fault(delay_s=60)) as server:
        reader = _impatient(server.url)
        start = time.monotonic()
        with pytest.raises(IncompleteError, match=r"failed \(\w*Timeout"):
            reader.answer(QUESTION, PASSAGES)
        with pytest.raises(IncompleteError, match=r"failed \(\w*Timeout"):
            await reader.aanswer(QUESTION, PASSAGES)
        assert time.monotonic() - start < 20


def test_no_server_at_all_is_one_clear_line() -> None:
    with pytest.raises(IncompleteError, match=r"at http://127.0.0.1:9/v1 failed .*Connection"):
        _impatient("http://127.0.0.1:9/v1").answer(QUESTION, PASSAGES)


def test_the_key_is_sent_and_never_shown_not_even_when_the_server_repeats_it(
    openai_server: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    fault = openai_server.Fault(401, f'{{"error": {{"message": "bad key {KEY}"}}}}')
    with openai_server.scripted(lambda prompt, n: fault) as server:
        reader = _impatient(server.url)
        with pytest.raises(IncompleteError, match=r"bad key \*\*\*") as failure:
            reader.answer(QUESTION, PASSAGES)
    assert server.keys == [f"Bearer {KEY}"]
    error: BaseException | None = failure.value
    assert KEY not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert KEY not in repr(reader.__dict__)


def test_without_a_key_this_machine_gets_a_placeholder(openai_server: ModuleType) -> None:
    with openai_server.scripted(lambda prompt, n: "ok") as server:
        _impatient(server.url).answer(QUESTION, PASSAGES)
    assert server.keys == ["Bearer none"]


def _impatient(url: str) -> ChatReader:
    return ChatReader(
        open_chat_model(f"openai:{url}#m", temperature=0, max_tokens=9, timeout_s=1, max_retries=0)
    )
