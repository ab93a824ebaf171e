"""The optimiser of the lab's model."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from ragshield.lab.optimiser import Optimiser  # noqa: E402
from ragshield.lab.recipe import Recipe  # noqa: E402


@pytest.fixture
def model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=12,
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            tie_word_embeddings=True,
        )
    )


def loss(model: Any) -> Any:
    ids = torch.tensor([[1, 2, 3, 4, 5, 6]])
    return model(input_ids=ids, labels=ids).loss


def test_every_parameter_moves_and_the_loss_falls(model: Any) -> None:
    optimiser = Optimiser(model, Recipe())
    before = copy.deepcopy(model.state_dict())
    first = float(loss(model).detach())
    for _ in range(20):
        loss(model).backward()
        optimiser.step(0.01)
    assert float(loss(model).detach()) < 0.7 * first
    unmoved = [n for n, value in model.state_dict().items() if torch.equal(value, before[n])]
    assert unmoved == []


def test_a_step_leaves_no_gradients(model: Any) -> None:
    loss(model).backward()
    Optimiser(model, Recipe()).step(0.01)
    assert all(p.grad is None for p in model.parameters())


def test_a_step_at_rate_nothing_changes_nothing(model: Any) -> None:
    before = copy.deepcopy(model.state_dict())
    loss(model).backward()
    Optimiser(model, Recipe()).step(0.0)
    assert all(torch.equal(value, before[n]) for n, value in model.state_dict().items())


def test_resumed_steps_equal_steps_without_a_stop(model: Any) -> None:
    optimiser = Optimiser(model, Recipe())
    loss(model).backward()
    optimiser.step(0.01)
    twin = copy.deepcopy(model)
    resumed = Optimiser(twin, Recipe())
    resumed.resume(copy.deepcopy(optimiser.state()))
    for one, steps in ((model, optimiser), (twin, resumed)):
        loss(one).backward()
        steps.step(0.01)
    other = twin.state_dict()
    assert all(torch.equal(value, other[n]) for n, value in model.state_dict().items())
