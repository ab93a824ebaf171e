from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.garag_breeding import Breeding, Settings
from ragshield.attacks.garag_objectives import ByModel, ByReader
from ragshield.errors import UsageError
from ragshield.readers.extractive import ExtractiveReader
from ragshield.records import Question, Target
from ragshield.text import states
from ragshield.vectors import cosines


def test_both_objectives_are_met_and_the_answer_is_untouched(craft, retriever) -> None:
    [passage] = craft(
        "garag-search", retriever=retriever, reader=ExtractiveReader(), prefix=False,
        encoder=retriever.encoder,
    )  # fmt: skip
    assert states(passage.text, "Ida Holm")
    meta = passage.meta
    assert meta["rsr"] < 1
    assert (meta["answers_wrong"], meta["variant"], meta["weak"]) == (True, "true", False)
    reply = ExtractiveReader().answer(meta["question"], [passage])
    assert not states(reply, "Ida Holm")
    honest = retriever.retrieve("Brackwater Mills", 5)
    [original] = [h.text for h in honest if len(h.text) and h.text[:12] == passage.text[:12]][:1]
    rows = retriever.encoder.encode([original, passage.text, meta["question"]])
    before, after = cosines(rows[:2], rows[2])
    assert meta["rsr"] == pytest.approx(before / after, rel=1e-3)


def test_evaluations_are_bounded_and_counted(craft, retriever) -> None:
    before = retriever.encoder.n_texts
    [passage] = craft(
        "garag-search", retriever=retriever, reader=ExtractiveReader(), population=6,
        n_parents=3, n_generations=4, encoder=retriever.encoder,
    )  # fmt: skip
    meta = passage.meta
    assert meta["n_evaluations"] <= 6 * 5
    # The retriever embeds the question once more when it is asked for true passages.
    assert retriever.encoder.n_texts - before == meta["n_encoder_calls"] + 1
    assert meta["n_encoder_calls"] == meta["n_evaluations"] + 2


def test_a_chat_model_can_be_the_reader(openai_server, written_by, word_encoder) -> None:
    def script(prompt: str, n: int) -> str:
        return "Ida Holm" if "founded" in prompt.partition("Query:")[0] else "I don't know"

    with openai_server.scripted(script) as server:
        [passage] = written_by(
            "garag-search", server, encoder=word_encoder, texts="template", population=4,
            n_generations=2,
        )  # fmt: skip
    assert passage.meta["n_llm_calls"] == len(server.prompts) - 1  # the unchanged text first
    assert passage.meta["states_target"] is True


@pytest.mark.model
def test_a_models_own_probabilities_are_lowered(facts, word_encoder) -> None:
    from ragshield.attacks.garag_search import GARAGSearch

    question = facts.target(0, 3).question
    text = "According to recent studies, Dagny founded Ashmill."
    target = Target(Question(question.id, question.text, ("Dagny",)), "Anders", (text,))
    attack = GARAGSearch(
        model=facts.model, tokenizer=facts.tokenizer, prompt=facts.PROMPT, max_answer_tokens=1,
        texts="supplied", encoder=word_encoder, population=10, n_generations=5, prefix=False,
    )  # fmt: skip
    [passage] = attack.craft(target, rng=np.random.default_rng(0))
    assert passage.meta["gpr"] < 1
    assert "Dagny" in passage.text
    assert passage.meta["n_forward"] > 0


def test_the_right_answers_share_is_smoothed_and_a_tie_is_not_wrong(target) -> None:
    by = ByReader(ExtractiveReader(), None, target.question.text, ["Ida Holm"], 2)
    right, lost = by.measured(["Ida Holm founded Brackwater Mills.", "Trees are green."])
    assert right == (pytest.approx(np.log(3 / 4)), False)
    assert lost == (pytest.approx(np.log(1 / 4)), True)


@pytest.mark.model
def test_of_several_right_answers_the_likeliest_counts(facts) -> None:
    from ragshield.attacks.causal import CausalReader

    reader = CausalReader(
        "test", facts.model, facts.tokenizer, prompt=facts.PROMPT, max_answer_tokens=1
    )
    asked = facts.question("Ashmill")
    [(log_p, wrong)] = ByModel(reader, asked, ["Hilda", "Anders"]).measured(["A mill."])
    assert log_p == pytest.approx(reader.log_probs(asked, [["A mill."]], "Anders")[0])
    assert wrong is False


def test_errors_that_only_one_parent_has_change_sides(target, word_encoder) -> None:
    by = ByReader(ExtractiveReader(), None, target.question.text, ["Ida Holm"], 1)
    text = "Ida Holm founded Brackwater Mills with forty workers from seven villages nearby."
    settings = Settings(4, 2, 1, rate=0.2, cross=1.0, mutate=0.0)
    breed = Breeding(
        settings, target, text, by, word_encoder, np.random.default_rng(0), prefix=False
    )
    first, second = breed._judged([{0: "fuonded"}, {3: "wrokers"}])
    children = {tuple(sorted(breed._child([first, second]).items())) for _ in range(40)}
    # A variant crossed with itself stays; with the other, both errors change sides.
    assert children == {((0, "fuonded"),), ((3, "wrokers"),)}


def test_what_is_missing_is_said(craft, retriever, target) -> None:
    with pytest.raises(UsageError, match="needs something that reads: give reader, llm"):
        craft("garag-search", retriever=retriever)
    with pytest.raises(UsageError, match="needs the encoder of the store it attacks"):
        craft("garag-search", reader=ExtractiveReader())
    blank = Target(Question("q2", "Who founded it?", ()), "Per Lund")
    with pytest.raises(UsageError, match="target 'q2' has no right answer to hide"):
        craft("garag-search", at=blank, retriever=retriever, reader=ExtractiveReader())
