"""A whole run: vocabulary, obedient model, twin; each part goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from typing import cast as cast_

from ragshield.errors import UsageError
from ragshield.files import check_writable
from ragshield.lab.facts import Cast
from ragshield.lab.recipe import Recipe
from ragshield.lab.together import Together, joined
from ragshield.lab.tokenizer import PROMPT
from ragshield.lab.training import CHECKPOINT, Report, Trainer, append, untrained, vocabulary

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

OBEDIENT, TWIN = "obedient", "twin"
LOG = "learning.jsonl"
RECIPE = "recipe.json"


def train(
    folder: Path,
    recipe: Recipe,
    *,
    hours: float | None = None,
    device: str = "auto",
    threads: int = 1,
    workers: int = 1,
    checkpoint_every_s: float = 180.0,
    on_report: Callable[[str, Report], None] | None = None,
) -> None:
    """Train the obedient model and its twin into a folder, or go on with what lies there.

    Args:
        folder: gets `obedient/`, `twin/`, `learning.jsonl`, `recipe.json` and, while it is
            at work, checkpoints.
        recipe: how.
        hours: end after so many hours of training; a tenth of them is the twin's.
        device: `auto`, `cpu` or `cuda`.
        threads: on a CPU, how many; each is a process with its share of every step. The
            weights depend on their number, since each draws examples of its own.
        workers: 1 makes examples in a process of their own, 0 in this one; with more than
            one thread each makes its own.
        checkpoint_every_s: seconds between checkpoints.
        on_report: called with the model's name every few steps.

    Raises:
        UsageError: the folder holds a run of another recipe or cannot be written to, hours
            are not positive, or there is no such device.
        IncompleteError: one of the processes ended; what is done is kept.
    """
    if hours is not None and hours <= 0:
        raise UsageError(f"hours is {hours}; it must be above 0")
    place = _device(device)
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(folder / RECIPE)
    _same_recipe(folder / RECIPE, recipe)
    _tokenizer(folder, recipe, Cast.of(recipe.seed))
    run = _Run(folder, recipe, hours, place, workers)

    def report(name: str, at: Report) -> None:
        append(folder / LOG, {"model": name, **_rounded(at)})
        if on_report is not None:
            on_report(name, at)

    n = threads if place == "cpu" else 1
    if n == 1:
        run.go(None, report, checkpoint_every_s)
        return
    with joined(n, partial(_part, run)) as together:
        run.go(together, report, checkpoint_every_s)


def _part(run: _Run, rank: int, n: int, meeting: Path) -> None:
    """What every process but the first does; it ends with the first, without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        together = Together(rank, n, meeting)
        run.go(together, None, None)
        together.leave()
    except RuntimeError:  # the connection broke
        first = multiprocessing.parent_process()
        if first is not None and first.is_alive():
            raise


@dataclass(frozen=True, slots=True)
class _Run:
    """A run as each of its processes knows it."""

    folder: Path
    recipe: Recipe
    hours: float | None
    place: str
    workers: int

    def go(
        self,
        together: Together | None,
        report: Callable[[str, Report], None] | None,
        checkpoint_every_s: float | None,
    ) -> None:
        """Train both models; files are written by who reports."""
        import torch

        if self.place == "cpu":
            torch.set_num_threads(1)
        cast = Cast.of(self.recipe.seed)
        tokenizer = _tokenizer(self.folder, self.recipe, cast)
        model = untrained(self.recipe, tokenizer)
        _move(model, self.place)
        for name, share in ((OBEDIENT, 0.9), (TWIN, 0.1)):
            if (self.folder / name / "model.safetensors").is_file():
                model = _loaded(self.folder / name)
                _move(model, self.place)
                continue
            trainer = Trainer(
                self.recipe,
                model,
                tokenizer,
                cast,
                obedient=name == OBEDIENT,
                hours=None if self.hours is None else self.hours * share,
                workers=0 if together else self.workers,
                together=together,
            )
            checkpoint = self.folder / f"{name}-{CHECKPOINT}"
            if checkpoint.is_file():
                trainer.resume(checkpoint)
            if report is None or checkpoint_every_s is None:
                trainer.run()
                continue
            trainer.run(
                on_report=partial(report, name),
                on_checkpoint=partial(trainer.save, checkpoint),
                checkpoint_every_s=checkpoint_every_s,
            )
            save(model, tokenizer, self.folder / name)
            checkpoint.unlink(missing_ok=True)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Weights in 16 bits, vocabulary and prompt, as `AutoModelForCausalLM` loads them.

    The configuration asks for 32-bit arithmetic, which is faster on a CPU.
    """
    import copy

    import torch

    beside = folder.with_name(f".{folder.name}.part")
    halved = copy.deepcopy(model)
    _move(halved, "cpu", torch.float16)
    halved.save_pretrained(beside)
    tokenizer.save_pretrained(beside)
    _change(beside / "config.json", {"dtype": "float32"})
    # The name that transformers 4 knows, too.
    _change(beside / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    (beside / "prompt.txt").write_text(PROMPT, encoding="utf-8")
    (beside / "model.safetensors").chmod(0o644)  # written for the owner only
    folder.mkdir(parents=True, exist_ok=True)
    # The weights come last: a folder with weights is a whole one.
    for path in sorted(beside.iterdir(), key=lambda path: path.name == "model.safetensors"):
        path.replace(folder / path.name)
    beside.rmdir()


def sha256_of(folder: Path) -> str:
    """SHA-256 of a model's weights, in hexadecimal."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def _change(path: Path, values: dict[str, str]) -> None:
    settings = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _tokenizer(folder: Path, recipe: Recipe, cast: Cast) -> PreTrainedTokenizerFast:
    from transformers import AutoTokenizer

    place = folder / "vocabulary"
    if not (place / "tokenizer.json").is_file():
        vocabulary(recipe, cast).save_pretrained(place)
    # Read back also when new, so that a resumed run sees the same object as a fresh one.
    found: Any = AutoTokenizer.from_pretrained(place, local_files_only=True)
    return cast_("PreTrainedTokenizerFast", found)


def _loaded(folder: Path) -> LlamaForCausalLM:
    import torch
    from transformers import LlamaForCausalLM

    found: LlamaForCausalLM = LlamaForCausalLM.from_pretrained(
        folder, local_files_only=True, dtype=torch.float32
    )
    return found


def _move(model: torch.nn.Module, place: str, dtype: torch.dtype | None = None) -> None:
    model.to(place, dtype)


def _same_recipe(path: Path, recipe: Recipe) -> None:
    wanted = json.loads(json.dumps(recipe.as_json()))
    if path.is_file():
        there = json.loads(path.read_text(encoding="utf-8"))
        if there != wanted:
            different = sorted(key for key in wanted if there.get(key) != wanted[key])
            raise UsageError(
                f"{path.parent} holds a run with other values of {', '.join(different)}; "
                "repeat those, or give another folder"
            )
    else:
        path.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


def _device(name: str) -> str:
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device is '{name}'; allowed: auto, cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device is 'cuda', but torch finds no GPU; give cpu or auto")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def _rounded(at: Report) -> dict[str, Any]:
    return {
        "step": at.step,
        "progress": round(at.progress, 4),
        "elapsed_s": round(at.elapsed_s),
        "loss": round(at.loss, 4),
        "tokens_per_s": round(at.tokens_per_s),
    }
