from __future__ import annotations

import numpy as np
import pytest

from ragshield import registry
from ragshield.attacks.poisonedrag import PoisonedRAG
from ragshield.calibration import calibrate
from ragshield.calibration.drawing import Honest, draw_questions
from ragshield.calibration.planting import overlay, variants
from ragshield.corpora.world import load
from ragshield.defenders.calibrated import Calibrated
from ragshield.errors import InputError, StoreError, UsageError
from ragshield.intervals import Rate, clustered_rate
from ragshield.records import Batch, Passage, Question, Target
from ragshield.retriever import StoreRetriever
from ragshield.stores.memory import MemoryStore, MutableMemoryStore


def test_a_calibration_states_what_it_rests_on(world_store, word_encoder) -> None:
    store = world_store()
    shield = calibrate(store, word_encoder, n_questions=150, n_attacked=20)
    assert (shield.k, shield.n_questions, shield.questions) == (20, 150, "generated")
    assert shield.store.n_passages == store.count()
    assert (shield.store.dim, shield.encoder) == (64, "word-hash")
    assert (shield.budget, shield.asked_budget) == (0.01, 0.01)
    assert 0 < shield.expected.low < shield.expected.value <= 0.01 < 0.05
    assert shield.expected.value < shield.expected.high
    assert shield.clean_loss.n == 3000
    assert shield.clean_loss.value <= 0.02
    quantiles = shield.store.similarity_quantiles
    assert list(quantiles) == sorted(quantiles)
    by_variant = {(d.attack, d.n_planted): d for d in shield.detection}
    assert {(a, n) for a, n in by_variant if a.startswith("poisonedrag")} == {
        (label, n) for label in ("poisonedrag", "poisonedrag, no prefix") for n in (1, 2, 5)
    }
    planted = by_variant["poisonedrag", 1]
    # The question itself is in the passage: a bag of words cannot miss it.
    assert planted.retrieved.value > 0.9
    assert planted.recall.value > 0.5
    assert planted.recall.n == round(planted.retrieved.value * 20)


def test_the_same_seed_gives_the_same_shield_and_the_store_is_only_read(
    world_store, word_encoder
) -> None:
    store = world_store(n=600)
    before = [p for batch in store.batches() for p in batch.passages]
    one = calibrate(store, word_encoder, n_questions=120, n_attacked=5, seed=2)
    assert one == calibrate(store, word_encoder, n_questions=120, n_attacked=5, seed=2)
    assert [p for batch in store.batches() for p in batch.passages] == before


def test_the_threshold_and_the_p_values_agree(world_store, word_encoder) -> None:
    shield = calibrate(world_store(n=600), word_encoder, n_questions=120, n_attacked=0, budget=0.05)
    at = shield.threshold
    p = shield.p_values(np.array([at - 2e-6, at, 0.0, 1.0]))
    assert p[1] <= shield.budget + 1e-12 < p[0]
    assert p[2] == pytest.approx(1.0)
    assert p[3] == pytest.approx(1 / 121)


def test_too_few_questions_are_said_and_the_lowest_possible_budget_is_used(
    world_store, word_encoder
) -> None:
    shield = calibrate(world_store(n=50), word_encoder, n_attacked=0)
    assert shield.n_questions <= 50
    assert shield.budget == pytest.approx(1 / (shield.n_questions + 1))
    said = " ".join(shield.warnings)
    assert "too few for budget 0.01, which needs 99" in said
    assert f"only {shield.n_questions} of 300 questions could be drawn" in said


def test_k_above_the_store_is_lowered_and_said(world_store, word_encoder) -> None:
    shield = calibrate(world_store(n=40), word_encoder, k=100, n_attacked=0)
    assert shield.k == 40
    assert "k was lowered from 100 to 40" in " ".join(shield.warnings)


def test_a_store_that_is_poisoned_already_is_suspected(word_encoder) -> None:
    clean = load(seed=0, people=120, firms=40, places=40)
    targets = clean.targets[:120]
    attack, rng = PoisonedRAG(n=2), np.random.default_rng(0)
    poison = [p for t in targets for p in attack.craft(t, rng=rng)]
    passages = (*clean.passages, *poison)
    store = MemoryStore("memory:", Batch(passages, word_encoder.encode([p.text for p in passages])))
    given = [Honest(t, "", "given") for t in targets]
    shield = calibrate(store, word_encoder, questions=given, n_attacked=0)
    assert "looks planted by the uncalibrated default" in " ".join(shield.warnings)
    left_out = calibrate(
        store, word_encoder, questions=given, n_attacked=0, without=[p.id for p in poison]
    )
    assert left_out.threshold < shield.threshold
    assert not any("looks planted" in w for w in left_out.warnings)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"budget": 0.0}, "budget is 0; it must be above 0"),
        ({"budget": 0.51}, "at most 0.5"),
        ({"budget": float("nan")}, "budget is nan"),
        ({"k": 0}, "k is 0"),
        ({"n_questions": 9}, "n_questions is 9; it must be at least 10"),
        ({"n_attacked": -1}, "n_attacked is -1"),
    ],
)
def test_numbers_out_of_range_are_refused(params, message, world_store, word_encoder) -> None:
    with pytest.raises(UsageError, match=message):
        calibrate(world_store(n=30), word_encoder, **params)


def test_an_empty_store_and_one_that_allows_no_questions_are_refused(word_encoder) -> None:
    with pytest.raises(StoreError, match="is empty"):
        calibrate(MutableMemoryStore(), word_encoder)
    passages = tuple(Passage(str(i), "...") for i in range(30))
    store = MemoryStore("memory:", Batch(passages, word_encoder.encode(["x"] * 30)))
    with pytest.raises(StoreError, match="only 0 honest questions with hits"):
        calibrate(store, word_encoder)


def test_a_store_without_vectors_is_refused(world_store, word_encoder) -> None:
    class Bare(MemoryStore):
        @property
        def dim(self):
            return None

        def count(self):
            return 20

        def batches(self, size=1024):
            yield Batch(tuple(Passage(str(i), f"A text {i}.") for i in range(20)), None)

    with pytest.raises(StoreError, match="holds no vectors"):
        calibrate(Bare(), word_encoder)


def test_an_encoder_of_another_width_is_refused(world_store, word_encoder) -> None:
    other = type(word_encoder)(dim=32)
    with pytest.raises(InputError, match="gives 32 dimensions"):
        calibrate(world_store(n=30), other)


def test_the_overlay_is_what_a_store_with_the_poison_would_return(
    world_store, word_encoder
) -> None:
    store = world_store(n=300)
    question = "Who is the mayor of the town by the river?"
    poison = [Passage(f"x{i}", f"{question} Orla Venn, {i}.") for i in range(3)]
    vectors = word_encoder.encode([p.text for p in poison])
    mixed = overlay(StoreRetriever(store, word_encoder).retrieve(question), poison, vectors, k=10)
    real = MutableMemoryStore()
    real.add(next(store.batches(1000)))
    real.add(Batch(tuple(poison), vectors))
    expected = StoreRetriever(real, word_encoder).retrieve(question)
    assert [h.id for h in mixed] == [h.id for h in expected]
    assert np.allclose(mixed.vectors, expected.vectors)
    assert any(h.id == "x0" for h in mixed)


def test_every_attack_that_needs_no_more_than_a_target_is_planted() -> None:
    probe = Honest(Target(Question("q", "Who built it?", ("Ann",)), "Bob"), "", "given")
    found, notes = variants(probe)
    tried = {v.attack.name for v in found}
    skipped = {note.split("'")[1] for note in notes}
    names = registry.names("attack")
    needy = {name for name in names if getattr(registry.load("attack", name), "needs", ())}
    assert "corruptrag-ak" in needy
    assert tried | skipped | needy | {"adaptive"} == set(names)
    assert not needy & (tried | skipped)
    assert "edited-fact" in skipped
    labels = [(v.label, v.n) for v in found]
    assert [pair for pair in labels if pair[0] == "poisonedrag"] == [
        ("poisonedrag", n) for n in (1, 2, 5)
    ]
    assert ("corruptrag", 1) in labels
    assert ("flooding, no prefix", 10) in labels
    assert [label for label, _ in labels if label.startswith("composed")] == [
        "composed, homoglyph", "composed, zero-width", "composed, html-hidden",
    ]  # fmt: skip


def test_attacks_that_copy_true_passages_are_planted_from_what_was_retrieved(
    world_store, word_encoder
) -> None:
    shield = calibrate(world_store(n=300), word_encoder, n_questions=40, n_attacked=5)
    copied = {d.attack: d for d in shield.detection if d.attack.startswith("edited-fact")}
    assert set(copied) == {"edited-fact", "edited-fact, no prefix"}
    assert copied["edited-fact, no prefix"].retrieved.value > 0.5
    assert not any("was not tried" in warning for warning in shield.warnings)


def minilm_store(minilm, seed: int):
    world = load(seed=seed, people=90, firms=30, places=30, questions_each=2)
    vectors = minilm.encode([p.text for p in world.passages])
    return world, MemoryStore(f"memory:{seed}", Batch(world.passages, vectors))


def observed_rate(shield, store: MemoryStore, minilm, questions: list[str]) -> Rate:
    """Share of the honest hits of these questions that the calibrated guard drops."""
    guard, retriever = Calibrated(shield), StoreRetriever(store, minilm)
    found = [(guard.inspect(r), r) for r in (retriever.retrieve(q) for q in questions)]
    return clustered_rate([(len(verdict.dropped), len(r)) for verdict, r in found])


def check_within_stated_interval(observed: Rate, shield) -> None:
    """The observed rate, with a sampling error of its own, meets the stated interval."""
    stated = shield.expected
    assert observed.low <= stated.high
    assert stated.low <= observed.high
    assert observed.low <= shield.budget


@pytest.mark.model
def test_the_rate_on_unseen_questions_and_another_store_is_within_the_stated_interval(
    minilm,
) -> None:
    """Calibrated on one world's questions; judged on other people, towns and questions."""
    world, store = minilm_store(minilm, 0)
    other_world, other_store = minilm_store(minilm, 1)
    asked = [Honest(t, "", "given") for t in world.targets[::2]]
    shield = calibrate(store, minilm, questions=asked, n_attacked=0, budget=0.03)
    assert shield.expected.value > 0.02
    unseen = [t.question.text for t in world.targets[1::2]]
    check_within_stated_interval(observed_rate(shield, store, minilm, unseen), shield)
    elsewhere = [t.question.text for t in other_world.targets]
    check_within_stated_interval(observed_rate(shield, other_store, minilm, elsewhere), shield)

    drawn = calibrate(store, minilm, n_questions=150, n_attacked=0, budget=0.03)
    fresh = [h.target.question.text for h in draw_questions(world.passages, 150, seed=77)]
    check_within_stated_interval(observed_rate(drawn, store, minilm, fresh), drawn)
