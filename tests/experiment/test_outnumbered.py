"""Experiments in which a defender looks deeper where honest passages seem outnumbered."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragshield.errors import UsageError
from ragshield.experiment import Experiment
from ragshield.records import Spec

ATTACKED = ("toy", "echo", "q-Town1")


def experiment(**changes):
    return Experiment(
        corpora={"toy": Spec("corpus", "toy", {"towns": 6})},
        attacks={"toy": Spec("attack", "toy", {"n": 3})},
        defenders={"echo": Spec("defender", "toy-echo")},
        k=2,
        planted="own",
        encoder="toy",
        **changes,
    )


def trials(**changes):
    return {(t.attack, t.defender, t.question_id): t for t in experiment(**changes).run()}


def test_without_a_choice_the_first_retrieval_stands_as_in_the_papers():
    trial = trials()[ATTACKED]
    assert (len(trial.retrieved_ids), trial.kept_ids, trial.status) == (2, (), "filtered")


def test_it_looks_deeper_and_reads_the_k_best_that_are_kept():
    done = trials(on_majority="filter")
    trial = done[ATTACKED]
    assert (len(trial.retrieved_ids), trial.retrieved_poison, trial.kept_poison) == (4, 3, 0)
    assert trial.status == "filtered"
    assert trial.answer == "The mayor of Town1 is rightTown1."
    assert trial.answer_correct is True
    assert len(done["toy", "none", "q-Town1"].retrieved_ids) == 2
    assert len(done["none", "echo", "q-Town1"].retrieved_ids) == 2


def test_the_deepest_retrieval_can_be_set_and_abstaining_reads_nothing():
    for choice, status in (("filter", "majority_assumption_violated"), ("abstain", "abstained")):
        trial = trials(on_majority=choice, max_depth=3)[ATTACKED]
        assert (len(trial.retrieved_ids), trial.kept_ids) == (3, ())
        assert (trial.status, trial.answer) == (status, "I don't know")


def test_the_file_says_it_and_the_header_records_it(tmp_path: Path):
    path = tmp_path / "experiment.toml"
    path.write_text('on_majority = "abstain"\nmax_depth = 12\n[[corpus]]\nname = "toy"\n')
    read = Experiment.from_toml(path)
    assert (read.on_majority, read.max_depth) == ("abstain", 12)
    recorded = read.header().experiment
    assert (recorded["on_majority"], recorded["max_depth"]) == ("abstain", 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"on_majority": "refuse"}, "an experiment has nobody to refuse, write 'abstain'"),
        ({"on_majority": "drop"}, "on_majority is 'drop'; it must be one of"),
        ({"max_depth": 9}, "max_depth needs on_majority"),
        ({"max_depth": 0, "on_majority": "filter"}, "max_depth is 0"),
    ],
)
def test_other_choices_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        experiment(**changes)
