"""Real servers on loopback: a scripted one, and transformers over a tiny model."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


def _module(name: str) -> ModuleType:
    # tests/ is no package, so a helper beside the tests is loaded by its path.
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def openai_server() -> ModuleType:
    """`scripted(script)` serves a script, `Fault` is a reply that is no answer."""
    return _module("scripted_openai")


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture(scope="session")
def tiny_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`URL#MODEL` of transformers' own server over a tiny Llama made on the spot."""
    for needed in ("transformers", "fastapi", "uvicorn", "accelerate"):
        pytest.importorskip(
            needed, reason=f"transformers serve needs {needed}: pip install -e .[dev]"
        )
    tiny_llama = _module("tiny_llama")
    model = tiny_llama.build(tmp_path_factory.mktemp("served") / "tiny")
    with tiny_llama.serve(model) as url:
        yield f"{url}#{model}"
