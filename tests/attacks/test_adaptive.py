from __future__ import annotations

import numpy as np
import pytest

from ragshield import registry
from ragshield.attacks import adaptive
from ragshield.attacks.adaptive import Adaptive
from ragshield.attacks.adaptive_drafts import EDITS, Draft, Material, split
from ragshield.errors import UsageError
from ragshield.records import Action, Finding, Passage, Verdict
from ragshield.text import states


class Guarded:
    """Drops what a rule forbids; counts how often it was asked and never sees an attack's name."""

    name = "guarded"

    def __init__(self, forbids) -> None:
        self.forbids = forbids
        self.n_asked = 0
        self.seen: list[Passage] = []

    def inspect(self, retrieval) -> Verdict:
        self.n_asked += 1
        self.seen += retrieval.passages
        bad = [self.forbids(hit.text, retrieval.question) for hit in retrieval]
        findings = tuple(
            Finding(hit.id, float(b), "guarded", Action.DROP if b else Action.KEEP, "A rule.")
            for hit, b in zip(retrieval, bad, strict=True)
        )
        kept = tuple(hit for hit, b in zip(retrieval, bad, strict=True) if not b)
        return Verdict(kept, findings, "filtered" if any(bad) else "clean", "guarded")


@pytest.fixture
def attack_on(monkeypatch: pytest.MonkeyPatch, retriever):
    """An adaptive attack on a rule, by putting the defender in the registry's place."""
    build = registry.build

    def make(forbids, **params):
        guard = Guarded(forbids)

        def built(spec, /, **context):
            return guard if spec.kind == "defender" else build(spec, **context)

        monkeypatch.setattr(adaptive.registry, "build", built)
        return Adaptive(retriever=retriever, **params), guard

    return make


def test_where_nothing_is_forbidden_the_first_set_is_through(attack_on, target) -> None:
    attack, guard = attack_on(lambda text, question: False, n=2)
    passages = attack.craft(target, rng=np.random.default_rng(0))
    assert guard.n_asked == 1
    assert [p.meta["through"] for p in passages] == [True, True]
    assert passages[0].meta["n_evaluations"] == 1
    assert sum(int(p.meta["n_encoder_calls"]) for p in passages) == 2


def test_it_drops_the_echo_when_echoes_are_dropped(attack_on, target) -> None:
    attack, guard = attack_on(lambda text, question: question in text, n=2)
    passages = attack.craft(target, rng=np.random.default_rng(0))
    assert [p.meta["through"] for p in passages] == [True, True]
    assert all(target.question.text not in p.text for p in passages)
    assert 1 < guard.n_asked <= 200


def test_it_shortens_the_text_when_long_ones_are_dropped(attack_on, target) -> None:
    attack, _ = attack_on(lambda text, question: len(text) > 90)
    [passage] = attack.craft(target, rng=np.random.default_rng(0))
    assert passage.meta["through"] is True
    assert len(passage.text) <= 90
    assert states(passage.text, "Per Lund")


def test_it_splits_the_claim_when_the_topic_beside_the_answer_is_dropped(attack_on, target) -> None:
    attack, _ = attack_on(
        lambda text, question: (
            "Brackwater Mills" in text and "Per Lund" in text and "-" not in text
        ),
        n=2,
        budget=400,
    )
    passages = attack.craft(target, rng=np.random.default_rng(1))
    assert [p.meta["through"] for p in passages] == [True, True]


def test_what_cannot_get_through_stops_at_the_budget_and_says_so(attack_on, target) -> None:
    attack, guard = attack_on(lambda text, question: "Per Lund" in text, budget=30)
    [passage] = attack.craft(target, rng=np.random.default_rng(0))
    assert guard.n_asked == passage.meta["n_evaluations"] == 30
    assert passage.meta["through"] is False
    assert int(passage.meta["n_encoder_calls"]) <= 30


def test_the_defence_cannot_read_off_who_planted_a_passage(attack_on, target) -> None:
    attack, guard = attack_on(lambda text, question: question in text)
    attack.craft(target, rng=np.random.default_rng(0))
    planted = [p for p in guard.seen if not p.id.startswith("c") or "/" in p.id]
    assert planted
    assert all(set(p.meta) == {"date"} and "adaptive" not in p.id for p in planted)


def test_sources_and_days_are_apart(attack_on, target) -> None:
    attack, _ = attack_on(lambda text, question: False, n=5)
    passages = attack.craft(target, rng=np.random.default_rng(0))
    assert len({p.source for p in passages}) == len({p.meta["date"] for p in passages}) == 5


def test_the_shipped_guard_can_be_named_in_an_experiment_file(retriever, target) -> None:
    from ragshield.records import Spec

    spec = Spec("attack", "adaptive", {"defender": "ragdefender", "budget": 20, "n": 2})
    attack = registry.build(spec, retriever=retriever, encoder=retriever.encoder)
    passages = attack.craft(target, rng=np.random.default_rng(0))
    assert {p.meta["defender"] for p in passages} == {"ragdefender"}
    assert passages == attack.craft(target, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"technique": "composed"}, "cannot start from 'composed'"),
        ({"defender": "nope"}, "unknown defender 'nope'"),
        ({"defender_params": {"zzz": 1}}, "takes no parameter 'zzz'"),
        ({"budget": 0}, "budget is 0"),
        ({"depth": 5}, "depth is 5; it must be at least 10"),
    ],
)
def test_what_it_cannot_search_against_is_refused_when_built(params, message: str) -> None:
    with pytest.raises((UsageError, ValueError), match=message):
        Adaptive(**params)


def test_without_a_store_or_an_encoder_it_says_what_to_give(retriever, target) -> None:
    class Bare:
        def retrieve(self, question: str, k: int = 10):
            return retriever.retrieve(question, k)

    with pytest.raises(UsageError, match="pass a retriever over it"):
        Adaptive().craft(target, rng=np.random.default_rng(0))
    with pytest.raises(UsageError, match="needs the encoder of the store"):
        Adaptive(retriever=Bare()).craft(target, rng=np.random.default_rng(0))


@pytest.fixture
def material(target) -> Material:
    honest = ("Ida Holm founded the mills. They stood by the river. Ash grew.", "Ash is a town.")
    claims = (
        "The founder was Per Lund, as several records show. He was a miller.",
        "It was Per Lund.",
    )
    return Material(target, claims, honest)


@pytest.mark.parametrize("name", list(EDITS))
def test_every_edit_keeps_the_answer_stated_and_no_right_answer_comes_in(
    material, name: str
) -> None:
    draft = Draft(material.claims[0], front="Who founded Brackwater Mills?")
    changed = {EDITS[name](draft, material, np.random.default_rng(s)) for s in range(20)}
    assert all(states(d.generation, "Per Lund") for d in changed)
    assert not any(states(d.generation, "Ida Holm") for d in changed)
    if name not in ("echo", "bare"):
        assert changed - {draft}


def test_the_halves_of_a_split_claim_share_a_name(material) -> None:
    premise, conclusion = split(material, np.random.default_rng(0))
    assert not premise.promised
    assert conclusion.promised
    assert not states(premise.text, "Per Lund")
    assert states(conclusion.text, "Per Lund")
    name = next(word.strip(".,;:") for word in conclusion.text.split() if "-" in word)
    assert name in premise.text
