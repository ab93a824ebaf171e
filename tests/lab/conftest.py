"""A lab small enough for tests: a tiny model of the bundled world."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragshield.lab.facts import Cast
from ragshield.lab.recipe import Recipe, Size

TINY = Recipe(
    seed=0,
    size=Size(width=32, inner=64, n_layers=2, n_heads=2, n_pieces=600),
    n_steps=6,
    n_twin_steps=2,
    n_tokens=1024,
    n_vocabulary=20,
    most_passages=2,
)


@pytest.fixture(scope="session")
def cast() -> Cast:
    return Cast.of(0)


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    return TINY


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a few steps: files as they should be, answers without sense."""
    from ragshield.lab.running import train

    folder = tmp_path_factory.mktemp("lab") / "run"
    train(folder, TINY, device="cpu", workers=0)
    return folder
