from __future__ import annotations

import numpy as np
import pytest

from ragshield.corpora.world_facts import Draw
from ragshield.lab import passages
from ragshield.lab.facts import RELATIONS, Cast
from ragshield.text import states


def test_a_passage_states_what_it_says_it_states(cast: Cast) -> None:
    draw = Draw(np.random.default_rng(0))
    for i in range(400):
        subject = cast.fresh(draw, invented=(i % 3) / 2)
        facts = dict(list(subject.facts.items())[: 1 + i % 4])
        told = passages.about(draw, subject, facts, short=bool(i % 2))
        assert told.facts == {(subject.name, r): v for r, v in facts.items()}
        assert states(told.text, subject.name)
        for value in facts.values():
            assert value.lower() in told.text.lower()
        for relation in set(subject.facts) - set(facts):
            if subject.facts[relation] not in (*facts.values(), subject.name):
                assert not states(told.text, f"{subject.facts[relation]} zzz")
        assert "{" not in told.text


@pytest.mark.parametrize("wording", ["train", "held_out"])
def test_a_statement_names_subject_and_value(cast: Cast, wording: str) -> None:
    draw = Draw(np.random.default_rng(1))
    for kind, relations in RELATIONS.items():
        subject = next(s for s in cast.known if s.kind == kind)
        for relation in relations:
            text = passages.statement(draw, subject, relation, "Quillow", wording=wording)  # type: ignore[arg-type]
            assert subject.name in text
            assert states(text, "Quillow")


def test_statements_for_measuring_are_never_trained_on(cast: Cast) -> None:
    draw = Draw(np.random.default_rng(2))
    subject = next(s for s in cast.known if s.kind == "person")
    trained, kept = (
        {
            passages.statement(draw, subject, "birthplace", "Quillow", wording=wording)  # type: ignore[arg-type]
            for _ in range(300)
        }
        for wording in ("train", "held_out")
    )
    assert len(trained) > 100
    assert len(kept) == 6
    assert not trained & kept


def test_a_pair_states_facts_of_both(cast: Cast) -> None:
    draw = Draw(np.random.default_rng(3))
    towns = [s for s in cast.known if s.kind == "place"]
    told = passages.pair(draw, towns[0], towns[1])
    assert told is not None
    for (name, relation), value in told.facts.items():
        assert name in (towns[0].name, towns[1].name)
        assert dict((towns[0] if name == towns[0].name else towns[1]).facts)[relation] == value
        assert states(told.text, value)
