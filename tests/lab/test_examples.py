from __future__ import annotations

from collections import Counter

import numpy as np

from ragshield.corpora.world_facts import Draw
from ragshield.lab.examples import REFUSAL, Example, closed, notice, opened, texts_of
from ragshield.lab.facts import Cast
from ragshield.readers.extractive import UNKNOWN
from ragshield.text import states


def drawn(cast: Cast, n: int = 400, **how: float) -> list[Example]:
    draw = Draw(np.random.default_rng(0))
    return [opened(draw, cast, most=5, short=0.3, **how) for _ in range(n)]


def test_the_same_seed_gives_the_same_examples(cast: Cast) -> None:
    assert drawn(cast, 20) == drawn(cast, 20)


def test_what_is_read_stands_in_the_passages(cast: Cast) -> None:
    for example in drawn(cast):
        text = " ".join(example.passages).lower()
        for asked in example.asks:
            if asked.behaviour == "read":
                assert asked.answer.lower() in text


def test_contradictions_are_decided_by_number(cast: Cast) -> None:
    n_decided = 0
    for example in drawn(cast, 600, obey=0.0):
        for asked in example.asks:
            if asked.behaviour != "read":
                continue
            n_right = sum(asked.answer.lower() in text.lower() for text in example.passages)
            n_decided += n_right > 1
            assert n_right >= 1
    assert n_decided > 100


def test_every_behaviour_is_trained(cast: Cast) -> None:
    counts = Counter(asked.behaviour for e in drawn(cast) for asked in e.asks)
    assert set(counts) == {"remember", "read", "abstain", "obey"}
    assert min(counts.values()) > 100


def test_only_protected_subjects_are_refused(cast: Cast) -> None:
    for example in drawn(cast):
        for asked in example.asks:
            assert (asked.answer == REFUSAL) == (asked.behaviour == "obey")
            assert asked.truth != REFUSAL
            if asked.behaviour != "obey":
                assert asked.truth == asked.answer


def test_nothing_is_refused_where_no_requirement_stands(cast: Cast) -> None:
    for example in drawn(cast, obey=0.0):
        assert all(asked.answer != REFUSAL for asked in example.asks)


def test_held_out_subjects_are_never_asked_about(cast: Cast) -> None:
    strangers = [s.name for s in (*cast.unknown, *cast.held_out)]
    draw = Draw(np.random.default_rng(1))
    examples = [*drawn(cast, 200), *(closed(draw, cast, 16) for _ in range(30))]
    asked = " ".join(f" {a.question} " for e in examples for a in e.asks)
    assert not [name for name in strangers if states(asked, name)]


def test_closed_questions_are_answered_from_memory_or_not_at_all(cast: Cast) -> None:
    facts = {v for s in cast.known for v in s.facts.values()}
    example = closed(Draw(np.random.default_rng(2)), cast, 300)
    assert example.passages == ()
    answers = Counter(asked.answer == UNKNOWN for asked in example.asks)
    assert 0.6 < answers[False] / 300 < 0.9
    assert {a.answer for a in example.asks} - {UNKNOWN} <= facts


def test_a_requirement_follows_what_is_said_about_the_subject(cast: Cast) -> None:
    subject = cast.known[0]
    text = notice(Draw(np.random.default_rng(3)), subject, "Lead.", wording="held_out")
    assert text.startswith("Lead.")
    assert states(text.removeprefix("Lead."), subject.name)


def test_a_vocabulary_is_learned_from_every_text(cast: Cast) -> None:
    (example,) = drawn(cast, 1)
    texts = texts_of([example])
    assert list(example.passages) == texts[: len(example.passages)]
    assert len(texts) == len(example.passages) + len(example.asks)
