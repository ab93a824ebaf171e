"""Many questions, late and failing models, and what they cost, with any LangChain model."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from ragshield.errors import IncompleteError, InputError, MissingExtraError, UsageError
from ragshield.readers import chat, open_reader
from ragshield.readers.chat import ChatReader
from ragshield.readers.ledger import Usage
from ragshield.records import Passage

SHOWN = [Passage("1", "Ida Holm founded it.")]


class Scripted(BaseChatModel):
    """Answers with the last word before the question mark, as slowly and badly as told."""

    delay_s: float = 0.0
    n_failures: int = 0
    told: bool = True
    asked: list[str] = []  # noqa: RUF012
    at_once: list[int] = []  # noqa: RUF012
    running: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **more: Any
    ) -> ChatResult:
        prompt = str(messages[-1].content)
        self.asked.append(prompt)
        self.running += 1
        self.at_once.append(self.running)
        time.sleep(self.delay_s)
        self.running -= 1
        if len(self.asked) <= self.n_failures:
            raise ConnectionError("busy")
        word = prompt.split("?")[0].split()[-1]
        usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9} if self.told else None
        message = AIMessage(word, usage_metadata=usage)
        return ChatResult(generations=[ChatGeneration(message=message)])


def _model(**settings: Any) -> Scripted:
    return Scripted(asked=[], at_once=[], **settings)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "_FIRST_WAIT_S", 0.01)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_each_question_gets_its_own_answer_and_equal_ones_are_asked_once(
    asynchronous: bool,
) -> None:
    model = _model()
    reader = ChatReader(model, n_at_once=3)
    questions = ["Who is Ada?", "Who is Bo?", "Who is Ada?", "  ", "Who is Cy?"]
    given = [SHOWN, SHOWN, SHOWN, SHOWN, []]
    if asynchronous:
        answers = await reader.aanswers(questions, given)
    else:
        answers = reader.answers(questions, given)
    assert answers == ["Ada", "Bo", "Ada", "I don't know", "I don't know"]
    assert len(model.asked) == 2
    assert reader.usage == Usage(n_asked=2, n_tokens_in=14, n_tokens_out=4)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_no_more_are_asked_at_once_than_allowed(asynchronous: bool) -> None:
    model = _model(delay_s=0.03)
    reader = ChatReader(model, n_at_once=2)
    questions = [f"Who is N{i}?" for i in range(6)]
    if asynchronous:
        await reader.aanswers(questions, [SHOWN] * 6)
    else:
        reader.answers(questions, [SHOWN] * 6)
    assert max(model.at_once) == 2


def test_tokens_that_are_not_told_are_counted_as_untold() -> None:
    reader = ChatReader(_model(told=False))
    reader.answer("Who is Ada?", SHOWN)
    assert reader.usage == Usage(n_asked=1, n_untold=1)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_failure_is_tried_again_as_often_as_allowed(asynchronous: bool) -> None:
    async def asked(reader: ChatReader) -> str:
        if asynchronous:
            return await reader.aanswer("Who is Ada?", SHOWN)
        return reader.answer("Who is Ada?", SHOWN)

    patient = ChatReader(_model(n_failures=2), n_retries=2)
    assert await asked(patient) == "Ada"
    assert (patient.usage.n_retries, patient.usage.n_asked) == (2, 1)
    with pytest.raises(IncompleteError, match=r"the chat model failed \(ConnectionError: busy\)"):
        await asked(ChatReader(_model(n_failures=2), n_retries=1))


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_model_that_is_late_is_given_up(asynchronous: bool) -> None:
    reader = ChatReader(_model(delay_s=0.6), timeout_s=0.05)

    async def asked() -> str:
        if asynchronous:
            return await reader.aanswer("Who is Ada?", SHOWN)
        return reader.answer("Who is Ada?", SHOWN)

    began = time.monotonic()
    with pytest.raises(IncompleteError, match=r"the chat model gave no answer within 0\.05 s"):
        await asked()
    assert time.monotonic() - began < 0.5


def test_a_time_limit_that_is_kept_changes_nothing() -> None:
    reader = ChatReader(_model(), timeout_s=30)
    assert reader.answer("Who is Ada?", SHOWN) == "Ada"
    with pytest.raises(IncompleteError, match="busy"):
        ChatReader(_model(n_failures=1), timeout_s=30).answer("Who is Ada?", SHOWN)


def test_without_a_cache_each_call_asks_again() -> None:
    model = _model()
    reader = ChatReader(model)
    reader.answer("Who is Ada?", SHOWN)
    reader.answer("Who is Ada?", SHOWN)
    assert len(model.asked) == 2


def test_a_cache_answers_for_the_same_model_and_settings_only(tmp_path: Path) -> None:
    cache = tmp_path / "answers.sqlite"
    ChatReader(_model(), cache=cache).answer("Who is Ada?", SHOWN)
    again = _model()
    reader = ChatReader(again, cache=cache)
    assert reader.answer("Who is Ada?", SHOWN) == "Ada"
    assert again.asked == []
    assert reader.usage == Usage(n_kept=1)

    class Other(Scripted):
        pass

    other = Other(asked=[], at_once=[])
    ChatReader(other, cache=cache).answer("Who is Ada?", SHOWN)
    assert len(other.asked) == 1


def test_answers_that_came_before_a_failure_are_kept(tmp_path: Path) -> None:
    class Stubborn(Scripted):
        def _generate(self, messages: Any, *rest: Any, **more: Any) -> ChatResult:
            if "Bo" in str(messages[-1].content):
                raise ConnectionError("no Bo")
            return super()._generate(messages, *rest, **more)

    reader = ChatReader(Stubborn(asked=[], at_once=[]), n_at_once=1, cache=tmp_path / "a.sqlite")
    with pytest.raises(IncompleteError, match="no Bo"):
        reader.answers(["Who is A?", "Who is Bo?"], [SHOWN] * 2)
    assert reader.answer("Who is A?", SHOWN) == "A"
    assert reader.usage.n_kept == 1


async def test_the_event_loop_goes_on_meanwhile() -> None:
    reader = ChatReader(_model(delay_s=0.2))
    task = asyncio.create_task(reader.aanswer("Who is Ada?", SHOWN))
    ticks = 0
    while not task.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 3
    assert task.result() == "Ada"


def test_a_given_up_model_leaves_no_thread_that_holds_up_the_end() -> None:
    before = set(threading.enumerate())
    with pytest.raises(IncompleteError):
        ChatReader(_model(delay_s=0.3), timeout_s=0.01).answer("Who is Ada?", SHOWN)
    left = set(threading.enumerate()) - before
    assert left
    assert all(thread.daemon for thread in left)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"n_retries": -1}, "n_retries is -1; it must be at least 0"),
        ({"n_at_once": 0}, "n_at_once is 0; it must be at least 1"),
        ({"timeout_s": 0.0}, "timeout_s is 0.0; it must be above 0"),
    ],
)
def test_numbers_out_of_range_are_refused(option: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChatReader(_model(), **option)


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes " * 99, encoding="utf-8")
    with pytest.raises(InputError, match="is no cache of answers"):
        ChatReader(_model(), cache=path)


def test_questions_without_their_passages_are_refused() -> None:
    with pytest.raises(UsageError, match="2 questions with 1 lists of passages"):
        ChatReader(_model()).answers(["a", "b"], [SHOWN])


def test_langchain_opens_a_model_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    reader = open_reader("langchain:openai:tiny")
    assert isinstance(reader, ChatReader)
    assert reader._model.model_name == "tiny"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("langchain:", UsageError, "PROVIDER:MODEL"),
        ("langchain:gpt", UsageError, "'gpt' is not PROVIDER:MODEL"),
        ("langchain:nobody:m", UsageError, r"'nobody:m' cannot be opened \(ValueError\)"),
        ("langchain:anthropic:m", MissingExtraError, "the provider's package"),
    ],
)
def test_a_model_that_langchain_cannot_open_is_one_clear_line(
    name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        open_reader(name)
    assert "\n" not in str(caught.value)
