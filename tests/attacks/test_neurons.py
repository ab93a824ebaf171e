"""Finding feed-forward neurons in several architectures, randomly initialised."""

from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.causal import CausalReader
from ragshield.attacks.neurons import Neurons, feed_forward, responsive
from ragshield.errors import UsageError

pytestmark = pytest.mark.model

QUESTION = "Who founded Ashmill?"
PASSAGES = ["It was Hilda.", "According to recent studies, Egil founded Ashmill, as all agree."]
_SIZES = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 128, "initializer_range": 0.3,
}  # fmt: skip
KINDS = {
    "LlamaForCausalLM": ("LlamaConfig", _SIZES),
    "Qwen2ForCausalLM": ("Qwen2Config", {**_SIZES, "num_key_value_heads": 2}),
    "GPTNeoXForCausalLM": ("GPTNeoXConfig", _SIZES),
    "GPT2LMHeadModel": (
        "GPT2Config",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 48, "initializer_range": 0.3},
    ),
    "OPTForCausalLM": (
        "OPTConfig",
        {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "word_embed_proj_dim": 32, "init_std": 0.3},
    ),
}  # fmt: skip


@pytest.fixture(params=list(KINDS))
def reader(request, words) -> CausalReader:
    return made(request.param, words)


def made(kind: str, words) -> CausalReader:
    import torch
    import transformers

    config, sizes = KINDS[kind]
    special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": 0}
    torch.manual_seed(0)
    model = getattr(transformers, kind)(
        getattr(transformers, config)(vocab_size=len(words.tokenizer), **sizes, **special)
    )
    return CausalReader("test", model, words.tokenizer, prompt=words.PROMPT, max_answer_tokens=1)


def test_each_block_has_one_feed_forward_part_and_its_neurons_are_found(reader) -> None:
    neurons = Neurons(reader)
    changes = neurons.changes(QUESTION, PASSAGES)
    assert len(feed_forward(reader.model)) == 2
    assert changes.shape == (2, 96)
    assert np.abs(changes).max() > 1e-3
    assert (neurons.place_of(0), neurons.place_of(95)) == ((0, 0), (1, 47))
    with pytest.raises(ValueError, match="there is no neuron"):
        neurons.place_of(96)


def test_a_passage_changes_the_same_whatever_it_is_batched_with(reader) -> None:
    neurons = Neurons(reader)
    together = neurons.changes(QUESTION, PASSAGES)
    alone = np.concatenate([neurons.changes(QUESTION, [text]) for text in PASSAGES])
    assert np.allclose(together, alone, atol=1e-5)


def test_integrated_gradients_of_the_tokens_add_up_to_the_change(reader) -> None:
    neurons = Neurons(reader)
    [change] = neurons.changes(QUESTION, PASSAGES[:1])
    chosen = responsive(change[None], top_k=4, most=4)
    by_token = neurons.integrated(QUESTION, PASSAGES[0], chosen, steps=200)
    assert by_token.shape == (4, 4)
    assert by_token.sum(axis=1) == pytest.approx(change[chosen], rel=0.05, abs=0.02)
    assert reader.n_backward == 800


def test_what_works_for_an_answer_adds_up_over_all_neurons_of_one_block(words) -> None:
    """With one block, the path moves everything that the passage does at that position."""
    import torch

    reader = made("GPT2LMHeadModel", words)
    neurons = Neurons(reader)
    both = neurons.towards(QUESTION, PASSAGES, "Egil", rival="Anders", steps=16)
    alone = neurons.towards(QUESTION, PASSAGES[1:], "Egil", rival="Anders", steps=16)
    assert np.allclose(both[1:], alone, atol=1e-4)
    # Completeness: the sum is what the neurons' own path changes of the log odds.
    laid = reader.laid(QUESTION, [PASSAGES[1]], room=1)
    rows = [list(laid.ids)]
    whole = reader.embedded(rows)
    odds = []
    with torch.no_grad():
        here = neurons._outputs(rows, neurons._without(whole, [laid]))
        there = neurons._outputs(rows, whole)
        for values in (here, there):
            with neurons._replaced(values, [-1]):
                logits = reader.forward(rows).logits[0, -1]
            ids = [words.tokenizer.convert_tokens_to_ids(name) for name in ("Egil", "Anders")]
            odds.append(float(logits[ids[0]] - logits[ids[1]]))
    assert both[1].sum() == pytest.approx(odds[1] - odds[0], rel=0.05, abs=0.02)


def test_responsive_neurons_are_those_most_often_among_the_strongest() -> None:
    seeds = np.array([[9.0, -8.0, 0.0, 1.0], [0.5, -7.0, 6.0, 0.0], [0.0, 5.0, 0.0, -9.0]])
    assert responsive(seeds, top_k=2, most=1) == [1]
    assert responsive(seeds, top_k=2, most=9) == [1, 3, 0, 2]


def test_a_mixture_of_experts_is_refused(words) -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    model = MixtralForCausalLM(
        MixtralConfig(
            vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=4, num_key_value_heads=2, num_local_experts=2,
        )
    )  # fmt: skip
    with pytest.raises(UsageError, match="MixtralForCausalLM; give a dense model like Llama"):
        feed_forward(model)


def test_neurons_put_back_undo_what_the_passage_did_through_them(reader) -> None:
    neurons = Neurons(reader)
    usual = reader.log_probs(QUESTION, [[text] for text in PASSAGES], "Hilda")
    none = neurons.put_back(QUESTION, PASSAGES, "Hilda", [])
    np.testing.assert_allclose(none, usual, atol=1e-4)
    every = neurons.put_back(QUESTION, PASSAGES, "Hilda", range(96))
    assert np.abs(every - usual).min() > 1e-3
    still = np.flatnonzero(np.abs(neurons.changes(QUESTION, PASSAGES)).max(axis=0) < 1e-9)
    np.testing.assert_allclose(
        neurons.put_back(QUESTION, PASSAGES, "Hilda", still.tolist()), usual, atol=1e-4
    )
