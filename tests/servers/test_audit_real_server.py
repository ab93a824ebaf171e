"""An audit of a real OpenAI-compatible server: the mechanics, over a tiny random model."""

from __future__ import annotations

import pytest

from ragshield.audit import audit
from ragshield.audit.endpoint import Endpoint
from ragshield.forget_set import Fact, ForgetTarget

pytestmark = [pytest.mark.server, pytest.mark.slow]

ADA = ForgetTarget(
    "Ada Lindqvist", facts=(Fact("birthplace", "Sundsvall"),), neighbours=("Ida Lindberg",)
)


def test_a_model_that_knows_nothing_leaks_nothing_in_any_turn(tiny_url: str) -> None:
    app = Endpoint(f"openai:{tiny_url}", max_tokens=8, timeout_s=60, temperature=0.0, workers=2)
    found = audit(app, [ADA], families=("plain", "multi-turn"), per_family=1)
    assert found.leak.value == 0.0
    assert found.n_asked > found.n_probes
    assert found.families["multi-turn"].leak.n == 1
