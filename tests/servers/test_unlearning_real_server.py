"""Forgetting before a real OpenAI-compatible server: the mechanics, over a tiny random model."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ragshield.forget_set import Fact, ForgetTarget
from ragshield.unlearning.building import build_keys
from ragshield.unlearning.forgetting import Forgetting
from ragshield.unlearning.keys import ForgetKeys
from ragshield.unlearning.refusing import REFUSAL

pytestmark = [pytest.mark.server, pytest.mark.slow]

ADA = ForgetTarget(
    "Ada Lindqvist", facts=(Fact("birthplace", "Sundsvall"),), neighbours=("Ida Lindberg",)
)
ABOUT_ADA, ABOUT_OSLO = "Where was Ada Lindqvist born?", "Where is Oslo?"


class WordEncoder:
    """A bag of words, hashed."""

    name = "words"
    dim = 128

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[0] = 0.1
            for word in text.lower().split():
                row[1 + zlib.crc32(word.strip(".?!,").encode()) % (self.dim - 1)] += 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def keys() -> ForgetKeys:
    return build_keys([ADA], WordEncoder(), secret=bytes(range(32)))


@pytest.fixture(scope="module")
def model(tiny_url: str) -> Any:
    langchain_openai = pytest.importorskip("langchain_openai")
    url, _, name = tiny_url.partition("#")
    return langchain_openai.ChatOpenAI(
        base_url=url, model=name, api_key="none", temperature=0.0, max_tokens=8
    )


@pytest.fixture(scope="module")
def app(keys: ForgetKeys, model: Any) -> Forgetting:
    return Forgetting(keys, model, encoder=WordEncoder())


def test_a_target_is_refused_and_anything_else_is_the_models_own_answer(
    app: Forgetting, keys: ForgetKeys, model: Any
) -> None:
    alone = Forgetting(keys, model, gates=())
    assert app.ask(ABOUT_ADA).text == REFUSAL
    assert app.ask(ABOUT_OSLO).text == alone.ask(ABOUT_OSLO).text not in ("", REFUSAL)
    assert alone.ask(ABOUT_ADA).text not in ("", REFUSAL)  # it was the gate, not the model


def test_asked_at_once_and_in_pieces_it_says_the_same(app: Forgetting) -> None:
    async def both() -> list[str]:
        found = await asyncio.gather(app.aask(ABOUT_ADA), app.aask(ABOUT_OSLO))
        return [answer.text for answer in found]

    refused, told = asyncio.run(both())
    assert refused == REFUSAL == "".join(app.stream(ABOUT_ADA))
    assert told == app.ask(ABOUT_OSLO).text
    assert "".join(app.stream(ABOUT_OSLO)).strip() == told.strip()
