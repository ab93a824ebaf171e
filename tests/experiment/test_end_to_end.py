"""The real encoder, defender and reader in one experiment."""

from __future__ import annotations

import pytest

from ragshield import Experiment
from ragshield.experiment.summary import summarise
from ragshield.records import Spec
from ragshield.results import Results


@pytest.mark.model
def test_ragdefender_undoes_what_the_attack_did_to_the_extractive_reader(minilm) -> None:
    experiment = Experiment(
        corpora={"toy": Spec("corpus", "toy", {"towns": 12})},
        attacks={"toy": Spec("attack", "toy", {"n": 3})},
        defenders={
            "ragdefender": Spec("defender", "ragdefender", {"mode": "released", "hop": "single"})
        },
        k=5,
        planted="own",
    )
    trials = tuple(experiment.run(encoder=minilm))
    rows = {row.group: row for row in summarise(Results(experiment.header(), trials, 0))}
    attacked, defended = (rows["toy", "toy", name] for name in ("none", "ragdefender"))
    assert rows["toy", "none", "none"].accuracy.value == 1.0
    assert attacked.attack_success.value == 1.0
    assert (attacked.poison_recall.value, attacked.mean_poison) == (0.0, 3.0)
    assert defended.poison_recall.low > 0.3
    assert defended.attack_success_gain.value <= -0.2  # twelve questions: no narrow interval


@pytest.mark.model
def test_poisonedrag_turns_answers_in_a_small_world(minilm) -> None:
    size = {"people": 30, "firms": 10, "places": 12}
    experiment = Experiment(
        corpora={"world": Spec("corpus", "world", size)},
        attacks={"poisonedrag": Spec("attack", "poisonedrag", {"n": 5, "prefix": True})},
        defenders={"ragdefender": Spec("defender", "ragdefender", {"mode": "released"})},
        k=5,
        questions=12,
    )
    trials = tuple(experiment.run(encoder=minilm))
    rows = {row.group[1:]: row for row in summarise(Results(experiment.header(), trials, 0))}
    honest, attacked = rows["none", "none"], rows["poisonedrag", "none"]
    assert honest.attack_success.value == 0.0
    assert honest.accuracy.value > 0.4
    assert attacked.mean_poison > 3.0
    assert attacked.attack_success.value > 0.7
    assert attacked.accuracy.value < honest.accuracy.value
    assert rows["poisonedrag", "ragdefender"].poison_recall.value > 0.2
