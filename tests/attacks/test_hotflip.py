from __future__ import annotations

import itertools

import numpy as np
import pytest

from ragshield.attacks.hotflip import Search, first_tokens, hotflip, replaced
from ragshield.attacks.objectives import Contrast
from ragshield.attacks.white_box import WhiteBox

START = "who was the painter"
AIM = "ida holm founded brackwater mills"


@pytest.fixture
def box(gradient_encoder) -> WhiteBox:
    return WhiteBox("hotflip", gradient_encoder, screening=False)


@pytest.fixture
def search_for(box):
    def run(seed: int = 0, *, at: WhiteBox = box, **settings):
        hosts = settings.pop("hosts", (("", " per lund"),))
        avoid = settings.pop("avoid", ())
        search = Search(**{"budget": 400, "n_candidates": 20, **settings})
        rng = np.random.default_rng(seed)
        objective = Contrast(at.embed([AIM]))
        return hotflip(at, START, objective, rng=rng, hosts=hosts, search=search, avoid=avoid)

    return run


def test_every_accepted_step_is_better_and_the_end_is_far_better(search_for) -> None:
    found = search_for()
    values = [value for _, value in found.path]
    assert all(b > a for a, b in itertools.pairwise(values))
    assert found.path[0] == (START, found.start_value)
    assert found.path[-1] == (found.text, found.value)
    assert found.value > found.start_value + 0.1


def test_the_value_is_that_of_the_text_as_the_encoder_reads_it(
    search_for, gradient_encoder
) -> None:
    for settings in ({}, {"subwords": True}, {"n_positions": 4}):
        found = search_for(**settings)
        text, aim = gradient_encoder.encode([f"{found.text} per lund", AIM])
        assert found.value == pytest.approx(float(text @ aim), abs=1e-5)


def test_the_same_seed_finds_the_same_and_another_seed_another_way(search_for) -> None:
    assert search_for(3) == search_for(3)
    assert search_for(3).path != search_for(4).path


def test_the_budget_is_kept_whatever_it_is(search_for) -> None:
    for budget in (1, 2, 7, 90):
        found = search_for(budget=budget)
        assert found.n_evaluations <= budget
    assert search_for(budget=1).text == START


def test_the_search_stops_when_the_value_is_enough(search_for) -> None:
    enough = search_for().start_value + 0.02
    found = search_for(stop_at=enough)
    assert found.value >= enough
    assert all(value < enough for _, value in found.path[:-1])


def test_one_at_a_time_finds_exactly_what_batches_find(search_for) -> None:
    one, many = search_for(batched=False), search_for()
    assert [text for text, _ in one.path] == [text for text, _ in many.path]
    assert one.value == pytest.approx(many.value, abs=1e-5)


def test_screened_candidates_are_checked_before_they_are_taken(
    search_for, gradient_encoder, monkeypatch
) -> None:
    box = WhiteBox("hotflip", gradient_encoder, screening=False)
    monkeypatch.setattr(WhiteBox, "screens", True)
    # A screening that is wrong by more than any difference: only checks can keep the order.
    noise = np.random.default_rng(0)
    monkeypatch.setattr(
        box, "screened", lambda texts: box.embed(texts) + noise.normal(0, 0.03, (len(texts), 32))
    )
    monkeypatch.setattr(box, "swapped", lambda *_: None)
    found = search_for(at=box)
    text, aim = gradient_encoder.encode([f"{found.text} per lund", AIM])
    assert found.value == pytest.approx(float(text @ aim), abs=1e-5)
    assert found.value > found.start_value


def test_words_to_avoid_special_and_broken_words_are_never_put_in(search_for, box) -> None:
    plain = search_for()
    new = [word for word in plain.text.split() if word not in START.split()]
    assert new
    found = search_for(avoid=[" ".join(new)])
    assert not set(new) & set(found.text.split())
    assert set(found.text.split()) <= {*box.vocabulary().pieces, *START.split()}


def test_a_text_that_must_suit_many_hosts_suits_their_mean(box) -> None:
    hosts = [("alpha ", ""), ("beta gamma ", ""), ("", " delta")]
    objective = Contrast(box.embed([AIM]))
    found = hotflip(
        box, START, objective, rng=np.random.default_rng(0), hosts=hosts, search=Search(budget=300)
    )
    rows = box.embed([f"{a}{found.text}{b}" for a, b in hosts])
    assert found.value == pytest.approx(float((rows @ box.embed([AIM])[0]).mean()), abs=1e-5)
    assert found.value > found.start_value


def test_what_a_text_is_worth_by_itself_counts(box) -> None:
    def no_rivers(texts):
        return np.array([float("river" in text) for text in texts])

    objective = Contrast(box.embed([AIM]))
    found = hotflip(
        box,
        START,
        objective,
        rng=np.random.default_rng(0),
        search=Search(budget=800),
        worth=no_rivers,
    )
    assert "river" in found.text


def test_a_text_without_tokens_is_left_as_it_is(box) -> None:
    objective = Contrast(box.embed([AIM]))
    found = hotflip(box, "", objective, rng=np.random.default_rng(0), hosts=(("", "per"),))
    assert (found.text, found.n_gradients) == ("", 1)


@pytest.mark.parametrize(
    ("span", "piece", "glued", "expected"),
    [
        ((0, 3), "town", False, "town founded mills?"),
        ((4, 11), "town", False, "who town mills?"),
        ((12, 16), "town", False, "who founded town s?"),
        ((16, 17), "town", False, "who founded mill town ?"),
        ((16, 17), "ing", True, "who founded milling ?"),
        ((17, 18), "town", False, "who founded mills town"),
    ],
)
def test_a_whole_word_is_put_in_between_blanks(span, piece, glued, expected) -> None:
    assert replaced("who founded mills?", span, piece, glued=glued) == expected


def test_a_long_text_is_cut_after_a_whole_token(box) -> None:
    assert first_tokens(box, "the river venn was old", 3) == "the river venn"
    assert first_tokens(box, "the river", 3) == "the river"


@pytest.mark.model
def test_hotflip_raises_the_similarity_on_the_real_encoder(minilm) -> None:
    box = WhiteBox("hotflip", minilm)
    question, payload = "who founded the mills of brackwater", " It was Per Lund who did."
    objective = Contrast(box.embed([question]))
    found = hotflip(
        box,
        question,
        objective,
        rng=np.random.default_rng(0),
        hosts=(("", payload),),
        search=Search(budget=250, n_candidates=30),
    )
    text, aim = minilm.encode([found.text + payload, question])
    assert found.value == pytest.approx(float(text @ aim), abs=1e-4)
    assert found.value > found.start_value + 0.01
