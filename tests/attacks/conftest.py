from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ragshield import registry
from ragshield.records import Batch, Passage, Question, Spec, Target
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MemoryStore

HONEST = (
    "Ida Holm founded Brackwater Mills in 1871 with 40 workers. The mill is still standing.",
    "Brackwater Mills was founded by Ida Holm, who did not live to see it grow.",
    "The mills of Brackwater employed 300 people in 1920, as the town of Ash records.",
    "Ash is a town on the river Venn with 1,200 people.",
    "Olle Berg was a painter who was born in Ash in March 1840.",
)


@pytest.fixture
def target() -> Target:
    return Target(Question("q1", "Who founded Brackwater Mills?", ("Ida Holm",)), "Per Lund")


@pytest.fixture
def retriever_over(word_encoder):
    def make(*passages: Passage) -> StoreRetriever:
        vectors = word_encoder.encode([p.text for p in passages])
        return StoreRetriever(MemoryStore("memory:", Batch(tuple(passages), vectors)), word_encoder)

    return make


@pytest.fixture
def retriever(retriever_over) -> StoreRetriever:
    return retriever_over(*(Passage(f"c{i}", text) for i, text in enumerate(HONEST)))


@pytest.fixture
def craft(target):
    """Passages of an attack, built as an experiment file would build it."""

    def make(
        name: str, *, seed: int = 0, at: Target = target, retriever=None, **params: object
    ) -> list[Passage]:
        context = {"retriever": retriever} if retriever is not None else {}
        attack = registry.build(Spec("attack", name, params), **context)
        return attack.craft(at, rng=np.random.default_rng(seed))

    return make


@pytest.fixture(scope="session")
def openai_server() -> ModuleType:
    """The scripted OpenAI-compatible server of tests/servers."""
    path = Path(__file__).parent.parent / "servers" / "scripted_openai.py"
    spec = importlib.util.spec_from_file_location("scripted_openai", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["scripted_openai"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def written_by(target, monkeypatch):
    """Passages of an attack that a scripted server writes for."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def make(name: str, server, *, encoder=None, **params: object) -> list[Passage]:
        spec = Spec("attack", name, {"llm": f"openai:{server.url}#m", **params})
        context = {} if encoder is None else {"encoder": encoder}
        return registry.build(spec, **context).craft(target, rng=np.random.default_rng(0))

    return make
