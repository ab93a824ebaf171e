from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragshield import Experiment
from ragshield.cli.main import run as ragshield
from ragshield.errors import UsageError
from ragshield.experiment.log import TrialLog
from ragshield.experiment.summary import is_complete, summarise
from ragshield.records import Spec
from ragshield.results import Results, read_results


@pytest.fixture
def path(tmp_path: Path) -> Path:
    experiment = Experiment(
        corpora={
            "towns": Spec("corpus", "toy"),
            "a corpus with quite a long label": Spec("corpus", "toy", {"towns": 20}),
        },
        attacks={"two texts": Spec("attack", "toy"), "one": Spec("attack", "toy", {"n": 1})},
        defenders={"echo, which drops what repeats": Spec("defender", "toy-echo")},
        reader=Spec("reader", "toy"),
        encoder="toy",
        k=3,
        seeds=(0, 1),
        questions=8,
    )
    with TrialLog(tmp_path / "trials.jsonl", experiment.header()) as log:
        for trial in experiment.run():
            log.write(trial)
    return tmp_path / "trials.jsonl"


def test_rows_come_in_the_order_of_the_experiment_with_none_first(path: Path) -> None:
    groups = [row.group for row in summarise(read_results(path))]
    assert groups == [
        (corpus, attack, defender)
        for corpus in ("towns", "a corpus with quite a long label")
        for attack in ("none", "two texts", "one")
        for defender in ("none", "echo, which drops what repeats")
    ]


def test_a_row_counts_answers_passages_and_questions(path: Path) -> None:
    rows = {row.group: row for row in summarise(read_results(path))}
    plain = rows["towns", "two texts", "none"]
    defended = rows["towns", "two texts", "echo, which drops what repeats"]
    assert plain.n_trials == defended.n_trials == 16
    assert (plain.attack_success.value, plain.accuracy.value) == (1.0, 0.0)
    assert plain.attack_success.n_clusters == 8  # two seeds ask the same eight questions
    assert defended.attack_success.value == 0.0
    assert defended.poison_recall.value == 1.0
    assert plain.poison_recall.value == 0.0
    assert defended.clean_loss.value == 0.0
    assert plain.mean_poison + plain.mean_clean == 3.0
    assert defended.attack_success_gain.value == -1.0
    assert defended.attack_success_gain.high < 0
    assert plain.attack_success_gain is None


def test_without_poison_there_is_no_recall_but_a_clean_loss(path: Path) -> None:
    rows = {row.group: row for row in summarise(read_results(path), ("attack", "defender"))}
    row = rows["none", "echo, which drops what repeats"]
    assert row.poison_recall.value is None
    assert (row.clean_loss.value, row.clean_loss.n) == (0.0, 32 * 3)


def test_pooling_defenders_compares_nothing(path: Path) -> None:
    (row,) = summarise(read_results(path), ("seed",))[:1]
    assert (row.group, row.n_trials) == (("0",), 2 * 3 * 2 * 8)
    assert row.accuracy_gain is None


@pytest.mark.parametrize("by", [("colour",), (), ("attack", "attack")])
def test_unknown_missing_and_repeated_keys_are_refused(path: Path, by) -> None:
    with pytest.raises(UsageError, match="group by"):
        summarise(read_results(path), by)


def test_a_run_that_stopped_early_is_not_complete(path: Path) -> None:
    found = read_results(path)
    assert is_complete(found)
    assert not is_complete(Results(found.header, found.trials[:-1], 0))
    assert not is_complete(Results(found.header, found.trials[:96], 0))


def test_the_table_fits_80_columns_and_says_everything_once(path: Path, capsys) -> None:
    assert ragshield(["table", str(path)]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "20 questions, k 3, seeds 0, 1, reader toy, encoder toy" in " ".join(text.split())
    assert text.count("corpus towns, attack two texts") == 1
    assert "echo, which drops what" in text
    assert "1.00 n 16" in text


def test_the_markdown_table_has_one_row_per_combination(path: Path, capsys) -> None:
    assert ragshield(["table", str(path), "--format", "markdown", "--by", "attack,defender"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| attack | defender | attack success | accuracy |")
    rows = [line for line in lines if line.startswith("| ")][1:]
    assert [row.split(" | ")[0] for row in rows] == ["| none"] * 2 + ["| two texts"] * 2 + [
        "| one"
    ] * 2


def test_the_json_table_holds_every_rate_with_n_and_limits(path: Path, capsys) -> None:
    assert ragshield(["table", str(path), "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    row = next(r for r in rows if r["attack"] == "two texts" and r["defender"] != "none")
    assert row["corpus"] == "towns"
    assert row["poison_recall"]["value"] == 1.0
    assert set(row["accuracy"]) == {"successes", "n", "value", "low", "high", "n_clusters"}
    assert row["attack_success_gain"]["value"] == -1.0


def test_a_table_of_an_unknown_key_or_of_no_trials_is_refused(path: Path, capsys) -> None:
    assert ragshield(["table", str(path), "--by", "colour"]) == 2
    assert "cannot group by 'colour'; allowed: corpus, seed, attack, defender" in (
        capsys.readouterr().err
    )
    path.write_text(path.read_text().split("\n")[0] + "\n")
    assert ragshield(["table", str(path)]) == 2
    assert "holds no trials yet" in capsys.readouterr().err
