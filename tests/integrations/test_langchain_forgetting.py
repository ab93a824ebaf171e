from __future__ import annotations

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from ragshield.errors import InputError, UsageError
from ragshield.forget_set import Fact, ForgetTarget
from ragshield.integrations.langchain_forgetting import ForgettingRetriever
from ragshield.unlearning.building import build_keys
from ragshield.unlearning.keys import ForgetKeys


class Letters:
    """Texts as bags of letters."""

    name = "letters"
    dim = 64

    def encode(self, texts):  # type: ignore[no-untyped-def]
        rows = np.full((len(texts), self.dim), 0.01, dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for letter in text.lower():
                row[ord(letter) % self.dim] += 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


STORED = [
    Document("Ada Lindqvist was born in Sundsvall.", id="1"),
    Document("Oslo has a port.", id="2", metadata={"source": "towns.txt"}),
    Document("A short biography.", id="3", metadata={"title": "Ada Lindqvist"}),
    Document("Oslo is old. Its port is deep. Ada Lindqvist was there. Ships call.", id="4"),
]


@pytest.fixture(scope="module")
def keys() -> ForgetKeys:
    target = ForgetTarget(
        "Ada Lindqvist", facts=(Fact("birthplace", "Sundsvall"),), audiences={"staff": ("*",)}
    )
    return build_keys([target], Letters())


def retriever(keys: ForgetKeys, audience: str | None = None) -> ForgettingRetriever:
    return ForgettingRetriever(
        retriever=RunnableLambda(lambda question: STORED), keys=keys, audience=audience
    )


def test_gives_nothing_of_a_target(keys: ForgetKeys) -> None:
    found = retriever(keys).invoke("What about Oslo?")
    assert [(d.id, d.page_content) for d in found] == [
        ("2", "Oslo has a port."),
        ("4", "Oslo is old. Its port is deep. Ships call."),
    ]
    assert found[0].metadata == {"source": "towns.txt"}
    assert retriever(keys).invoke("Where was Ada Lindqvist born?") == []


async def test_async_gives_what_sync_gives(keys: ForgetKeys) -> None:
    for question in ("What about Oslo?", "Where was Ada Lindqvist born?"):
        assert await retriever(keys).ainvoke(question) == retriever(keys).invoke(question)


def test_an_audience_that_may_know_gets_all(keys: ForgetKeys) -> None:
    assert retriever(keys, "staff").invoke("Where was Ada Lindqvist born?") == STORED


def test_an_empty_question_and_another_encoder_are_refused(keys: ForgetKeys) -> None:
    with pytest.raises(UsageError):
        retriever(keys).invoke(" ")
    other = Letters()
    other.name = "other"
    with pytest.raises(InputError, match="were made with the encoder 'letters'"):
        ForgettingRetriever(
            retriever=RunnableLambda(lambda question: STORED), keys=keys, encoder=other
        )
