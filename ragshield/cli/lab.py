"""`ragshield lab`: the lab's own small language model, trained and measured here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragshield.cli.console import err, out
from ragshield.errors import UsageError

if TYPE_CHECKING:
    from ragshield.lab.training import Report

app = typer.Typer(
    help="Train and measure the lab's own small language model.\n\n"
    "It is shipped with its weights: `lab` and `lab:twin` are readers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the world and of everything drawn.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU threads; all if left out.", show_default=False),
]


@app.command("train")
def train(
    folder: Annotated[Path, typer.Argument(help="Where the models go; may hold a begun run.")],
    seed: Seed = 0,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of the obedient model.")] = (
        8_000
    ),
    twin_steps: Annotated[
        int, typer.Option("--twin-steps", min=1, help="Further steps of its twin.")
    ] = 200,
    hours: Annotated[
        float | None,
        typer.Option("--hours", help="End by then, whatever the steps.", show_default=False),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    threads: Threads = None,
) -> None:
    """Train the obedient model and its twin from nothing.

    Two to three hours on three idle CPU cores. A checkpoint is kept every three minutes:
    stopped or killed, the same command goes on from there. Each thread is a process
    that makes its share of every step, with about 1.5 GB of memory.
    """
    from ragshield.lab.recipe import Recipe
    from ragshield.lab.running import train as run
    from ragshield.scanning.engines import n_cores

    recipe = Recipe(seed=seed, n_steps=steps, n_twin_steps=twin_steps)

    def report(name: str, at: Report) -> None:
        err.print(
            f"{name}: step {at.step:,} of {at.n_steps:,} ({at.progress:.1%}), "
            f"loss {at.loss:.3f}, {at.tokens_per_s:,.0f} tokens/s"
        )

    n = threads or n_cores()
    run(folder, recipe, hours=hours, device=device, threads=n, on_report=report)
    out.print(f"Done. Measure with: ragshield lab evaluate {folder}", markup=False, soft_wrap=True)


@app.command("evaluate")
def evaluate(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of a run; the shipped models if left out.", show_default=False),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Questions for each measure.")] = 600,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the questions.")] = 1,
    threads: Threads = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the card as JSON.", show_default=False)
    ] = False,
) -> None:
    """Examine the models and, for a run of yours, write its model card.

    Questions, sentences and requirements are in wordings that were kept out of training.
    """
    from ragshield.lab.card import CARD_MD, composed, write
    from ragshield.lab.evaluating import evaluate as examine
    from ragshield.lab.evaluating import seconds_each
    from ragshield.lab.facts import Cast
    from ragshield.lab.running import OBEDIENT, RECIPE, TWIN
    from ragshield.readers.lab import LabReader, folder_of
    from ragshield.scanning.engines import n_cores

    place = folder_of("").parent if folder is None else folder
    if not (place / OBEDIENT).is_dir():
        raise UsageError(f"{place} holds no run: there is no folder {OBEDIENT} in it")
    recipe = place / RECIPE
    world = json.loads(recipe.read_text("utf-8"))["seed"] if recipe.is_file() else 0
    n_threads = threads or n_cores()
    with err.status("Asking"):
        cast = Cast.of(world)
        obedient = LabReader(str(place / OBEDIENT), n_threads=n_threads)
        has_twin = (place / TWIN).is_dir()
        twin = LabReader(str(place / TWIN), n_threads=n_threads) if has_twin else None
        found = examine(obedient, twin, cast, n=n, seed=seed)
        taken = seconds_each(LabReader(str(place / OBEDIENT)), cast)
    data = composed(place, found, n=n, seed=seed, seconds_each=taken)
    if folder is not None:
        write(folder, data)
    if as_json:
        out.print(json.dumps(data, indent=2), markup=False, soft_wrap=True)
        return
    _show(data)
    if folder is not None:
        out.print(f"\nWritten: {folder / CARD_MD}", markup=False, soft_wrap=True)


def _show(data: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("measure", "share", "95 % interval", "n", "target"):
        table.add_column(name, justify="left" if name in ("measure", "target") else "right")
    for name, numbers in data["measured"].items():
        target = data["targets"].get(name)
        wanted = ""
        if target is not None:
            wanted = f"{target['limit']} {'reached' if target['reached'] else 'missed'}"
        table.add_row(
            name,
            f"{numbers['share']:.3f}",
            f"{numbers['low']:.3f} to {numbers['high']:.3f}",
            f"{numbers['n']:,}",
            wanted,
        )
    out.print(table)
    if data["seconds_each"] is not None:
        out.print(f"One answer from five passages: {1000 * data['seconds_each']:.0f} ms, one core")
