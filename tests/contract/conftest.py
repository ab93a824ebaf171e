"""What attacks need beside a target and a store, as small as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models import SimpleChatModel
from langchain_core.messages import BaseMessage


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


@pytest.fixture
def lent() -> dict[str, Callable[[], object]]:
    """By parameter name: makes what an attack needs, anew for each attack."""
    return {"llm": Echo}
