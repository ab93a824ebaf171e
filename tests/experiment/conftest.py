from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragshield import registry

TOYS = Path(__file__).parent.parent / "toys"


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy plugins are installed, for this test only."""
    monkeypatch.syspath_prepend(TOYS)
    registry._plugins.cache_clear()
    yield
    registry._plugins.cache_clear()
