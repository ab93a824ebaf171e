"""The numpy forward pass is that of transformers, for every shape it accepts."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ragshield.errors import InputError
from ragshield.readers import llama
from ragshield.readers.llama import Llama, safetensors


def _made(folder: Path, *, dtype: torch.dtype = torch.float16, **settings: object) -> Path:
    torch.manual_seed(0)
    values: dict[str, object] = {
        "vocab_size": 97,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 400,
        "initializer_range": 0.4,  # far from even odds, so that a wrong turn shows
    }
    model = LlamaForCausalLM(LlamaConfig(**(values | settings)))
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.data += torch.rand(weight.shape)
    model.to(dtype).save_pretrained(folder)
    return folder


SHAPES: dict[str, dict[str, object]] = {
    "plain": {},
    "tied embeddings": {"tie_word_embeddings": True},
    "heads that share keys": {"num_key_value_heads": 2},
    "heads wider than their share": {"head_dim": 20},
    "another base of angles": {"rope_theta": 500.0},
    "float32": {"dtype": torch.float32},
    "bfloat16": {"dtype": torch.bfloat16},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_ids", [1, 5, 128, 129, 300])
def test_what_is_expected_next_is_what_transformers_expects(
    shape: str, n_ids: int, tmp_path: Path
) -> None:
    folder = _made(tmp_path, **SHAPES[shape])
    ids = np.random.default_rng(n_ids).integers(0, 97, n_ids).tolist()
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode():
        wanted = model(input_ids=torch.tensor([ids])).logits[0, -1].numpy()
    found = Llama(folder).logits(ids)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=2e-4 * np.abs(wanted).max())


def test_it_goes_on_as_transformers_goes_on(tmp_path: Path) -> None:
    folder = _made(tmp_path)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    mine = Llama(folder)
    for seed in range(20):
        ids = np.random.default_rng(seed).integers(3, 97, 10 + 13 * seed).tolist()
        with torch.inference_mode():
            out = model.generate(
                torch.tensor([ids]), max_new_tokens=8, do_sample=False, eos_token_id=None
            )
        wanted = out[0, len(ids) :].tolist()
        assert mine.continued(ids, most=8, end=-1) == wanted
        assert mine.continued(ids, most=8, end=wanted[3]) == wanted[: wanted.index(wanted[3])]


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_the_size_of_the_pieces_changes_nothing_but_rounding(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Llama(_made(tmp_path))
    ids = np.random.default_rng(1).integers(0, 97, 90).tolist()
    whole = model.logits(ids)
    monkeypatch.setattr(llama, "_CHUNK", chunk)
    np.testing.assert_allclose(model.logits(ids), whole, atol=1e-3)


def test_more_than_fits_is_refused(tmp_path: Path) -> None:
    model = Llama(_made(tmp_path))
    assert model.window == 400
    with pytest.raises(ValueError, match="0 ids and 8 more; allowed: 1 to 400"):
        model.continued([], most=8, end=2)
    with pytest.raises(ValueError, match="393 ids and 8 more"):
        model.continued([5] * 393, most=8, end=2)


def test_it_stops_when_the_time_is_over(tmp_path: Path) -> None:
    model = Llama(_made(tmp_path))
    with pytest.raises(TimeoutError):
        model.continued([5], most=8, end=2, limit=time.monotonic() - 1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"model_type": "gpt2"}, "model_type is 'gpt2'; only 'llama' is read here"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type is 'yarn'"),
        ({"num_hidden_layers": 9}, "model.layers.3.input_layernorm.weight"),
        ({"hidden_size": 64}, "width is not 64"),
        ({"max_position_embeddings": None}, "no number 'max_position_embeddings'"),
    ],
)
def test_another_architecture_is_refused_and_named(
    setting: dict[str, object], message: str, tmp_path: Path
) -> None:
    folder = _made(tmp_path)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | setting), encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        Llama(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"\x02" + b"\0" * 7 + b"[]"])
def test_broken_weights_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match="holds no weights that can be read"):
        safetensors(path)


def test_numbers_of_another_kind_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    save_file({"a": torch.arange(3)}, path)
    with pytest.raises(InputError, match="numbers of kind I64; allowed: BF16, F16, F32, F64"):
        safetensors(path)
