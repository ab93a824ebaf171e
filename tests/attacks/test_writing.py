from __future__ import annotations

from types import ModuleType

import pytest

from ragshield.attacks.templates import table
from ragshield.attacks.writing import bullets, json_list, plain, prompt
from ragshield.errors import IncompleteError, UsageError

WRITERS = ("corruptrag-ak", "authchain-llm", "paraphrase", "persona")


@pytest.mark.parametrize(
    ("reply", "items"),
    [
        ('["a", "b"]', ["a", "b"]),
        ('Sure!\n```json\n[["s", "r", "o"]]\n```\nAnything else?', [["s", "r", "o"]]),
        ('See [1] for more: ["a"]', [1]),
        ("[] then [2]", [2]),
        ("no list [ here", []),
        ("[" * 5000, []),
        ("", []),
    ],
)
def test_the_first_json_list_is_found_in_any_reply(reply: str, items: list[object]) -> None:
    assert json_list(reply) == items


@pytest.mark.parametrize(
    ("reply", "text"),
    [('"It is so."', "It is so."), ("“It\nis so.”", "It is so."), ('"a" or "b', '"a" or "b')],
)
def test_a_reply_loses_line_ends_and_quotation_marks_around_it(reply: str, text: str) -> None:
    assert plain(reply) == text


def test_braces_in_what_is_put_in_are_text() -> None:
    assert "Question: {answer} {0}\nText: {text}" in prompt(
        "judge", question="{answer} {0}", text="{text}", answer="x"
    )


def test_every_prompt_of_the_file_says_what_to_reply_with() -> None:
    assert all(
        "Reply with" in text or "Passage:" in text for text in table("writing.toml").values()
    )


def test_no_texts_are_said_to_be_none() -> None:
    assert bullets([]) == "(none)"
    assert bullets(["a", "b"]) == "- a\n- b"


@pytest.mark.parametrize("name", WRITERS)
def test_a_failing_model_is_one_error(openai_server: ModuleType, written_by, name: str) -> None:
    fault = openai_server.Fault(400, '{"error": {"message": "no"}}')
    with (
        openai_server.scripted(lambda prompt, n: fault) as server,
        pytest.raises(IncompleteError, match="the chat model at"),
    ):
        written_by(name, server)


@pytest.mark.parametrize("name", WRITERS)
def test_without_a_model_the_error_says_how_to_give_one(craft, name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}: needs a language model: give llm as openai:"):
        craft(name)
