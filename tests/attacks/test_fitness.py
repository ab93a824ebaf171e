from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.fitness import AnswerShare, LLMJudge, Similarity, blended
from ragshield.attacks.writing import opened
from ragshield.readers.extractive import ExtractiveReader
from ragshield.vectors import cosines


def test_a_judge_gives_tenths_and_nothing_for_no_number(openai_server, target) -> None:
    replies = {"one": "7", "two": "I would say 10 of 10.", "three": "surely", "four": "99"}

    def script(prompt: str, n: int) -> str:
        return next(reply for text, reply in replies.items() if f"Text: {text}" in prompt)

    with openai_server.scripted(script) as server:
        judge = LLMJudge(opened(f"openai:{server.url}#m"), target)
        assert judge(list(replies)).tolist() == [0.7, 1.0, 0.0, 1.0]
    assert judge.n_calls == 4


def test_similarity_is_that_of_the_text_as_it_will_be_stored(word_encoder, target) -> None:
    question = target.question.text
    fitness = Similarity(word_encoder, question, "Mills?")
    [found] = fitness(["Per Lund."])
    rows = word_encoder.encode(["Mills? Per Lund.", question])
    assert found == pytest.approx(float(cosines(rows[:1], rows[1])[0]))
    assert fitness.n_embedded == 2


def test_answers_are_counted(target) -> None:
    share = AnswerShare(ExtractiveReader(), target, n_answers=2)
    texts = ["Per Lund founded Brackwater Mills.", "Ida Holm founded Brackwater Mills."]
    assert share(texts).tolist() == [1.0, 0.0]
    assert share.n_asked == 4


def test_a_blend_weighs_two_measures_in_their_own_spreads() -> None:
    texts = ["a", "bb", "ccc"]

    def length(found):
        return np.array([len(text) for text in found], dtype=np.float64)

    blend = blended(lambda found: 1000 * length(found), lambda found: -length(found), 0.5, texts)
    spread = length(texts).std()
    assert blend(texts) == pytest.approx(0.5 * (length(texts) - 2) / spread)
    flat = blended(length, lambda found: np.zeros(len(found)), 1.0, texts)
    assert flat(["bb"]).tolist() == [0.0]
