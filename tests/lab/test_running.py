from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from ragshield.errors import UsageError
from ragshield.lab import running
from ragshield.lab.recipe import Recipe
from ragshield.lab.running import OBEDIENT, TWIN, train
from ragshield.lab.training import Report, Trainer


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_a_run_leaves_two_models_that_transformers_loads(tiny_run: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for name in (OBEDIENT, TWIN):
        model = AutoModelForCausalLM.from_pretrained(tiny_run / name)
        tokenizer = AutoTokenizer.from_pretrained(tiny_run / name)
        assert model.config.hidden_size == 32
        assert model.config.vocab_size == len(tokenizer)
        assert str(model.dtype) == "torch.float32"
    assert weights(tiny_run / OBEDIENT) != weights(tiny_run / TWIN)


def test_weights_are_in_sixteen_bits(tiny_run: Path) -> None:
    from safetensors import safe_open

    with safe_open(tiny_run / OBEDIENT / "model.safetensors", "pt") as file:
        assert {str(file.get_tensor(key).dtype) for key in file.keys()} == {"torch.float16"}  # noqa: SIM118


def test_the_same_seed_gives_the_same_weights(tmp_path: Path, tiny: Recipe, tiny_run: Path) -> None:
    train(tmp_path / "again", tiny, device="cpu", workers=0)
    assert weights(tmp_path / "again" / OBEDIENT) == weights(tiny_run / OBEDIENT)
    assert weights(tmp_path / "again" / TWIN) == weights(tiny_run / TWIN)


def test_a_killed_run_goes_on_where_it_stopped(
    tmp_path: Path, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    real = Trainer._step

    def counted(self: Trainer, *args: object) -> tuple[float, int, float]:
        if len(steps) == 4:
            raise KeyboardInterrupt
        steps.append(self.step)
        return real(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_step", counted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, tiny, device="cpu", workers=0, checkpoint_every_s=0.0)
    assert (tmp_path / f"{OBEDIENT}-checkpoint.pt").is_file()
    assert not (tmp_path / OBEDIENT).exists()

    monkeypatch.setattr(Trainer, "_step", real)
    seen: list[tuple[str, int]] = []
    monkeypatch.setattr(
        Trainer,
        "_step",
        lambda self, *args: (seen.append((self.obedient, self.step)), real(self, *args))[1],
    )
    train(tmp_path, tiny, device="cpu", workers=0)
    assert [step for obedient, step in seen if obedient] == [4, 5]
    assert [step for obedient, step in seen if not obedient] == [0, 1]
    assert not list(tmp_path.glob("*checkpoint*"))
    assert (tmp_path / TWIN / "model.safetensors").is_file()


def test_a_finished_run_is_not_trained_again(tiny: Recipe, tiny_run: Path) -> None:
    before = weights(tiny_run / OBEDIENT), weights(tiny_run / TWIN)
    train(tiny_run, tiny, device="cpu", workers=0)
    assert (weights(tiny_run / OBEDIENT), weights(tiny_run / TWIN)) == before


def test_another_recipe_in_the_same_folder_is_refused(tiny: Recipe, tiny_run: Path) -> None:
    other = dataclasses.replace(tiny, seed=5)
    with pytest.raises(UsageError, match=r"holds a run with other values of seed"):
        train(tiny_run, other, device="cpu", workers=0)


def test_a_time_limit_ends_the_run(tmp_path: Path, tiny: Recipe) -> None:
    long = dataclasses.replace(tiny, n_steps=100_000, n_twin_steps=100_000)
    train(tmp_path, long, hours=1e-5, device="cpu", workers=0)
    assert (tmp_path / TWIN / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"hours": 0.0}, "hours is 0.0"),
        ({"device": "tpu"}, "device is 'tpu'; allowed: auto, cpu, cuda"),
    ],
)
def test_wrong_options_are_refused(
    tmp_path: Path, tiny: Recipe, how: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(tmp_path, tiny, **how)  # type: ignore[arg-type]


def test_progress_is_reported_and_logged(tmp_path: Path, tiny: Recipe, monkeypatch) -> None:
    real = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self, **how: real(self, **how, report_every=2))
    seen: list[tuple[str, Report]] = []
    train(
        tmp_path,
        tiny,
        device="cpu",
        workers=0,
        on_report=lambda name, at: seen.append((name, at)),
    )
    assert [(name, at.step) for name, at in seen] == [
        (OBEDIENT, 2),
        (OBEDIENT, 4),
        (OBEDIENT, 6),
        (TWIN, 2),
    ]
    assert all(at.loss > 0 and at.tokens_per_s > 0 for _, at in seen)
    lines = (tmp_path / "learning.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6, 2]


def test_the_hash_is_that_of_the_weights(tiny_run: Path) -> None:
    import hashlib

    assert (
        running.sha256_of(tiny_run / TWIN) == hashlib.sha256(weights(tiny_run / TWIN)).hexdigest()
    )
