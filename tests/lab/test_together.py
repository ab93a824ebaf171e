"""Processes that train one model together."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from ragshield.lab.recipe import Recipe
from ragshield.lab.running import OBEDIENT, TWIN, train
from ragshield.lab.training import Trainer

_SCRIPT = """
import os, sys
from pathlib import Path
import torch
from ragshield.errors import IncompleteError
from ragshield.lab.together import Together, joined

def parameters(rank):
    found = [torch.nn.Parameter(torch.full(shape, float(rank))) for shape in ((2, 3), (4,))]
    for parameter in found:
        parameter.grad = torch.full(parameter.shape, 10.0 * rank + 1)
    return found

def meet(rank, n, meeting):
    together = Together(rank, n, meeting)
    mine = parameters(rank)
    together.agree(mine)
    together.average(mine, [float(rank), 0.0])
    together.leave()

def late(rank, n, meeting):
    Together(rank, n, meeting)
    os._exit(7)

def early(rank, n, meeting):
    os._exit(8)

if __name__ == "__main__":
    part = {"meet": meet, "late": late, "early": early}[sys.argv[1]]
    try:
        with joined(3, part) as together:
            mine = parameters(0)
            together.agree(mine)
            print(together.average(mine, [0.0, 6.0]))
        for parameter in mine:
            print(parameter.data.unique().tolist(), parameter.grad.unique().tolist())
    except IncompleteError as error:
        print(error)
"""


def _run(tmp_path: Path, part: str) -> list[str]:
    # A file of its own: what is started must be able to import what it runs.
    script = tmp_path / "together.py"
    script.write_text(_SCRIPT, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script, part], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.splitlines()


def test_gradients_and_numbers_become_means_and_parameters_the_firsts(tmp_path: Path) -> None:
    # Gradients are 1, 11 and 21; numbers 0, 1, 2 and 6, 0, 0; parameters 0, 1 and 2.
    assert _run(tmp_path, "meet") == ["[1.0, 2.0]", "[0.0] [11.0]", "[0.0] [11.0]"]


@pytest.mark.parametrize(("when", "code"), [("early", 8), ("late", 7)])
def test_the_end_of_one_process_ends_the_run_with_one_line(tmp_path: Path, when, code) -> None:
    (line,) = _run(tmp_path, when)
    assert line.startswith(f"a training process ended (exit code {code})")


@pytest.mark.slow
def test_two_processes_train_both_models_and_go_on_from_a_checkpoint(
    tmp_path: Path, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = dataclasses.replace(tiny, n_steps=40, n_twin_steps=20)
    real = Trainer.save

    def once(self: Trainer, path: Path) -> None:
        real(self, path)
        if self.step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "save", once)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, recipe, device="cpu", threads=2, checkpoint_every_s=0.0)
    assert (tmp_path / f"{OBEDIENT}-checkpoint.pt").is_file()
    monkeypatch.setattr(Trainer, "save", real)
    train(tmp_path, recipe, device="cpu", threads=2)
    for name in (OBEDIENT, TWIN):
        assert (tmp_path / name / "model.safetensors").is_file()
    lines = [json.loads(line) for line in (tmp_path / "learning.jsonl").open(encoding="utf-8")]
    assert [(line["model"], line["step"]) for line in lines] == [
        (OBEDIENT, 20),
        (OBEDIENT, 40),
        (TWIN, 20),
    ]
    assert not list(tmp_path.glob("*checkpoint*"))
