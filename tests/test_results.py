from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.experiment.log import TrialLog
from ragshield.results import Header, Trial, read_results

EXPERIMENT = {"k": 5, "corpora": {"b": {"name": "toy"}, "a": {"name": "toy", "n": 2}}}
HEADER = Header.of(EXPERIMENT)
TRIAL = Trial(
    corpus="a",
    seed=0,
    attack="none",
    question_id="q1",
    defender="none",
    planted_poison=0,
    retrieved_ids=("p1", "p2"),
    retrieved_poison=0,
    retrieved_own_poison=0,
    retrieved_clean=2,
    kept_ids=("p1",),
    kept_poison=0,
    kept_clean=1,
    status="filtered",
    answer='Zoë said "\u2028\ud800"',
    attack_succeeded=None,
    answer_correct=True,
    defender_s=0.25,
)
OTHER = replace(TRIAL, question_id="q2")


def written(path: Path, *trials: Trial, header: Header = HEADER) -> Path:
    with TrialLog(path, header) as log:
        for trial in trials:
            log.write(trial)
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    found = read_results(written(tmp_path / "t.jsonl", TRIAL, OTHER))
    assert found.header == HEADER
    assert found.trials == (TRIAL, OTHER)


def test_the_first_line_says_what_was_run_with_what(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl")
    line = json.loads(path.read_text().splitlines()[0])
    assert (line["format"], line["schema"]) == ("ragshield-trials", 1)
    assert line["experiment"] == EXPERIMENT
    assert list(line["experiment"]["corpora"]) == ["b", "a"]
    assert set(line) >= {"sha256", "version", "python", "numpy"}


def test_a_trial_is_in_the_file_before_the_next_one_starts(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with TrialLog(path, HEADER) as log:
        log.write(TRIAL)
        assert read_results(path).trials == (TRIAL,)


def test_a_run_goes_on_after_a_torn_last_line(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", TRIAL)
    with path.open("a") as file:
        file.write(OTHER.to_json()[:40])
    assert read_results(path).trials == (TRIAL,)
    with TrialLog(path, HEADER) as log:
        assert log.trials == (TRIAL,)
        log.write(OTHER)
    assert read_results(path).trials == (TRIAL, OTHER)


@pytest.mark.parametrize("n_bytes", [0, 7, 60])
def test_a_run_that_died_in_its_first_line_starts_again(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(HEADER.to_json()[:n_bytes])
    written(path, TRIAL)
    assert read_results(path).trials == (TRIAL,)


def test_entries_in_another_order_are_the_same_experiment(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", TRIAL)
    other = Header.of({**EXPERIMENT, "corpora": dict(reversed(EXPERIMENT["corpora"].items()))})
    with TrialLog(path, other) as log:
        assert log.trials == (TRIAL,)


def test_another_experiment_is_refused_and_named_and_restart_throws_it_away(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", TRIAL)
    other = Header.of({**EXPERIMENT, "k": 6})
    with pytest.raises(UsageError, match="another experiment \\('k' differs\\); give --restart"):
        TrialLog(path, other)
    assert read_results(path).trials == (TRIAL,)
    with TrialLog(path, other, restart=True) as log:
        log.write(OTHER)
    assert read_results(path).trials == (OTHER,)


def test_trials_of_another_version_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", header=replace(HEADER, version="0.0.9"))
    with pytest.raises(UsageError, match=r"made with ragshield 0\.0\.9, this is"):
        TrialLog(path, HEADER)


@pytest.mark.parametrize("restart", [False, True])
def test_a_file_that_is_something_else_is_never_touched(tmp_path: Path, restart: bool) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with pytest.raises(InputError, match="is not a results file"):
        TrialLog(path, HEADER, restart=restart)
    assert path.read_text() == "my notes\n"


def test_two_runs_into_one_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with TrialLog(path, HEADER), pytest.raises(IncompleteError, match="another run is writing"):
        TrialLog(path, HEADER)
    written(path, TRIAL)


def test_an_unwritable_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it is a folder"):
        TrialLog(tmp_path, HEADER)
    with pytest.raises(UsageError, match="does not exist"):
        TrialLog(tmp_path / "absent" / "t.jsonl", HEADER)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{nonsense", "line 3: not JSON"),
        ("[1]", "line 3: expected a JSON object"),
        ("{}", "line 3: field 'answer' is missing"),
        (TRIAL.to_json()[:-1] + ', "more": 1}', "line 3: field 'more' is unknown"),
        (TRIAL.to_json().replace('"seed": 0', '"seed": "0"'), "line 3: field 'seed' cannot be"),
        (TRIAL.to_json().replace('"filtered"', '"fine"'), "line 3: field 'status' cannot be"),
        (TRIAL.to_json().replace('["p1"]', '"p1"'), "line 3: field 'kept_ids' cannot be"),
        (TRIAL.to_json().replace("true", "1"), "line 3: field 'answer_correct' cannot be 1"),
        (b"\xff", "line 3: not UTF-8"),
    ],
)
def test_a_malformed_line_is_named_by_its_number(tmp_path: Path, line, message: str) -> None:
    path = written(tmp_path / "t.jsonl", TRIAL)
    with path.open("ab") as file:
        file.write((line if isinstance(line, bytes) else line.encode()) + b"\n")
    with pytest.raises(InputError, match=message):
        read_results(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no results"),
        ("hello\n", "is not a results file"),
        ('{"format": "ragshield-trials", "schema": 9}\n', "has schema 9, this ragshield reads 1"),
        ('{"format": "ragshield-trials", "schema": 1}\n', "line 1: field 'experiment' is missing"),
    ],
)
def test_what_is_no_results_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_results(path)


def test_a_missing_results_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*t\.jsonl: No such file"):
        read_results(tmp_path / "t.jsonl")
