"""The token search on a small GPT-2: what is returned is what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.causal import CausalReader
from ragshield.attacks.gcg import Scene, Search, _allowed, _measured, _slopes, searched

pytestmark = pytest.mark.model


@pytest.fixture
def reader(facts) -> CausalReader:
    return CausalReader(
        "test", facts.model, facts.tokenizer, prompt=facts.PROMPT, max_answer_tokens=1
    )


@pytest.fixture
def scene(facts) -> Scene:
    others = ("The original documents are kept in the company archive.", "Egil is a name")
    return Scene(facts.question("Ashmill"), "It was Hilda.", "The end.", others, "Hilda")


def run(reader, scene, *, seed: int = 0, **more):
    search = Search(**{"n_tokens": 4, "n_steps": 6, "top_k": 32, "n_candidates": 24, **more})
    rng = np.random.default_rng(seed)
    return searched(reader, scene, search, enough=lambda one: False, rng=rng)


def test_the_loss_falls_and_is_that_of_the_text_in_the_prompt(reader, scene) -> None:
    first, best, n_steps = run(reader, scene)
    assert best.loss < first.loss
    [log_p] = reader.log_probs(scene.question, [scene.contexts(best.trigger)], "Hilda")
    assert best.cross_entropy == pytest.approx(-log_p, abs=1e-4)
    assert scene.passage(best.trigger) == f"It was Hilda. {best.trigger} The end."
    assert (best.variance, n_steps) == (None, 6)
    assert len(reader.tokenizer(best.trigger)["input_ids"]) <= 4


def test_the_same_seed_finds_the_same_tokens(reader, scene) -> None:
    assert run(reader, scene, seed=1) == run(reader, scene, seed=1)
    assert run(reader, scene, seed=1) != run(reader, scene, seed=2)


def test_the_gradient_tells_which_replacements_lower_the_loss(reader, scene) -> None:
    search = Search(n_tokens=4, n_steps=1, top_k=8, n_candidates=40)
    allowed = _allowed(reader, ascii_only=True)
    agreement = []
    for seed in range(4):
        drawn = np.random.default_rng(seed).choice(allowed, size=4).tolist()
        slopes, now = _slopes(reader, scene, reader.tokenizer.decode(drawn), search, allowed)
        assert (slopes.shape, now) == ((4, len(allowed)), drawn)
        tried = [reader.tokenizer.decode([token, *drawn[1:]]) for token in allowed]
        losses = [one.loss for one in _measured(reader, scene, tried, search)]
        ranks = [np.argsort(np.argsort(values)) for values in (slopes[0], losses)]
        agreement.append(np.corrcoef(*ranks)[0, 1])
    assert np.mean(agreement) > 0.2


def test_attention_is_measured_in_percent_and_its_variance_is_pressed_down(reader, scene) -> None:
    first, best, _ = run(reader, scene, attention_weight=1.0, n_steps=10)
    for one in (first, best):
        assert 0.0 < one.share < 100.0
        assert one.loss == pytest.approx(one.cross_entropy + one.variance, rel=1e-4)
    assert best.variance < first.variance
    assert reader.model.config._attn_implementation != "eager"


def test_it_stops_when_it_is_enough(reader, scene) -> None:
    search = Search(n_tokens=4, n_steps=9, top_k=32, n_candidates=24)
    first, best, n_steps = searched(
        reader, scene, search, enough=lambda one: True, rng=np.random.default_rng(0)
    )
    assert (n_steps, best) == (0, first)
    assert reader.n_backward == 0
