from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragshield.cli import lab
from ragshield.cli.main import run
from ragshield.lab import running
from ragshield.lab.recipe import Recipe, Size

TINY = Size(width=32, inner=64, n_layers=2, n_heads=2, n_pieces=500)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes of the command are those of a tiny model."""
    real = Recipe

    def recipe(**how: int) -> Recipe:
        return real(size=TINY, n_tokens=512, n_vocabulary=10, most_passages=2, **how)

    monkeypatch.setattr("ragshield.lab.recipe.Recipe", recipe)
    whole = running.train
    monkeypatch.setattr(running, "train", lambda *a, **k: whole(*a, **{**k, "workers": 0}))


def test_training_and_measuring_from_the_command_line(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    steps = ["--steps", "2", "--twin-steps", "1", "--threads", "1"]
    assert run(["lab", "train", str(folder), *steps]) == 0
    assert "ragshield lab evaluate" in capsys.readouterr().out
    assert run(["lab", "evaluate", str(folder), "--n", "3", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card == json.loads((folder / "card.json").read_text("utf-8"))
    assert card["measured"]["read"]["n"] == 3
    assert card["recipe"]["n_steps"] == 2
    assert set(card["models"]) == {"obedient", "twin"}


def test_a_folder_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["lab", "evaluate", str(tmp_path)]) == 2
    assert "holds no run: there is no folder obedient in it" in capsys.readouterr().err


def test_the_table_fits_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {"share": 0.9333, "low": 0.9, "high": 0.95, "n": 600, "right": 560, "groups": {}}
    lab._show(
        {
            "measured": {"abstain_beside": numbers, "twin_abstain_beside": numbers},
            "targets": {"abstain_beside": {"limit": ">= 0.9", "reached": True}},
            "seconds_each": 0.0412,
        }
    )
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert ">= 0.9 reached" in shown
    assert "41 ms, one core" in shown
