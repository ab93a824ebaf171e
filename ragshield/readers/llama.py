"""The forward pass of a small Llama in numpy: answers without torch."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError

_CHUNK = 128  # tokens read at once: what passes between layers then stays in the cache
_WIDTHS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_BF16 = "BF16"

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One block's weights: norms and the attention's scale are multiplied into them."""

    query_key_value: Array
    out: Array
    gate_up: Array
    down: Array


class Llama:
    """A Llama language model that continues token ids by the likeliest ones.

    The same architecture as `transformers.LlamaForCausalLM`, in float32, from the same
    files. Each prompt is read alone, in pieces with its keys and values kept: no padding,
    so an answer never depends on what else was asked.

    Differs: norm weights and the attention's scale are multiplied into the matrices that
    follow them, so that logits differ from those of torch by rounding (about 1e-5).

    Args:
        folder: holds `config.json` and `model.safetensors`.

    Attributes:
        window: most tokens, prompt and answer together.

    Raises:
        InputError: no such files, broken ones, or another architecture.
    """

    def __init__(self, folder: Path) -> None:
        config, tensors = _config(folder / "config.json"), safetensors(folder / "model.safetensors")
        self.window = _number(config, "max_position_embeddings")
        self._epsilon = np.float32(config.get("rms_norm_eps", 1e-6))
        self._n_heads = _number(config, "num_attention_heads")
        self._n_kv = int(config.get("num_key_value_heads") or self._n_heads)
        width = _number(config, "hidden_size")
        self._width = int(config.get("head_dim") or width // self._n_heads)
        try:
            self._embedding = tensors["model.embed_tokens.weight"]
            norm = tensors["model.norm.weight"]
            tied = config.get("tie_word_embeddings", False)
            head = self._embedding if tied else tensors["lm_head.weight"]
            self._head = np.ascontiguousarray((head * norm).T)
            self._layers = [
                self._layer(tensors, f"model.layers.{i}.")
                for i in range(_number(config, "num_hidden_layers"))
            ]
        except (KeyError, ValueError) as error:
            raise InputError(f"{folder} holds no Llama that can be read: {error}") from None
        if self._embedding.shape[1:] != (width,):
            raise InputError(f"{folder} holds no Llama that can be read: width is not {width}")
        angles = np.outer(
            np.arange(self.window),
            _theta(config) ** -(np.arange(0, self._width, 2, dtype=np.float64) / self._width),
        )
        self._cos = np.cos(angles).astype(np.float32)
        self._sin = np.sin(angles).astype(np.float32)

    def _layer(self, tensors: Mapping[str, Array], name: str) -> _Layer:
        def part(inner: str) -> Array:
            return tensors[f"{name}{inner}.weight"]

        before, after = part("input_layernorm"), part("post_attention_layernorm")
        query = part("self_attn.q_proj") * np.float32(self._width**-0.5)
        parts = (query, part("self_attn.k_proj"), part("self_attn.v_proj"))
        wide = (part("mlp.gate_proj"), part("mlp.up_proj"))
        return _Layer(
            np.ascontiguousarray((np.concatenate(parts) * before).T),
            np.ascontiguousarray(part("self_attn.o_proj").T),
            np.ascontiguousarray((np.concatenate(wide) * after).T),
            np.ascontiguousarray(part("mlp.down_proj").T),
        )

    def continued(
        self, ids: Sequence[int], *, most: int, end: int, limit: float | None = None
    ) -> list[int]:
        """The likeliest next ids, up to but without `end`.

        Args:
            ids: the prompt, at least one id.
            most: how many ids at most.
            end: the id that ends an answer.
            limit: the time of `time.monotonic` at which it is given up; None = never.

        Raises:
            TimeoutError: the limit came first.
            ValueError: no ids, or more than fit into the window.
        """
        if not ids or len(ids) + most > self.window:
            raise ValueError(f"{len(ids)} ids and {most} more; allowed: 1 to {self.window}")
        memory = _Memory(len(self._layers), self._n_kv, len(ids) + most, self._width)
        logits = self._read(ids, memory, limit)
        found: list[int] = []
        while len(found) < most:
            best = int(logits.argmax())
            if best == end:
                break
            found.append(best)
            if len(found) < most:
                logits = self._read([best], memory, limit)
        return found

    def logits(self, ids: Sequence[int]) -> Array:
        """What the model expects after these ids: (vocabulary,) float32."""
        return self._read(ids, _Memory(len(self._layers), self._n_kv, len(ids), self._width))

    def _read(self, ids: Sequence[int], memory: _Memory, limit: float | None = None) -> Array:
        """Take in further ids; what is expected after the last of them."""
        for start in range(0, len(ids), _CHUNK):
            if limit is not None and time.monotonic() > limit:
                raise TimeoutError
            last = start + _CHUNK >= len(ids)
            x = self._through(np.array(ids[start : start + _CHUNK]), memory, last=last)
        found: Array = (self._normed(x[-1:]) @ self._head)[0]
        return found

    def _through(self, ids: NDArray[np.int64], memory: _Memory, *, last: bool) -> Array:
        n, begin = len(ids), memory.n
        cos, sin = self._cos[begin : begin + n, None], self._sin[begin : begin + n, None]
        causal = np.triu(np.full((n, n), -np.inf, dtype=np.float32), 1)
        n_query, n_key = self._n_heads * self._width, self._n_kv * self._width
        x = self._embedding[ids]
        for number, layer in enumerate(self._layers):
            made = self._normed(x) @ layer.query_key_value
            query, key, value = np.split(made, (n_query, n_query + n_key), axis=1)
            memory.keep(
                number,
                _turned(key.reshape(n, self._n_kv, self._width), cos, sin),
                value.reshape(n, self._n_kv, self._width),
            )
            turned = _turned(query.reshape(n, self._n_heads, self._width), cos, sin)
            if number == len(self._layers) - 1:
                if not last:
                    break
                # Only the last word's expectation is wanted: the others end here.
                turned, x, causal = turned[-1:], x[-1:], causal[-1:]
            x = x + self._attended(turned, number, memory, causal) @ layer.out
            gate, up = np.split(self._normed(x) @ layer.gate_up, 2, axis=1)
            x = x + (_silu(gate) * up) @ layer.down
        memory.n += n
        return x

    def _attended(self, query: Array, number: int, memory: _Memory, causal: Array) -> Array:
        """(n, heads * width): what each of the last n words takes from all before it."""
        n, n_new = len(query), causal.shape[1]
        keys, values = memory.read(number, n_new)
        shared = self._n_heads // self._n_kv
        # Heads that share keys stand one below the other.
        rows = query.transpose(1, 0, 2).reshape(self._n_kv, shared * n, self._width)
        weight: Array = np.matmul(rows, keys.swapaxes(1, 2), dtype=np.float32)
        weight.reshape(self._n_heads, n, -1)[:, :, -n_new:] += causal
        weight -= weight.max(axis=2, keepdims=True)
        np.exp(weight, out=weight)
        taken: Array = np.matmul(weight, values, dtype=np.float32)
        taken /= weight.sum(axis=2, keepdims=True)
        shaped = taken.reshape(self._n_heads, n, self._width).transpose(1, 0, 2)
        found: Array = shaped.reshape(n, self._n_heads * self._width)
        return found

    def _normed(self, x: Array) -> Array:
        squares = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[1])
        found: Array = x / np.sqrt(squares + self._epsilon)
        return found


class _Memory:
    """Keys and values of what was read so far, (layers, heads, words, width)."""

    def __init__(self, n_layers: int, n_heads: int, most: int, width: int) -> None:
        self._keys = np.empty((n_layers, n_heads, most, width), dtype=np.float32)
        self._values = np.empty_like(self._keys)
        self.n = 0

    def keep(self, layer: int, keys: Array, values: Array) -> None:
        end = self.n + len(keys)
        self._keys[layer, :, self.n : end] = keys.transpose(1, 0, 2)
        self._values[layer, :, self.n : end] = values.transpose(1, 0, 2)

    def read(self, layer: int, n_new: int) -> tuple[Array, Array]:
        end = self.n + n_new
        return self._keys[layer, :, :end], self._values[layer, :, :end]


def _turned(x: Array, cos: Array, sin: Array) -> Array:
    """Rotary positions: (n, heads, width) by the angles (n, 1, width / 2)."""
    half = x.shape[2] // 2
    found = np.empty_like(x)
    found[:, :, :half] = x[:, :, :half] * cos - x[:, :, half:] * sin
    found[:, :, half:] = x[:, :, half:] * cos + x[:, :, :half] * sin
    return found


def _silu(x: Array) -> Array:
    with np.errstate(over="ignore"):  # far below zero the exponential is infinite, silu zero
        found: Array = x / (1 + np.exp(-x))
    return found


def safetensors(path: Path) -> dict[str, Array]:
    """All tensors of a safetensors file, as float32.

    Raises:
        InputError: no such file, a broken one, or numbers of a kind that is not read here.
    """
    try:
        data = path.read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        header.pop("__metadata__", None)
        return {name: _tensor(entry, data, start) for name, entry in header.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no weights that can be read: {error}") from None


def _tensor(entry: Mapping[str, Any], data: bytes, start: int) -> Array:
    kind, shape = entry["dtype"], tuple(entry["shape"])
    first, end = entry["data_offsets"]
    part = data[start + first : start + end]
    if kind == _BF16:  # the upper half of a float32
        wide = np.frombuffer(part, dtype="<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(shape)
    if kind not in _WIDTHS:
        raise ValueError(f"numbers of kind {kind}; allowed: {_BF16}, {', '.join(_WIDTHS)}")
    return np.frombuffer(part, dtype=_WIDTHS[kind]).reshape(shape).astype(np.float32)


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        wanted: dict[str, Any] = {"model_type": "llama", "hidden_act": "silu"}
        wanted |= {"attention_bias": False, "mlp_bias": False}
        for name, value in wanted.items():
            if config.get(name, value if name != "model_type" else None) != value:
                raise ValueError(f"{name} is {config.get(name)!r}; only {value!r} is read here")
        _theta(config)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path.parent} holds no Llama that can be read: {error}") from None
    return dict(config)


def _theta(config: Mapping[str, Any]) -> float:
    """The base of the rotary angles; transformers 4 and 5 write it in different places."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise ValueError(f"rope_type is {kind!r}; only 'default' is read here")
    return float(rope.get("rope_theta", config.get("rope_theta", 10_000.0)))


def _number(config: Mapping[str, Any], name: str) -> int:
    try:
        return int(config[name])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"config.json has no number '{name}'") from None
