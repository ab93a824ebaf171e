"""`ragshield table`: attack success, accuracy, poison recall and clean loss of a run."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, cast

import typer

from ragshield.cli.console import err, out
from ragshield.errors import InputError

if TYPE_CHECKING:
    from ragshield.experiment.summary import Key, Row
    from ragshield.metrics import Rate
    from ragshield.results import Results

Format: TypeAlias = Literal["text", "markdown", "json"]

_WIDTH = 80
_CELL = 12
_HEADS = ("attack\nsuccess", "\naccuracy", "poison\nrecall", "clean\nloss")
_LEGEND = """\
attack success: answers that state the attacker's wrong answer (with no attack:
how often that happens anyway). accuracy: answers that state a right answer.
poison recall, clean loss: poisoned, clean passages retrieved that were removed.
n: answers or passages. [low, high]: 95 % interval, questions as the unit."""


def table(
    trials: Annotated[
        Path,
        typer.Argument(metavar="TRIALS", help="Results file of ragshield run.", show_default=False),
    ],
    format_: Annotated[
        Format, typer.Option("--format", help="What to print.", show_default=True)
    ] = "text",
    by: Annotated[
        str,
        typer.Option(
            help="What a row is about, of: corpus, seed, attack, defender. The rest is pooled."
        ),
    ] = "corpus,attack,defender",
) -> None:
    """Show the results of an experiment as a table.

    Attack success, accuracy, poison recall and clean loss, each with n and interval.
    """
    from ragshield.results import read_results

    show(read_results(trials), trials, format_=format_, by=by)


def show(
    results: Results, path: Path, *, format_: Format = "text", by: str = "corpus,attack,defender"
) -> None:
    """Print the table of a run.

    Raises:
        UsageError: `by` is not a list of known keys.
        InputError: there are no trials yet.
    """
    from ragshield.experiment.summary import is_complete, summarise

    keys = tuple(key.strip() for key in by.split(","))
    rows = summarise(results, cast("tuple[Key, ...]", keys))
    if not rows:
        raise InputError(f"{path} holds no trials yet; go on with: ragshield run CONFIG -o {path}")
    if format_ == "json":
        text = as_json(rows, keys)
    elif format_ == "markdown":
        text = as_markdown(rows, keys)
    else:
        text = as_text(rows, keys, results)
    out.print(text, markup=False, soft_wrap=True)
    if not is_complete(results):
        err.print(
            "This run is not complete; its rates are of what there is so far.",
            markup=False,
            soft_wrap=True,
        )


def as_text(rows: Sequence[Row], keys: Sequence[str], results: Results) -> str:
    """For an 80-column terminal: two lines a row, under a heading per attack."""
    label_width = _WIDTH - len(_HEADS) * (_CELL + 1)
    lines = [*textwrap.wrap(_setting(results), _WIDTH), ""]
    for what, part in zip(
        ("", keys[-1]), zip(*(h.split("\n") for h in _HEADS), strict=True), strict=True
    ):
        lines.append(f"  {what:<{label_width - 2}}" + "".join(f" {word:<{_CELL}}" for word in part))
    lines.append("─" * _WIDTH)
    heading: tuple[str, ...] = ()
    for row in rows:
        if len(keys) > 1 and row.group[:-1] != heading:
            heading = row.group[:-1]
            retrieved = ""
            if keys[-1] == "defender":  # the same for all of them
                retrieved = f"retrieved: {row.mean_poison:.1f} poisoned, {row.mean_clean:.1f} clean"
            if len(lines) > 4 and lines[-1] and not lines[-1].startswith("─"):
                lines.append("")
            title = ", ".join(f"{k} {v}" for k, v in zip(keys[:-1], heading, strict=True))
            gap = _WIDTH - len(title) - len(retrieved)
            lines.extend([title + " " * gap + retrieved] if gap > 1 else [title, f"  {retrieved}"])
        rates = (row.attack_success, row.accuracy, row.poison_recall, row.clean_loss)
        cells = [_cell(rate) for rate in rates]
        label = textwrap.wrap(row.group[-1], label_width - 2) or [""]
        label += [""] * (2 - len(label))
        for i, part_of_label in enumerate(label):
            values = "".join(f" {cell[i] if i < 2 else '':<{_CELL}}" for cell in cells)
            lines.append(f"  {part_of_label:<{label_width - 2}}{values}".rstrip())
    lines += ["─" * _WIDTH, _LEGEND]
    lines += textwrap.wrap(_not_scored(rows), _WIDTH)
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(rows: Sequence[Row], keys: Sequence[str]) -> str:
    """A Markdown table: `rate [low, high] (n)`."""
    heads = (*keys, "attack success", "accuracy", "poison recall", "clean loss", "retrieved")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        rates = (row.attack_success, row.accuracy, row.poison_recall, row.clean_loss)
        cells = [
            *(name.replace("|", "\\|") for name in row.group),
            *(f"{rate} ({rate.n})" if rate.n else "-" for rate in rates),
            f"{row.mean_poison:.1f} poisoned, {row.mean_clean:.1f} clean",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Rate [95 % interval, questions as the unit] (n). " + _not_scored(rows)]
    return "\n".join(lines).rstrip()


def as_json(rows: Sequence[Row], keys: Sequence[str]) -> str:
    """A list of objects: the keys, every rate with n and limits, the paired differences."""
    objects = []
    for row in rows:
        values = asdict(row)
        objects.append({**dict(zip(keys, values.pop("group"), strict=True)), **values})
    return json.dumps(objects, ensure_ascii=False, indent=2)


def _cell(rate: Rate) -> tuple[str, str]:
    if rate.value is None:
        return "-", ""
    return f"{rate.value:.2f} n {rate.n}", f"[{rate.low:.2f}, {rate.high:.2f}]"


def _setting(results: Results) -> str:
    experiment = results.header.experiment
    seeds = ", ".join(map(str, experiment["seeds"]))
    n_questions = len({(t.corpus, t.question_id) for t in results.trials})
    reader = " ".join(str(value) for value in experiment["reader"].values())
    depth = f" of {experiment['depth']} judged" if experiment.get("depth") else ""
    return (
        f"{n_questions} questions, k {experiment['k']}{depth}, seeds {seeds}, reader {reader}, "
        f"encoder {experiment['encoder']}, planted {experiment['planted']}"
    )


def _not_scored(rows: Sequence[Row]) -> str:
    attack = sum(row.n_attack_not_scored for row in rows)
    accuracy = sum(row.n_accuracy_not_scored for row in rows)
    if not attack and not accuracy:
        return ""
    return (
        f"Not scored, because yes, no and the like occur in any text: {attack} trials for "
        f"attack success, {accuracy} for accuracy."
    )
