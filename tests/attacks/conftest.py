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


def _module(path: Path) -> ModuleType:
    # tests/ is no package, so a helper beside the tests is loaded by its path.
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def openai_server() -> ModuleType:
    """The scripted OpenAI-compatible server of tests/servers."""
    return _module(Path(__file__).parent.parent / "servers" / "scripted_openai.py")


@pytest.fixture(scope="session")
def facts(request: pytest.FixtureRequest) -> ModuleType:
    """A small GPT-2 that knows who founded eight mills, taught on the spot: see its module."""
    module = _module(Path(__file__).with_name("tiny_gpt2.py"))
    cache = getattr(request.config, "cache", None)
    kept = cache.mkdir("tiny-gpt2") if cache is not None else None
    module.model, module.tokenizer = module.build(kept=kept)
    return module


@pytest.fixture(scope="session")
def words() -> ModuleType:
    """The same with its tokenizer only: nothing is taught."""
    module = _module(Path(__file__).with_name("tiny_gpt2.py"))
    module.model, module.tokenizer = module.build(steps=0)
    return module


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a randomly initialised CLIP: mechanics, no meaning."""
    module = _module(Path(__file__).with_name("tiny_clip.py"))
    return str(module.build(tmp_path_factory.mktemp("clip")))


@pytest.fixture
def written_by(target, monkeypatch):
    """Passages of an attack that a scripted server writes for."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def make(name: str, server, **params: object) -> list[Passage]:
        spec = Spec("attack", name, {"llm": f"openai:{server.url}#m", **params})
        return registry.build(spec).craft(target, rng=np.random.default_rng(0))

    return make


@pytest.fixture
def album(tiny_clip):
    """A store of 60 images of noise, found by text, with poison among them."""

    def make(poison: list[Passage]) -> StoreRetriever:
        from PIL import Image as Images

        from ragshield.attacks.clip import IMAGE, ImageTextEncoder, as_address

        encoder = ImageTextEncoder("test", tiny_clip)
        rng = np.random.default_rng(7)
        noise = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
        clean = [
            Passage(f"c{i}", "A picture.", meta={IMAGE: as_address(Images.fromarray(values))})
            for i, values in enumerate(noise)
        ]
        passages = (*clean, *poison)
        vectors = encoder.encode_passages(passages)
        return StoreRetriever(MemoryStore("memory:", Batch(passages, vectors)), encoder)

    return make
