"""What attacks need beside a target and a store, as small as it comes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langchain_core.language_models import SimpleChatModel
from langchain_core.messages import BaseMessage

from ragshield.readers.extractive import ExtractiveReader


class Echo(SimpleChatModel):
    """A chat model that numbers its replies and repeats the prompt, or lists something."""

    n_replies: int = 0

    @property
    def _llm_type(self) -> str:
        return "echo"

    def _call(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> str:
        self.n_replies += 1
        prompt = str(messages[-1].content)
        if "triples" in prompt:
            return '[["the town", "has", "mills"], ["they", "were founded by", "someone"]]'
        if "JSON list" in prompt:
            return '["one who asks about mills", "one who asks about towns"]'
        return f"Draft {self.n_replies}. {prompt}"


TESTS = Path(__file__).parent.parent


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"contract_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def random_llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny, randomly initialised Llama: it answers gibberish."""
    build = _module(TESTS / "servers" / "tiny_llama.py").build
    return str(build(tmp_path_factory.mktemp("contract") / "llama"))


@pytest.fixture(scope="session")
def random_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a tiny, randomly initialised CLIP."""
    build = _module(TESTS / "attacks" / "tiny_clip.py").build
    return str(build(tmp_path_factory.mktemp("contract") / "clip"))


@pytest.fixture
def lent(gradient_encoder, request: pytest.FixtureRequest) -> dict[str, Callable[[], object]]:
    """By parameter name: makes what an attack needs, anew for each attack."""
    found: dict[str, Callable[[], object]] = {
        "llm": Echo,
        "encoder": lambda: gradient_encoder,
        "reader": ExtractiveReader,
    }
    if find_spec("transformers") and find_spec("torch"):
        found["model"] = lambda: request.getfixturevalue("random_llama")
        if find_spec("PIL"):
            found["clip"] = lambda: request.getfixturevalue("random_clip")
    return found
