from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.adversarial_decoding import judged_natural
from ragshield.attacks.causal import CausalReader
from ragshield.errors import RagshieldError, UsageError

WORDS = """who founded brackwater mills the mill was built by ida holm per lund a river town of ash
. north south painter work Yes No is this text unintelligible ? " Just answer or : Answer"""


@pytest.fixture(scope="module")
def speaker():
    """A GPT-2 of width 32 with random weights, and its word-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(dict.fromkeys(["<end>", *WORDS.split()]))}
    inner = Tokenizer(models.WordLevel(words, unk_token="<end>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<end>", eos_token="<end>", pad_token="<end>"
    )
    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
    config = GPT2Config(vocab_size=len(words), initializer_range=0.3, **sizes)
    return {"model": GPT2LMHeadModel(config), "tokenizer": tokenizer}


@pytest.fixture
def made(craft, speaker, word_encoder):
    def make(**params):
        defaults = {"encoder": word_encoder, "n_tokens": 6, "beam_width": 4, "top_k": 20}
        given = {"fluency": "none", "top_p": 1.0, **speaker, **defaults, **params}
        return craft("adversarial-decoding", **given)

    return make


def cosine(encoder, passage, question="Who founded Brackwater Mills?") -> float:
    near, aim = encoder.encode([passage.text, question])
    return float(near @ aim)


def test_a_wider_search_is_nearer_to_the_question(made, word_encoder) -> None:
    [narrow], [wide] = made(top_k=1, beam_width=1), made()
    assert wide.meta["objective_after"] == pytest.approx(cosine(word_encoder, wide), abs=1e-5)
    assert cosine(word_encoder, wide) > cosine(word_encoder, narrow) + 0.02


def test_every_word_is_the_models_and_the_payload_stands_behind(made) -> None:
    [passage] = made()
    words = passage.text[: int(passage.meta["retrieval_end"])].split()
    assert 1 <= len(words) <= 6
    assert set(words) <= set(WORDS.split())
    assert passage.meta["states_target"] is True


def test_likelihood_prefers_what_the_model_would_say(made, speaker) -> None:
    [likely], [near] = made(fluency="likelihood"), made(fluency="none")
    assert likely.meta["log_likelihood"] > near.meta["log_likelihood"]
    assert near.meta["objective_after"] > likely.meta["objective_after"]


def test_the_stated_likelihood_is_the_models(made, speaker) -> None:
    import torch

    [passage] = made(n_tokens=3)
    text = passage.text[: int(passage.meta["retrieval_end"])]
    tokenizer, model = speaker["tokenizer"], speaker["model"]
    before = tokenizer("Who founded Brackwater Mills?")["input_ids"]
    whole = tokenizer(f"Who founded Brackwater Mills? {text}")["input_ids"]
    with torch.no_grad():
        logs = torch.log_softmax(model(torch.tensor([whole])).logits[0], dim=-1)
    own = [float(logs[i - 1, whole[i]]) for i in range(len(before), len(whole))]
    assert passage.meta["log_likelihood"] == pytest.approx(float(np.mean(own)), abs=1e-3)


def test_a_judge_says_no_more_than_yes_of_what_is_natural(speaker) -> None:
    import torch

    reader = CausalReader("adversarial-decoding", **speaker)
    prompts = ["the mill was built . Answer :", "river river ?"]
    found = judged_natural(reader, prompts)
    no, yes = (speaker["tokenizer"](w)["input_ids"][0] for w in ("No", "Yes"))
    for prompt, value in zip(prompts, found, strict=True):
        ids = torch.tensor([speaker["tokenizer"](prompt)["input_ids"]])
        with torch.no_grad():
            odds = torch.softmax(speaker["model"](ids).logits[0, -1], dim=-1)
        expected = float((odds[no] - odds[yes]) / (odds[no] + odds[yes]))
        assert value == pytest.approx(expected, abs=1e-5)


def test_the_cost_is_bounded_and_stated(made, word_encoder) -> None:
    before = word_encoder.n_texts
    [passage] = made(fluency="judge", n_tokens=3, beam_width=2, top_k=5)
    assert word_encoder.n_texts - before == passage.meta["n_encoder_calls"]
    assert passage.meta["n_encoder_calls"] <= 1 + 5 + 2 * 2 * 5
    assert passage.meta["n_llm_calls"] <= 5 + 2 * (2 + 10) + 1 + 2


def test_what_is_missing_is_named(craft, speaker, word_encoder) -> None:
    with pytest.raises(RagshieldError, match=r"adversarial-decoding: needs a causal.*give model"):
        craft("adversarial-decoding", encoder=word_encoder)
    with pytest.raises(UsageError, match="adversarial-decoding: needs similarity scores"):
        craft("adversarial-decoding", **speaker)
    with pytest.raises(UsageError, match=r"top_p is 0; it must be above 0"):
        craft("adversarial-decoding", top_p=0)
