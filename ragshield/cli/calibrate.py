"""`ragshield calibrate`: a threshold with a stated false-positive rate for one store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import EncoderName, VectorCache, err, progress
from ragshield.errors import InputError, UsageError
from ragshield.files import check_writable, read_jsonl

if TYPE_CHECKING:
    from ragshield.defenders.calibrated_shield import Measured, Shield

_LABEL_CHARS = 22


def calibrate(
    url: Annotated[str, typer.Argument(help="Store, for example chroma:./db#docs.")],
    questions: Annotated[
        Path | None,
        typer.Option(
            help="Real questions, one a line or JSONL; else drawn from the store.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        float, typer.Option(help="Share of honest passages it may cost, above 0, up to 0.5.")
    ] = 0.01,
    k: Annotated[
        int,
        typer.Option("--k", help="Passages judged for a question; a guard asked for 10 judges 20."),
    ] = 20,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the calibration goes.")
    ] = Path("shield.toml"),
    n_questions: Annotated[
        int, typer.Option("--n-questions", help="Questions to draw from the store.")
    ] = 300,
    n_attacked: Annotated[
        int, typer.Option("--n-attacked", help="Questions to plant attacks for; 0: none.")
    ] = 100,
    without: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Findings of scan that you confirmed: not counted as honest.",
            show_default=False,
        ),
    ] = None,
    encoder: EncoderName = "minilm",
    cache: VectorCache = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same calibration.")] = 0,
) -> None:
    """Set the guard's threshold by your own store.

    How suspicious may an honest passage look here?

    Asks honest questions of the store, finds the threshold that costs at most the budget
    of the honest passages, and plants the known attacks in a copy to see what it
    catches. Changes nothing in the store. Use it: Guard(retriever, shield="shield.toml").
    """
    # Checked before the work, so that a slip does not cost a long calibration.
    check_writable(output)
    if not 0 < budget <= 0.5:
        raise UsageError(f"--budget is {budget:g}; it must be above 0 and at most 0.5, e.g. 0.01")
    if questions is not None and not questions.is_file():
        raise InputError(f"{questions} does not exist; give a file of questions, one a line")
    left_out = [] if without is None else _ids(without)
    from ragshield.calibration import calibrate as run_calibration
    from ragshield.defenders.calibrated_shield import write_shield
    from ragshield.encoders.open import open_encoder
    from ragshield.stores.url import open_store

    with open_store(url) as store:
        shield = run_calibration(
            store,
            open_encoder(encoder, cache=cache),
            questions=questions,
            budget=budget,
            k=k,
            seed=seed,
            n_questions=n_questions,
            n_attacked=n_attacked,
            without=left_out,
            progress=progress,
        )
    write_shield(shield, output)
    for line in page(shield, url):
        typer.echo(line)
    for warning in shield.warnings:
        err.print(f"warning: {warning}", markup=False, soft_wrap=True)
    err.print(f"written to {output}", markup=False, soft_wrap=True)


def page(shield: Shield, url: str, width: int = 80) -> list[str]:
    """The calibration as lines of at most `width` columns."""
    from textwrap import wrap

    drawn = "given" if shield.questions == "given" else "drawn from it"
    expected, loss = shield.expected, shield.clean_loss
    head = (
        f"{url}: {shield.store.n_passages:,} passages, {shield.n_questions} honest questions "
        f"{drawn}, {shield.k} passages judged for each"
    )
    asked = "" if shield.budget == shield.asked_budget else f" ({shield.asked_budget:g} asked for)"
    facts = (
        ("budget", f"{shield.budget:.3g} of the honest passages{asked}"),
        ("threshold", f"suspicion {shield.threshold:.3f}"),
        (
            "expected loss",
            f"{_digits(expected.value)}; on this store, with 95 % confidence, from "
            f"{_digits(expected.low)} to {_digits(expected.high)}",
        ),
        (
            "measured loss",
            f"{_digits(loss.value)} [{_digits(loss.low)}, {_digits(loss.high)}] with no attack, "
            f"n = {loss.n:,} passages",
        ),
    )
    lines = wrap(head, width)
    lines.append("")
    for name, text in facts:
        lines += wrap(text, width, initial_indent=f"{name:<15}", subsequent_indent=" " * 15)
    if shield.detection:
        lines += ["", *_table(shield)]
    lines += [
        "",
        *wrap(
            "The loss holds on average for questions and passages like these: same store, "
            "encoder and k. Poison that is stored already counts as honest here.",
            width,
        ),
    ]
    return lines


def _table(shield: Shield) -> list[str]:
    lines = [
        f"{'attack':<{_LABEL_CHARS}} each  found  poison removed       n  honest lost",
    ]
    for row in shield.detection:
        name, comma, how = row.attack.partition(", ")
        if len(row.attack) > _LABEL_CHARS:  # what was varied stays whole
            name = f"{name[: _LABEL_CHARS - 1 - len(comma + how)]}…"
        label = f"{name}{comma}{how}"
        lines.append(
            f"{label:<{_LABEL_CHARS}} {row.n_planted:>4}  {_digits(row.retrieved.value, 2):>5}  "
            f"{_rate(row.recall, 2):<17} {row.recall.n:>4}  {_rate(row.clean_loss, 3)}"
        )
    n = max(row.retrieved.n for row in shield.detection)
    lines.append(f"Poison planted for {n} questions, none of them used for the threshold it met.")
    return lines


def _rate(found: Measured, digits: int) -> str:
    if found.value is None:
        return "-"
    low, high = _digits(found.low, digits), _digits(found.high, digits)
    return f"{_digits(found.value, digits)} [{low}, {high}]"


def _digits(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _ids(path: Path) -> list[str]:
    found = []
    for number, fields in read_jsonl(path):
        if not isinstance(fields.get("passage_id"), str):
            raise InputError(
                f"{path}, line {number}: no passage_id; give what "
                "ragshield scan --format jsonl wrote"
            )
        found.append(fields["passage_id"])
    return found
