from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOYS = Path(__file__).parent.parent / "toys"
COMMAND = "from ragshield.cli.main import main; main()"
CONFIG = """
k = 3
seeds = [0, 1]
encoder = "toy"
reader = "toy"
[[corpus]]
name = "toy"
[[attack]]
name = "toy"
[[defender]]
name = "toy-echo"
label = "echo"
"""
N_TRIALS = 2 * 8 * 2 * 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "experiment.toml").write_text(CONFIG)
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(TOYS), "XDG_CACHE_HOME": str(folder / "cache")}


def ragshield(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=120,
    )


def trials(path: Path) -> list[dict]:
    found = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return [{key: value for key, value in trial.items() if key != "defender_s"} for trial in found]


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return ragshield(folder, "run", "experiment.toml", "-o", "trials.jsonl", *more)


def test_run_writes_every_trial_and_ends_with_the_table(folder: Path) -> None:
    done = run(folder)
    assert done.returncode == 0, done.stderr
    assert len(trials(folder / "trials.jsonl")) == N_TRIALS
    assert f"Done: {N_TRIALS} trials in trials.jsonl." in done.stderr
    table = ragshield(folder, "table", "trials.jsonl")
    assert table.returncode == 0
    assert table.stdout == done.stdout
    assert (folder / "cache" / "ragshield" / "vectors.sqlite").is_file()


def test_the_same_command_again_has_nothing_to_do(folder: Path) -> None:
    first = run(folder)
    before = (folder / "trials.jsonl").read_bytes()
    again = run(folder)
    assert again.returncode == 0
    assert again.stdout == first.stdout
    assert f"Going on after {N_TRIALS} trials" in again.stderr
    assert (folder / "trials.jsonl").read_bytes() == before


def test_limit_stops_early_and_the_same_command_goes_on(folder: Path) -> None:
    stopped = run(folder, "--limit", "9")
    assert stopped.returncode == 0
    assert len(trials(folder / "trials.jsonl")) == 9
    assert "Stopped after 9 new trials" in stopped.stderr
    assert "not complete" in stopped.stderr
    assert run(folder).returncode == 0
    resumed = trials(folder / "trials.jsonl")
    assert run(folder, "--restart").returncode == 0
    assert resumed == trials(folder / "trials.jsonl")


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_keeps_what_is_done_and_resuming_equals_an_uninterrupted_run(folder: Path) -> None:
    whole = folder / "whole.jsonl"
    assert ragshield(folder, "run", "experiment.toml", "-o", str(whole)).returncode == 0

    config = folder / "experiment.toml"
    config.write_text(CONFIG + "delay_s = 0.05\n")
    output = folder / "trials.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "run", "experiment.toml", "-o", output.name],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not output.exists() or output.read_bytes().count(b"\n") < 6:
        assert process.poll() is None, process.stderr
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)

    assert process.returncode == 3
    assert stderr.splitlines()[-1] == (
        "ragshield: interrupted; finished trials are in trials.jsonl; "
        "go on with: ragshield run experiment.toml -o trials.jsonl"
    )
    assert 5 <= len(trials(output)) < N_TRIALS
    assert run(folder).returncode == 0
    assert trials(output) == trials(whole)


def test_a_killed_run_is_resumed_past_its_torn_line(folder: Path) -> None:
    assert run(folder).returncode == 0
    output = folder / "trials.jsonl"
    whole = trials(output)
    output.write_bytes(output.read_bytes()[: output.stat().st_size // 2])
    resumed = run(folder)
    assert resumed.returncode == 0
    assert trials(output) == whole


def test_another_experiment_is_refused(folder: Path) -> None:
    run(folder, "--limit", "1")
    (folder / "experiment.toml").write_text(CONFIG.replace("k = 3", "k = 4"))
    refused = run(folder)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr == (
        "ragshield: trials.jsonl holds trials of another experiment ('k' differs); "
        "give --restart to throw them away, or name another file\n"
    )
    assert run(folder, "--restart", "--limit", "1").returncode == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("k = = 3", "experiment.toml is not TOML: Invalid value (at line 1, column 5)"),
        ("kay = 3\n" + CONFIG, "unknown key 'kay'"),
        (CONFIG + "colour = 1\n", "defender 'toy-echo' takes no parameter 'colour'"),
        (CONFIG.replace('name = "toy-echo"', 'name = "toy-eco"'), "did you mean 'toy-echo'?"),
    ],
)
def test_a_bad_experiment_is_one_line_and_exit_code_2(
    folder: Path, config: str, message: str
) -> None:
    (folder / "experiment.toml").write_text(config)
    refused = run(folder)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_an_unwritable_output_is_refused_before_the_work(folder: Path) -> None:
    refused = ragshield(folder, "run", "experiment.toml", "-o", "absent/trials.jsonl")
    assert refused.returncode == 2
    assert refused.stderr == (
        "ragshield: cannot write absent/trials.jsonl: the folder absent does not exist\n"
    )


def test_a_missing_experiment_is_refused(folder: Path) -> None:
    refused = ragshield(folder, "run", "absent.toml", "-o", "trials.jsonl")
    assert refused.returncode == 2
    assert "cannot read absent.toml: No such file or directory" in refused.stderr
    assert not (folder / "trials.jsonl").exists()
