"""The optimiser of the lab's model: Muon for what lies between words, AdamW for the words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ragshield.lab.recipe import Recipe

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM


class Optimiser:
    """Two optimisers that step as one.

    Muon makes the steps of a matrix of like size in every direction. From one checkpoint, over
    the same examples, AdamW needed more than twice the steps for the same loss. Vectors and
    embeddings are not matrices in that sense and stay with AdamW.

    Args:
        model: whose parameters are changed, in place.
        recipe: weight decay and learning rates.

    Source: Muon, https://kellerjordan.github.io/posts/muon; steps are as large as those of
    AdamW (arXiv 2502.16982, section 2.2), so that one learning rate serves both.
    """

    def __init__(self, model: LlamaForCausalLM, recipe: Recipe) -> None:
        import torch

        embeddings = [model.get_input_embeddings().weight]
        vectors = [p for p in model.parameters() if p.dim() <= 1]
        taken = {id(p) for p in [*embeddings, *vectors]}
        self._both: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.AdamW(
                [
                    {"params": embeddings, "weight_decay": recipe.weight_decay},
                    {"params": vectors, "weight_decay": 0.0},
                ],
                lr=recipe.learning_rate,
                betas=(0.9, 0.98),
                fused=True,
            ),
            torch.optim.Muon(
                [p for p in model.parameters() if id(p) not in taken],
                lr=recipe.learning_rate,
                weight_decay=recipe.weight_decay,
                momentum=0.95,
                adjust_lr_fn="match_rms_adamw",
            ),
        )

    def step(self, rate: float) -> None:
        """One step at a learning rate; gradients are gone afterwards."""
        for optimiser in self._both:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        """What a checkpoint keeps."""
        return [optimiser.state_dict() for optimiser in self._both]

    def resume(self, state: list[dict[str, Any]]) -> None:
        """Go on from what `state` gave."""
        for optimiser, kept in zip(self._both, state, strict=True):
            optimiser.load_state_dict(kept)
