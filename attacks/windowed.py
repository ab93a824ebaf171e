"""A quick look at many texts that differ from one text in a single token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ragshield.records import Vectors

if TYPE_CHECKING:
    import torch

_BATCH = 32
_AROUND = 8
"""Tokens on each side of the new one that the lower layers work out anew."""
_LOWER = 5 / 6
"""Share of the layers that are lower ones."""
_PROBE = "who wrote the book that the town on the river remembers"


class Seen(NamedTuple):
    """One text as every layer saw it.

    Attributes:
        ids: (1, l) its tokens.
        states: before each layer, (1, l, dim).
        keys: of each layer, (1, l, dim).
        values: of each layer, (1, l, dim).
    """

    ids: torch.Tensor
    states: tuple[torch.Tensor, ...]
    keys: tuple[torch.Tensor, ...]
    values: tuple[torch.Tensor, ...]


class Windowed:
    """Vectors of a text with one token replaced, from half of the work and nearly right.

    In the lower five of six layers only the tokens near the new one are worked out anew;
    the others keep what they were in the text as it is, and what a replacement changes far
    away arises above. With MiniLM and 8 steps of PoisonedRAG the ranks of 100 candidates
    agree with the exact ones to .96 (Spearman; .98 with two thirds of the layers), and the
    best of the first four is .0004 below the best of all in cosine, .003 at most.

    Built for BERT; `over` gives None for anything else.
    """

    def __init__(self, model: Any, bert: Any) -> None:
        self._bert = bert
        self._above = list(model)[1:]
        self._layers = list(bert.encoder.layer)
        self._n_heads = int(bert.config.num_attention_heads)
        self._n_lower = int(len(self._layers) * _LOWER)

    @classmethod
    def over(cls, model: Any) -> Windowed | None:
        """For a sentence-transformers model, if it is a BERT that this reads right; else None."""
        import torch

        bert: Any = getattr(model[0], "auto_model", None)
        config = getattr(bert, "config", None)
        if getattr(config, "model_type", "") != "bert" or getattr(config, "is_decoder", False):
            return None
        if getattr(config, "position_embedding_type", "absolute") != "absolute":
            return None
        found = cls(model, bert)
        given = model.tokenizer([_PROBE], return_tensors="pt")
        with torch.inference_mode():
            exact = model({key: value.to(bert.device) for key, value in given.items()})
            own = found._pooled(found._seen(given["input_ids"].to(bert.device)).states[-1])
            near = torch.nn.functional.cosine_similarity(
                own.float(), exact["sentence_embedding"].float()
            )
        return found if float(near) > 0.999 else None

    def seen(self, ids: Sequence[int]) -> Seen:
        """What every layer makes of a text."""
        import torch

        with torch.inference_mode():
            return self._seen(torch.tensor([list(ids)], device=self._bert.device))

    def swapped(self, seen: Seen, at: int, tokens: Sequence[int]) -> Vectors:
        """Unit vectors, (n, dim), of the text with each of n tokens at one place."""
        import torch

        found = []
        with torch.inference_mode():
            for start in range(0, len(tokens), _BATCH):
                new = torch.tensor(tokens[start : start + _BATCH], device=self._bert.device)
                pooled = self._pooled(self._top(seen, at, new)).float()
                found.append(torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy())
        rows: Vectors = np.concatenate(found).astype(np.float32, copy=False)
        return rows

    def _seen(self, ids: torch.Tensor) -> Seen:
        state = self._bert.embeddings(input_ids=ids)
        states, keys, values = [state], [], []
        for layer in self._layers:
            own = layer.attention.self
            key, value = own.key(state), own.value(state)
            state = self._through(layer, state, key, value)
            states.append(state)
            keys.append(key)
            values.append(value)
        return Seen(ids, tuple(states), tuple(keys), tuple(values))

    def _top(self, seen: Seen, at: int, new: torch.Tensor) -> torch.Tensor:
        """States after the last layer, (n, l, dim)."""
        low, high = max(0, at - _AROUND), min(seen.ids.shape[1], at + _AROUND + 1)
        ids = seen.ids.repeat(len(new), 1)
        ids[:, at] = new
        state = self._bert.embeddings(input_ids=ids)[:, low:high]
        for number, layer in enumerate(self._layers):
            if number == self._n_lower:
                state = _within(seen.states[number], state, low, high)
            own = layer.attention.self
            key, value = own.key(state), own.value(state)
            if number < self._n_lower:
                key = _within(seen.keys[number], key, low, high)
                value = _within(seen.values[number], value, low, high)
            state = self._through(layer, state, key, value)
        above: torch.Tensor = state
        return above

    def _through(self, layer: Any, state: Any, key: Any, value: Any) -> Any:
        """One layer: from states, and keys and values of the whole text, to states."""
        import torch

        def heads(rows: torch.Tensor) -> torch.Tensor:
            return rows.view(rows.shape[0], rows.shape[1], self._n_heads, -1).transpose(1, 2)

        query = heads(layer.attention.self.query(state))
        mixed = torch.nn.functional.scaled_dot_product_attention(query, heads(key), heads(value))
        flat = mixed.transpose(1, 2).reshape(state.shape)
        after = layer.attention.output(flat, state)
        return layer.output(layer.intermediate(after), after)

    def _pooled(self, state: Any) -> Any:
        """What the modules behind the transformer make of its states."""
        import torch

        mask = torch.ones(state.shape[:2], dtype=torch.long, device=state.device)
        given: dict[str, Any] = {"token_embeddings": state, "attention_mask": mask}
        for module in self._above:
            given = module(given)
        return given["sentence_embedding"]


def _within(whole: torch.Tensor, part: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """The rows of one text, (1, l, dim), with a stretch of n texts, (n, high - low, dim), in it."""
    import torch

    n = len(part)
    sides = whole[:, :low].expand(n, -1, -1), whole[:, high:].expand(n, -1, -1)
    return torch.cat([sides[0], part, sides[1]], dim=1)
