"""On the small GPT-2 that knows eight founders: mechanics, not the strength of any attack."""

from __future__ import annotations

import numpy as np
import pytest

from ragshield.attacks.causal import CausalReader
from ragshield.attacks.poisonedrag_templates import statements
from ragshield.errors import InputError, UsageError

pytestmark = pytest.mark.model


@pytest.fixture
def reader(facts) -> CausalReader:
    return CausalReader(
        "test", facts.model, facts.tokenizer, prompt=facts.PROMPT, max_answer_tokens=1
    )


def test_it_answers_by_heart_and_follows_a_passage_that_is_vouched_for(facts, reader) -> None:
    asked = facts.question("Ashmill")
    assert reader.completed(facts.CLOSED.replace("{question}", asked)) == "Anders"
    claims = statements(facts.target(0, 7), np.random.default_rng(0))[:10]
    vouched = [f"According to recent studies, {claim}" for claim in claims]
    by_heart = reader.answers(asked, [[claim] for claim in claims])
    followed = reader.answers(asked, [[claim] for claim in vouched])
    assert by_heart.count("Anders") >= 8
    assert followed.count("Hilda") >= 8


def test_a_log_probability_is_that_of_the_next_token_and_does_not_depend_on_the_batch(
    facts, reader
) -> None:
    import torch

    contexts = [["The answer is Hilda."], ["It was Hilda who founded it, many years before."], []]
    asked = facts.question("Ashmill")
    found = reader.log_probs(asked, contexts, "Anders")
    for context, value in zip(contexts, found, strict=True):
        laid = reader.laid(asked, context)
        logits = facts.model(input_ids=torch.tensor([laid.ids])).logits[0, -1]
        wanted = facts.tokenizer.convert_tokens_to_ids("Anders")
        assert value == pytest.approx(float(torch.log_softmax(logits, -1)[wanted]), abs=1e-4)
    assert reader.n_forward == 3


def test_the_places_of_passages_are_known(facts, reader) -> None:
    laid = reader.laid(facts.question("Ashmill"), ["It was Hilda.", "Egil founded Ashmill"])
    pieces = [facts.tokenizer.decode(laid.ids[a:b]) for a, b in laid.spans]
    assert [piece.replace(" ", "") for piece in pieces] == ["ItwasHilda.", "EgilfoundedAshmill"]
    [hilda] = laid.tokens_in(0, 7, 12)
    assert facts.tokenizer.decode([laid.ids[hilda]]) == "Hilda"


def test_what_does_not_fit_is_cut_off_the_longest_passage(facts, reader) -> None:
    long = "It was Hilda. " * 400
    laid = reader.laid(facts.question("Ashmill"), ["Egil founded Ashmill", long], room=3)
    assert len(laid.ids) <= 512 - 3 - 1
    (a, b), (c, d) = laid.spans
    assert b - a == 3
    assert d - c > 400
    assert np.isfinite(reader.log_probs(facts.question("Ashmill"), [[long]], "Hilda")).all()


def test_a_question_longer_than_the_window_is_refused(facts, reader) -> None:
    with pytest.raises(UsageError, match=r"the question takes \d+ tokens and the model sees 512"):
        reader.laid("Who founded Ashmill? " * 300, ["It was Hilda."])


def test_perplexity_is_that_of_the_models_own_loss(facts, reader) -> None:
    import torch

    texts = ["The answer is Hilda.", "According to recent studies, Egil founded it."]
    *found, none = reader.perplexities([*texts, "a"])
    for text, value in zip(texts, found, strict=True):
        ids = torch.tensor([facts.tokenizer(text)["input_ids"]])
        assert value == pytest.approx(float(facts.model(ids, labels=ids).loss.exp()), rel=1e-3)
    assert np.isnan(none)


def test_a_chat_template_wraps_the_prompt_and_the_places_move_along(facts) -> None:
    from copy import copy

    tokenizer = copy(facts.tokenizer)
    tokenizer.chat_template = (
        "{% for message in messages %}Sources {{ message['content'] }}\n{% endfor %}The "
    )
    reader = CausalReader("test", facts.model, tokenizer, prompt=facts.PROMPT)
    laid = reader.laid(facts.question("Ashmill"), ["It was Hilda."])
    assert laid.text.startswith("Sources It was Hilda. Who founded")
    [hilda] = laid.tokens_in(0, 7, 12)
    assert tokenizer.decode([laid.ids[hilda]]) == "Hilda"
    assert laid.lead == ""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "^test: needs a causal language model: give model as a folder"),
        ({"model": object()}, "^test: a loaded model comes with its tokenizer"),
        ({"model": object(), "tokenizer": object()}, "^test: needs a fast tokenizer"),
    ],
)
def test_what_is_missing_is_said(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CausalReader("test", given.get("model"), given.get("tokenizer"))


def test_a_folder_without_a_model_is_one_clear_line(tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"^test: cannot load model '[^']+': .*; give the folder"
    ) as error:
        CausalReader("test", str(tmp_path))
    assert "\n" not in str(error.value)
