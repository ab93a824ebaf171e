"""Over HTTP against `transformers serve`: the protocol is real, the answers are gibberish."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from ragshield.attacks.poisonedrag import PoisonedRAG
from ragshield.errors import IncompleteError
from ragshield.readers import open_reader
from ragshield.readers.chat import openai_reader
from ragshield.records import Passage, Question, Target

pytestmark = [pytest.mark.server, pytest.mark.slow]
PASSAGES = [
    Passage("1", "Ida Holm founded Brackwater Mills."),
    Passage("2", "It stands by a weir."),
]


def test_the_reader_repeats_the_models_greedy_answer_sync_and_async(tiny_url: str) -> None:
    reader = openai_reader(tiny_url, temperature=0.0, max_tokens=8)
    answer = reader.answer("Who founded Brackwater Mills?", PASSAGES)
    assert answer
    assert answer == asyncio.run(reader.aanswer("Who founded Brackwater Mills?", PASSAGES))
    assert answer != reader.answer("Who founded Brackwater Mills?", PASSAGES[1:])


async def test_many_questions_are_answered_at_once(tiny_url: str) -> None:
    reader = openai_reader(tiny_url, temperature=0.0, max_tokens=4)
    questions = [f"What is number {i}?" for i in range(4)]
    together = await asyncio.gather(*(reader.aanswer(q, PASSAGES) for q in questions))
    assert together == [await reader.aanswer(q, PASSAGES) for q in questions]


def test_a_reader_is_opened_by_its_name(tiny_url: str) -> None:
    answer = open_reader(f"openai:{tiny_url}").answer("Who founded it?", PASSAGES)
    assert isinstance(answer, str)


def test_a_model_the_server_does_not_have_is_one_clear_error(tiny_url: str) -> None:
    url = tiny_url.partition("#")[0]
    with pytest.raises(IncompleteError, match=r"^the chat model at http://127.0.0.1:\d+/v1 failed"):
        openai_reader(f"{url}#nobody/has-this-model", timeout_s=30).answer("Who?", PASSAGES)


def test_a_model_that_writes_gibberish_gives_weak_texts_and_all_calls_are_counted(
    tiny_url: str,
) -> None:
    target = Target(Question("q1", "Who founded Brackwater Mills?", ("Ida Holm",)), "Per Lund")
    attack = PoisonedRAG(n=2, texts="llm", llm=f"openai:{tiny_url}", max_tries=2)
    passages = attack.craft(target, rng=np.random.default_rng(0))
    assert [p.id for p in passages] == ["poisonedrag/q1/0", "poisonedrag/q1/1"]
    for passage in passages:
        assert passage.text.startswith("Who founded Brackwater Mills?.")
        assert passage.meta["weak"] is True
        assert passage.meta["n_llm_calls"] == 2
