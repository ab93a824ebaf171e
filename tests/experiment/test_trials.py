"""Numbers worked out by hand from the toy plugins: two poisoned passages per question, both
beginning with the question, so both outrank the clean ones; the reader reads the first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragshield import Experiment
from ragshield.errors import InputError, UsageError
from ragshield.records import Spec
from ragshield.results import Trial

TOY = {"toy": Spec("corpus", "toy")}


def experiment(**changes) -> Experiment:
    values = {
        "corpora": TOY,
        "attacks": {"toy": Spec("attack", "toy")},
        "defenders": {"toy-echo": Spec("defender", "toy-echo")},
        "reader": Spec("reader", "toy"),
        "encoder": "toy",
        "k": 3,
    }
    return Experiment(**{**values, **changes})


def without_time(trial: Trial) -> Trial:
    return replace(trial, defender_s=0.0)


def test_every_combination_is_tried_once_in_the_order_written() -> None:
    trials = list(experiment(questions=3, seeds=(1, 0)).run())
    assert len({trial.key for trial in trials}) == len(trials) == 2 * 2 * 3 * 2
    assert [t.seed for t in trials] == [1] * 12 + [0] * 12
    assert [t.attack for t in trials[:12]] == ["none"] * 6 + ["toy"] * 6
    assert [t.defender for t in trials[:4]] == ["none", "toy-echo"] * 2


def test_an_attack_turns_the_answer_and_the_defender_turns_it_back() -> None:
    by = {(t.attack, t.defender): t for t in experiment(questions=1).run()}
    plain, attacked = by["none", "none"], by["toy", "none"]
    defended = by["toy", "toy-echo"]
    assert (plain.attack_succeeded, plain.answer_correct) == (False, True)
    assert (attacked.attack_succeeded, attacked.answer_correct) == (True, False)
    assert (defended.attack_succeeded, defended.answer_correct) == (False, True)
    assert (attacked.planted_poison, attacked.retrieved_poison, attacked.retrieved_clean) == (
        2,
        2,
        1,
    )
    assert (attacked.kept_poison, attacked.kept_clean) == (2, 1)
    assert (defended.kept_poison, defended.kept_clean) == (0, 1)
    assert (plain.planted_poison, plain.retrieved_poison, plain.retrieved_clean) == (0, 0, 3)
    assert (attacked.status, defended.status) == ("not_judged", "filtered")


def test_defenders_judge_the_same_retrieval() -> None:
    retrieved: dict = {}
    for trial in experiment().run():
        retrieved.setdefault((trial.attack, trial.question_id), set()).add(trial.retrieved_ids)
    assert {len(found) for found in retrieved.values()} == {1}


def test_poison_of_other_questions_is_in_the_store_unless_planted_own() -> None:
    everyone = [t for t in experiment(k=16).run() if t.attack == "toy"]
    own = [t for t in experiment(k=16, planted="own").run() if t.attack == "toy"]
    assert {t.retrieved_own_poison for t in everyone} == {2}
    assert max(t.retrieved_poison for t in everyone) > 2
    assert {t.retrieved_poison for t in own} == {2}
    assert {t.retrieved_clean for t in own} == {14}


def test_the_same_experiment_gives_the_same_trials() -> None:
    first, again = (list(map(without_time, experiment(seeds=(4,)).run())) for _ in range(2))
    assert first == again


def test_seeds_draw_different_questions() -> None:
    def drawn(seed: int) -> set[str]:
        return {t.question_id for t in experiment(questions=4, seeds=(seed,)).run()}

    assert len({frozenset(drawn(seed)) for seed in range(4)}) > 1
    assert drawn(2) == drawn(2)


def test_skipped_trials_are_not_run_and_the_others_do_not_change() -> None:
    everything = list(map(without_time, experiment().run()))
    skip = {trial.key for trial in everything[5:23]}
    rest = list(map(without_time, experiment().run(skip=skip)))
    assert rest == everything[:5] + everything[23:]


def test_with_everything_skipped_nothing_is_embedded() -> None:
    class Refusing:
        name, dim = "refusing", 48

        def encode(self, texts):
            raise AssertionError("embedded although nothing was to do")

    skip = {trial.key for trial in experiment().run()}
    assert list(experiment().run(skip=skip, encoder=Refusing())) == []


def test_passages_are_embedded_once_however_many_attacks_and_defenders() -> None:
    from ragshield import registry

    class Counting:
        def __init__(self) -> None:
            self.encoder = registry.build(Spec("encoder", "toy"))
            self.name, self.dim = self.encoder.name, self.encoder.dim
            self.texts: list[str] = []

        def encode(self, texts):
            self.texts.extend(texts)
            return self.encoder.encode(texts)

    encoder = Counting()
    list(experiment().run(encoder=encoder))
    assert sorted(set(encoder.texts)) == sorted(encoder.texts)
    assert len(encoder.texts) == 16 + 8 + 16  # passages, questions, poison


def test_the_same_passages_are_read_once() -> None:
    class Counting:
        name = "counting"
        n = 0

        def answer(self, question, passages):
            self.n += 1
            return "x"

    reader = Counting()
    trials = list(experiment().run(reader=reader))
    assert len(trials) == 8 * 2 * 2
    assert reader.n == 8 * (1 + 2)  # without attack both defenders keep everything


def test_k_larger_than_the_corpus_retrieves_everything() -> None:
    trial = next(experiment(k=500).run())
    assert trial.retrieved_clean == 16


def test_a_corpus_without_targets_serves_where_nothing_is_attacked() -> None:
    corpora = {"toy": Spec("corpus", "toy", {"targets": False})}
    trials = list(experiment(corpora=corpora, attacks={}).run())
    assert {t.attack_succeeded for t in trials} == {None}
    assert {t.answer_correct for t in trials} == {True}
    with pytest.raises(InputError, match="corpus 'toy' has no targets"):
        next(experiment(corpora=corpora).run())


def test_an_empty_corpus_is_refused() -> None:
    corpora = {"toy": Spec("corpus", "toy", {"towns": 0})}
    with pytest.raises(InputError, match="has no passages"):
        next(experiment(corpora=corpora).run())


@pytest.mark.parametrize(
    "changes",
    [
        {"attacks": {"toy": Spec("attack", "toy", {"m": 3})}},
        {"defenders": {"toy-echo": Spec("defender", "toy-echo", {"m": 3})}},
        {"reader": Spec("reader", "toy", {"m": 3})},
        {"corpora": {"toy": Spec("corpus", "toy", {"m": 3})}},
    ],
)
def test_a_parameter_that_a_plugin_does_not_take_is_refused_before_any_trial(changes) -> None:
    with pytest.raises(UsageError, match="takes no parameter 'm'"):
        next(experiment(**changes).run())


def test_progress_is_told_every_step() -> None:
    from contextlib import contextmanager

    told: dict[str, list[int]] = {}

    @contextmanager
    def progress(what, total):
        told[what] = [total, 0]

        def advance(steps: int) -> None:
            told[what][1] += steps

        yield advance

    list(experiment(questions=2).run(progress=progress))
    assert all(total == done for total, done in told.values())
    assert told["Embedding toy"] == [16, 16]
    assert told["toy, toy, seed 0"] == [4, 4]
