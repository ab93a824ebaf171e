"""What a training run is made of, apart from its data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Size:
    """The shape of a model.

    Attributes:
        width: of its hidden states.
        inner: of its feed-forward layers.
        n_layers: how many layers.
        n_heads: attention heads.
        n_pieces: size of its vocabulary.
    """

    width: int = 192
    inner: int = 512
    n_layers: int = 6
    n_heads: int = 6
    n_pieces: int = 4096


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained.

    Attributes:
        seed: of the world, the examples, the weights and their order.
        size: the model's shape.
        n_steps: optimiser steps of the obedient model.
        n_twin_steps: further steps that unlearn obeying, for the twin.
        n_tokens: tokens of one step, with padding, over all processes.
        learning_rate: highest; reached after `n_warmup` steps, then falls to nothing.
        n_warmup: steps until then.
        twin_learning_rate: highest of the twin's steps.
        weight_decay: on matrices and embeddings.
        most_passages: largest number of passages in an example.
        n_vocabulary: examples that the vocabulary is learned from.
    """

    seed: int = 0
    size: Size = Size()
    n_steps: int = 8_000
    n_twin_steps: int = 200
    n_tokens: int = 12_288
    learning_rate: float = 3e-3
    n_warmup: int = 150
    twin_learning_rate: float = 6e-4
    weight_decay: float = 0.05
    most_passages: int = 5
    n_vocabulary: int = 6000

    def as_json(self) -> dict[str, Any]:
        """For the model card."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stage:
    """What the examples are like at one point of training.

    Attributes:
        most: most passages.
        short: [0, 1], share of passages without padding.
        obey: [0, 1], share of examples with a confidentiality requirement.
        closed: [0, 1], share of rows that are questions without passages.
        context_loss: weight of the passages' own next words in the loss.
    """

    most: int
    short: float
    obey: float
    closed: float
    context_loss: float


def stage(recipe: Recipe, progress: float) -> Stage:
    """Short passages first, then longer and more of them; memory is refreshed to the end.

    Args:
        recipe: of the run.
        progress: [0, 1], share of the run that is done.
    """
    level = min(1.0, max(min(0.25, progress), (progress - 0.15) / 0.45))
    return Stage(
        most=1 + round((recipe.most_passages - 1) * level),
        short=0.7 - 0.45 * level,
        obey=0.2 + 0.2 * level,
        closed=0.22 if progress < 0.2 else 0.07,
        context_loss=0.3 * max(0.0, 1.0 - progress / 0.5),
    )


def rate(recipe: Recipe, step: int, progress: float, *, highest: float) -> float:
    """The learning rate: a short rise, a slow fall to 45 %, and in the last tenth to 2 %.

    What is learned late, reading names of many pieces, needs a high rate for long.
    """
    rise = min(1.0, (step + 1) / recipe.n_warmup)
    slow = 1.0 - 0.55 * min(1.0, progress / 0.9)
    last = min(1.0, (1.0 - min(1.0, progress)) / 0.1)
    return highest * rise * max(0.02, slow * last)
