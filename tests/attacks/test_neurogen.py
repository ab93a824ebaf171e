"""NeuroGenPoisoning on a GPT-2 that really knows better: mechanics, on eight facts."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ragshield import registry
from ragshield.attacks.causal import CausalReader
from ragshield.attacks.crafted import generation_text
from ragshield.errors import UsageError
from ragshield.readers.extractive import ExtractiveReader
from ragshield.records import Passage, Spec

pytestmark = pytest.mark.model


@pytest.fixture
def breed(facts):
    def make(mill: int = 0, wrong: int = 3, *, seed: int = 0, **params: object) -> list[Passage]:
        given = {
            "model": facts.model, "tokenizer": facts.tokenizer, "prompt": facts.PROMPT,
            "closed_prompt": facts.CLOSED, "population": 24, "n_generations": 6,
            "max_answer_tokens": 1,
        }  # fmt: skip
        attack = registry.build(Spec("attack", "neurogen", {**given, **params}))
        return attack.craft(facts.target(mill, wrong), rng=np.random.default_rng(seed))

    return make


def test_a_text_is_bred_that_flips_what_the_model_knows(facts, breed) -> None:
    [passage] = breed(attribution="answer")
    meta = passage.meta
    assert meta["memory"] == "Anders"
    assert meta["posr_first"] < 0.5 < meta["posr"]
    assert meta["fitness_first"] < meta["fitness_last"]
    assert (meta["verified"], meta["weak"]) == (True, False)
    reader = CausalReader("test", facts.model, facts.tokenizer, prompt=facts.PROMPT)
    assert reader.answers(facts.question("Ashmill"), [[generation_text(passage)]])[0].startswith(
        "Dagny"
    )
    assert meta["n_backward"] > 0
    assert re.fullmatch(r"(\d+:\d+, ){9}\d+:\d+", str(meta["neurons"]))


@pytest.mark.parametrize("fitness", ["neurons", "log-probability"])
def test_the_share_of_the_population_that_flips_rises(breed, fitness: str) -> None:
    found = [breed(mill, mill + 3, fitness=fitness)[0].meta for mill in (0, 1, 4)]
    first = np.mean([meta["posr_first"] for meta in found])
    last = np.mean([meta["posr"] for meta in found])
    assert last > first + 0.25
    assert all(meta["fitness_first"] < meta["fitness_last"] for meta in found)
    assert all(meta["n_reused"] > 0 for meta in found)


def test_passes_through_the_model_are_counted_and_bounded(facts, breed) -> None:
    [passage] = breed(longer=0)
    meta = passage.meta
    assert meta["n_generations"] == 6
    assert meta["n_evaluations"] <= 24 * 7
    # Two rows for the fitness and one for the answer, the seeds and both perplexities.
    assert meta["n_forward"] <= 3 * meta["n_evaluations"] + 2 * 16 + 2 * 24 + 1
    assert meta["n_backward"] == 0


def test_memory_that_resists_is_bred_against_for_longer(breed) -> None:
    [short] = breed(n_generations=0, longer=0)
    [longer] = breed(n_generations=0, longer=2)
    assert (short.meta["n_generations"], longer.meta["n_generations"]) == (0, 2)


def test_seeds_choose_the_same_neurons_for_every_target(facts, breed) -> None:
    seeds = [
        (facts.question(mill), f"Experts agree that {facts.NAMES[7 - i]} founded {mill}.")
        for i, mill in enumerate(facts.MILLS)
    ]
    places = {breed(m, m + 1, seeds=seeds, n_generations=0)[0].meta["neurons"] for m in (0, 1, 2)}
    assert len(places) == 1


def test_several_passages_are_the_best_of_the_last_generation(breed) -> None:
    passages = breed(n=4, fitness="log-probability")
    fitness = [(p.meta["verified"], p.meta["fitness"]) for p in passages]
    assert fitness == sorted(fitness, reverse=True)
    assert len({p.text for p in passages}) == 4


def test_similarity_can_be_a_second_objective(breed, word_encoder) -> None:
    [alone] = breed(fitness="log-probability")
    [both] = breed(fitness="log-probability", similarity_weight=2.0, encoder=word_encoder)
    assert both.meta["fitness_by"] == "log-probability + similarity"
    assert both.meta["n_encoder_calls"] > both.meta["n_evaluations"]
    assert alone.meta["n_encoder_calls"] == 0


def test_without_a_model_a_reader_and_a_judge_will_do(
    target, openai_server, written_by, word_encoder
) -> None:
    def script(prompt: str, n: int) -> str:
        return "About 8, I think." if "Experts" in prompt else "3"

    with openai_server.scripted(script) as server:
        [passage] = written_by(
            "neurogen", server, fitness="judge", texts="template", population=8, n_generations=2,
            rates={"phrase": 1.0}, reader=ExtractiveReader(),
        )  # fmt: skip
    meta = passage.meta
    assert meta["n_llm_calls"] == len(server.prompts) == meta["n_evaluations"]
    assert (meta["memory"], meta["neurons"]) == (None, None)
    assert meta["posr"] is not None
    assert meta["fitness_by"] == "judge"


def test_a_language_model_writes_the_first_population_in_several_formats(
    openai_server, written_by
) -> None:
    def script(prompt: str, n: int) -> str:
        return f"Entry {n}: Per Lund founded Brackwater Mills. It is well known."

    with openai_server.scripted(script) as server:
        [passage] = written_by(
            "neurogen", server, fitness="answers", reader=ExtractiveReader(), population=4,
            n_generations=1,
        )  # fmt: skip
    assert ["Write a news report" in p for p in server.prompts] == [True, False, False, False]
    assert "- Entry 0:" in server.prompts[1]
    assert (passage.meta["variant"], passage.meta["n_llm_calls"]) == ("llm", 4)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"model": None}, "needs a causal language model: give model"),
        ({"fitness": "answers"}, "fitness 'answers' needs reader: give reader"),
        ({"fitness": "judge"}, "fitness 'judge' needs llm: give llm"),
        ({"fitness": "similarity"}, "fitness 'similarity' needs encoder: give encoder"),
        ({"fitness": "luck"}, "fitness is 'luck'; allowed: neurons, log-probability"),
        ({"n": 3, "population": 2}, "population is 2; it must be at least 3"),
        ({"rates": {"cross": 2.0}}, r"cross is 2\.0; it must be between 0 and 1"),
        ({"rates": {"luck": 0.5}}, "luck"),
    ],
)
def test_what_cannot_be_done_is_refused(breed, params: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        breed(**params)
