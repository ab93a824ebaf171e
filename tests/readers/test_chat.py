from __future__ import annotations

import sys

import pytest

from ragshield.chat import fill, open_chat_model
from ragshield.errors import MissingExtraError, UsageError
from ragshield.readers import open_reader
from ragshield.readers.chat import ChatReader
from ragshield.records import Passage

QUESTION = "Who founded Brackwater Mills?"
PASSAGES = [Passage("1", "Ida Holm founded it."), Passage("2", "It stands by a weir.")]


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("openai", "names no http"),
        ("openai:", "names no http"),
        ("openai:localhost:8000#m", "names no http"),
        ("openai:file:///etc/passwd#m", "names no http"),
        ("openai:http://localhost:99999/v1#m", "names no http"),
        ("openai:http://localhost:8000/v1", "names no model"),
        ("openai:https://api.openai.com/v1#m", "set the environment variable OPENAI_API_KEY"),
        ("openia:http://localhost:8000/v1#m", "did you mean 'openai'"),
    ],
)
def test_a_malformed_name_is_refused_before_anything_is_sent(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_reader(name)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="must hold no password") as failure:
        open_reader("openai:http://me:hunter22@localhost:8000/v1#m")
    assert "hunter22" not in str(failure.value)


def test_a_prompt_without_a_place_for_the_contexts_is_refused() -> None:
    model = open_chat_model(
        "openai:http://localhost:9/v1#m", temperature=0, max_tokens=1, timeout_s=1
    )
    with pytest.raises(ValueError, match=r"has no \{contexts\}"):
        ChatReader(model, prompt="Answer {question}")
    with pytest.raises(ValueError, match="at least 1"):
        ChatReader(model, max_passages=0)


def test_any_langchain_chat_model_can_read() -> None:
    from langchain_core.language_models import FakeListChatModel

    reader = ChatReader(FakeListChatModel(responses=["Ida Holm"]))
    assert reader.answer(QUESTION, PASSAGES) == "Ida Holm"


def test_without_the_extra_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_openai", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ragshield\[openai\]'"):
        open_reader("openai:http://localhost:8000/v1#m")


def test_values_are_put_in_all_at_once_and_unknown_places_stay() -> None:
    assert fill("{a}{b}{c}", {"a": "{b}", "b": "{a}"}) == "{b}{a}{c}"
