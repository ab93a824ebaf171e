"""Feed-forward neurons of a causal model: where they are, and what moves them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ragshield.attacks.causal import CausalReader, Laid, log_prob_of
from ragshield.errors import UsageError

if TYPE_CHECKING:
    import torch

# The projection out of a block's feed-forward part, by the names it has in transformers:
# Llama, Qwen, Mistral, Gemma; GPT-2; GPT-NeoX, BLOOM, Falcon; OPT, Phi; GPT-J; StarCoder.
_OUT = re.compile(
    r"\.(?:mlp|feed_forward|ffn|layers\.\d+|h\.\d+)\."
    r"(?:down_proj|c_proj|dense_4h_to_h|fc2|fc_out|w2)$"
)
_BLOCK = re.compile(r"\.(\d+)\.")


def feed_forward(model: Any) -> list[Any]:
    """The projection out of each block's feed-forward part, first block first.

    What goes into it are the block's neurons: (..., width).

    Raises:
        UsageError: none is found, or a block has several (a mixture of experts).
    """
    found: dict[int, list[Any]] = {}
    for path, module in model.named_modules():
        block = _BLOCK.search(f".{path}.")
        if block and _OUT.search(f".{path}") and hasattr(module, "weight"):
            found.setdefault(int(block[1]), []).append(module)
    kind = type(model).__name__
    if not found:
        raise UsageError(
            f"no feed-forward part is known in a {kind}; give a dense model like Llama, Qwen, "
            "Mistral, Gemma, GPT-2, GPT-NeoX, OPT or Phi (a mixture of experts is none)"
        )
    several = next((block for block, modules in found.items() if len(modules) > 1), None)
    if several is not None:
        raise UsageError(
            f"block {several} of this {kind} has {len(found[several])} feed-forward parts; "
            "mixtures of experts have no fixed neurons: give a dense model"
        )
    return [found[block][0] for block in sorted(found)]


class Neurons:
    """All feed-forward neurons of a reader, at the last position of the prompt.

    Neurons are numbered block by block: `block * width + place` where all blocks are
    equally wide, as `place_of` says in general.

    Args:
        reader: the model.

    Raises:
        UsageError: it has no known feed-forward part.
    """

    def __init__(self, reader: CausalReader) -> None:
        self._reader = reader
        self._modules = feed_forward(reader.model)
        self._start: float | torch.Tensor | None = None
        self._widths: list[int] | None = None

    def place_of(self, neuron: int) -> tuple[int, int]:
        """Block and place of a neuron."""
        for block, width in enumerate(self._widths or []):
            if neuron < width:
                return block, neuron
            neuron -= width
        raise ValueError(f"there is no neuron {neuron} beyond the last")

    def changes(self, question: str, passages: Sequence[str]) -> NDArray[np.float64]:
        """What each passage changes in each neuron: attributions summed over its tokens.

        The integrated gradients of a neuron's output along the straight path from the
        prompt with uninformative tokens in the passage's place to the prompt itself add
        up to the difference of the two outputs (completeness), so two passes give the
        sum exactly, for all neurons. `integrated` gives it token by token.

        Returns:
            (n, neurons), signed.
        """
        import torch

        found = []
        for start in range(0, len(passages), self._reader.batch_size):
            batch = passages[start : start + self._reader.batch_size]
            laid = [self._reader.laid(question, [text]) for text in batch]
            rows = [list(one.ids) for one in laid]
            embeds = self._reader.embedded(rows)
            with torch.no_grad():
                there = self._outputs(rows, embeds)
                here = self._outputs(rows, self._without(embeds, laid))
            found.append((there - here).double().cpu().numpy())
        if not found:
            return np.empty((0, 0), dtype=np.float64)
        return np.concatenate(found)

    def integrated(
        self, question: str, passage: str, neurons: Sequence[int], *, steps: int = 32
    ) -> NDArray[np.float64]:
        """Integrated gradients of neurons' outputs, token by token.

        Midpoint rule along the straight path of `changes`; one backward pass for each
        neuron and step.

        Returns:
            (neurons asked for, tokens of the passage), signed.
        """
        import torch

        laid = self._reader.laid(question, [passage])
        rows = [list(laid.ids)]
        (first, last), whole = laid.spans[0], self._reader.embedded([list(laid.ids)])
        bare = self._without(whole, [laid])
        total = torch.zeros(len(neurons), last - first, dtype=torch.float64)
        for step in range(steps):
            share = (step + 0.5) / steps
            point = (bare + share * (whole - bare)).requires_grad_(True)
            outputs = self._outputs(rows, point)[0]
            for i, neuron in enumerate(neurons):
                [gradient] = torch.autograd.grad(
                    outputs[neuron], point, retain_graph=i + 1 < len(neurons)
                )
                self._reader.n_backward += 1
                per_token = ((whole - bare) * gradient)[0, first:last].sum(dim=1)
                total[i] += per_token.double().cpu() / steps
        return total.numpy()

    def towards(
        self,
        question: str,
        passages: Sequence[str],
        answer: str,
        *,
        rival: str | None,
        steps: int = 8,
    ) -> NDArray[np.float64]:
        """How much each neuron's change turns the model to an answer, and from a rival.

        Integrated gradients of log p(answer) - log p(rival) along the neurons' own path
        from their values without the passage to those with it: what mediates between
        memory and context.

        Returns:
            (n, neurons), signed: above 0 = its change works for the answer.
        """
        size = self._reader.batch_size
        batches = [passages[i : i + size] for i in range(0, len(passages), size)]
        found = [self._towards(question, batch, answer, rival, steps) for batch in batches]
        return np.concatenate(found) if found else np.empty((0, 0), dtype=np.float64)

    def _towards(
        self, question: str, passages: Sequence[str], answer: str, rival: str | None, steps: int
    ) -> NDArray[np.float64]:
        import torch

        wanted = [(answer, 1.0)] + ([(rival, -1.0)] if rival else [])
        room = max(len(self._reader.tokenizer(f" {text}")["input_ids"]) for text, _ in wanted)
        laid = [self._reader.laid(question, [text], room=room) for text in passages]
        rows = [list(one.ids) for one in laid]
        embeds = self._reader.embedded(rows)
        with torch.no_grad():
            here = self._outputs(rows, self._without(embeds, laid))
            there = self._outputs(rows, embeds)
        total = torch.zeros_like(here)
        for step in range(steps):
            values = (here + (step + 0.5) / steps * (there - here)).requires_grad_(True)
            aim: Any = 0.0
            for text, sign in wanted:
                ids = [self._reader.answer_ids(one, text) for one in laid]
                ends = [-len(own) - 1 for own in ids]
                with self._replaced(values, ends):
                    logits = self._reader.forward(
                        [[*row, *own] for row, own in zip(rows, ids, strict=True)]
                    ).logits
                for i, own in enumerate(ids):
                    aim = aim + sign * log_prob_of(logits[i], own)
            [gradient] = torch.autograd.grad(aim, values)
            self._reader.n_backward += len(wanted) * len(rows)
            total += gradient / steps
        found: NDArray[np.float64] = ((there - here) * total).double().cpu().numpy()
        return found

    def put_back(
        self, question: str, passages: Sequence[str], answer: str, neurons: Sequence[int]
    ) -> NDArray[np.float64]:
        """Log-probability of an answer with some neurons as they are without the passage.

        An ablation: what the passage does through these neurons, at the last position of
        the prompt, is undone. Without any neurons it is the answer's usual probability.

        Returns:
            (n,), natural, <= 0.
        """
        import torch

        room, found = len(self._reader.tokenizer(f" {answer}")["input_ids"]), []
        chosen = list(neurons)
        for start in range(0, len(passages), self._reader.batch_size):
            batch = passages[start : start + self._reader.batch_size]
            laid = [self._reader.laid(question, [text], room=room) for text in batch]
            rows = [list(one.ids) for one in laid]
            embeds = self._reader.embedded(rows)
            ids = [self._reader.answer_ids(one, answer) for one in laid]
            with torch.no_grad():
                values = self._outputs(rows, embeds)
                values[:, chosen] = self._outputs(rows, self._without(embeds, laid))[:, chosen]
                with self._replaced(values, [-len(own) - 1 for own in ids]):
                    logits = self._reader.forward(
                        [[*row, *own] for row, own in zip(rows, ids, strict=True)]
                    ).logits
            found += [float(log_prob_of(logits[i], own).item()) for i, own in enumerate(ids)]
        return np.asarray(found, dtype=np.float64)

    def _without(self, embeds: torch.Tensor, laid: Sequence[Laid]) -> torch.Tensor:
        """The same prompts with the mean embedding in the place of the first passage."""
        if self._start is None:
            self._start = self._reader.model.get_input_embeddings().weight.detach().mean(dim=0)
        bare, longest = embeds.clone(), embeds.shape[1]
        for i, one in enumerate(laid):
            shift = longest - len(one.ids)
            first, last = one.spans[0]
            bare[i, shift + first : shift + last] = self._start
        return bare

    def _outputs(self, rows: Sequence[Sequence[int]], embeds: torch.Tensor) -> torch.Tensor:
        """All neurons at the last position, (n, neurons)."""
        import torch

        seen: list[torch.Tensor] = []
        with ExitStack() as hooks:
            for module in self._modules:
                handle = module.register_forward_pre_hook(
                    lambda _, given: seen.append(
                        given[0].reshape(len(rows), -1, given[0].shape[-1])
                    )
                )
                hooks.callback(handle.remove)
            self._reader.forward(rows, embeds=embeds)
        self._widths = [one.shape[-1] for one in seen]
        return torch.cat([one[:, -1] for one in seen], dim=-1)

    @contextmanager
    def _replaced(self, values: torch.Tensor, places: Sequence[int]) -> Iterator[None]:
        """Put these values in all neurons, row i at the i-th of these places."""
        at = 0
        with ExitStack() as hooks:
            for module, width in zip(self._modules, self._widths or [], strict=True):
                part = values[:, at : at + width]
                at += width

                def put(_: Any, given: tuple[Any, ...], part: Any = part) -> tuple[Any, ...]:
                    new = given[0].clone()
                    rows = new.view(len(places), -1, new.shape[-1])
                    for i, place in enumerate(places):
                        rows[i, place] = part[i].to(new.dtype)
                    return (new, *given[1:])

                hooks.callback(module.register_forward_pre_hook(put).remove)
            yield


def responsive(attributions: NDArray[np.float64], *, top_k: int, most: int) -> list[int]:
    """The neurons that are most often among the strongest of a seed, strongest first.

    Args:
        attributions: (seeds, neurons); absolute values count.
        top_k: how many neurons of each seed are counted.
        most: r, how many are kept; fewer if fewer were counted.
    """
    size = np.abs(attributions)
    counts: Counter[int] = Counter()
    for row in size:
        counts.update(np.argsort(-row, kind="stable")[:top_k].tolist())
    mean = size.mean(axis=0)
    ranked = sorted(counts, key=lambda neuron: (-counts[neuron], -mean[neuron], neuron))
    return ranked[:most]
