"""`ragshield scan`: judge every stored passage; read-only."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import VectorCache, err
from ragshield.cli.scan_gate import exit_code, gate
from ragshield.cli.scan_output import Outputs, outputs, write
from ragshield.errors import UsageError
from ragshield.files import read_text
from ragshield.ranking import Limit

if TYPE_CHECKING:
    from ragshield.reports.report import Report


class Engine(StrEnum):
    """What a scan runs on."""

    AUTO = "auto"
    SERIAL = "serial"
    PROCESSES = "processes"
    DASK = "dask"


def scan(
    url: Annotated[str, typer.Argument(help="Store, for example chroma:./db#docs.")],
    screen: Annotated[
        list[str] | None,
        typer.Option("--screen", help="Screen to run; repeat for more. [default: all]"),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Suspicion, 0 to 1, from which a finding is listed. [default: 0.5; 0.1 with "
            "a budget or a rate]",
            show_default=False,
        ),
    ] = None,
    alert_budget: Annotated[
        float | None,
        typer.Option(
            "--alert-budget",
            metavar="SHARE",
            help="List at most this share of the passages, e.g. 0.002.",
            show_default=False,
        ),
    ] = None,
    false_positive_rate: Annotated[
        float | None,
        typer.Option(
            "--false-positive-rate",
            metavar="SHARE",
            help="List what looks worse than all but this share of the store.",
            show_default=False,
        ),
    ] = None,
    like: Annotated[
        list[str] | None,
        typer.Option(
            "--like",
            metavar="ID",
            help="Confirmed poison: list the rest of its campaign; repeat for more.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME[,NAME]",
            help="text, json, jsonl, sarif, html, junit, markdown; several with commas, or "
            "repeat. [default: text]",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|DIR/",
            help="File for one format, folder for several; else the screen.",
            show_default=False,
        ),
    ] = None,
    fail_on: Annotated[
        str,
        typer.Option(
            "--fail-on",
            metavar="LEVEL|SUSPICION",
            help="Exit 1 from here on: any, low, medium, high, critical, 0 to 1, or never.",
        ),
    ] = "any",
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline",
            help="Earlier report (jsonl, json, sarif): only what is new fails.",
            show_default=False,
        ),
    ] = None,
    max_findings: Annotated[
        int | None,
        typer.Option("--max-findings", min=1, help="List only the worst.", show_default=False),
    ] = None,
    text: Annotated[
        bool | None,
        typer.Option(
            "--text/--no-text",
            help="Quote stored text in every report, or in none. [default: in all but sarif, "
            "junit and markdown]",
            show_default=False,
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="The encoder that filled the store, such as minilm: a sample is embedded "
            "again; all of a store that holds no vectors.",
            show_default=False,
        ),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="What users ask, one a line: finds what is near too many of them.",
            show_default=False,
        ),
    ] = None,
    cache: VectorCache = None,
    since: Annotated[
        Path | None,
        typer.Option(
            "--since",
            help="State of an earlier scan: judge only what is new or changed; made if "
            "missing, kept up to date.",
            show_default=False,
        ),
    ] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace",
            help="Folder for what is read, kept for --resume. [default: a temporary one]",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on where the scan in --workspace stopped.", show_default=False
        ),
    ] = False,
    engine: Annotated[
        Engine, typer.Option("--engine", help="What the work runs on.")
    ] = Engine.AUTO,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes. [default: cores]", show_default=False),
    ] = None,
    trust_collection_config: Annotated[
        bool,
        typer.Option(
            "--trust-collection-config",
            help="Let the store build the embedding function it persisted; it can run code.",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Find suspicious passages in a stored knowledge base.

    Changes nothing.

    Exit codes: 0 nothing found, 1 findings, 2 usage error, 3 incomplete: what was read is
    judged and listed, but do not take the rest as clean; or a report could not be written.
    """
    # Checked before the work, so that a slip does not cost a long scan.
    where = outputs(format_ or [], output, text=text)
    fails = gate(fail_on)
    if cache is not None and encoder is None:
        raise UsageError("--cache keeps the vectors of --encoder; name an encoder with it")
    asked = [] if questions is None else _questions(questions, encoder)
    limited = alert_budget is not None or false_positive_rate is not None
    Limit(threshold, alert_budget, false_positive_rate)
    if resume and workspace is None:
        raise UsageError("--resume goes on in a folder of an earlier scan; name it: --workspace")
    from ragshield.cli.scan_progress import scan_progress
    from ragshield.encoders.open import open_encoder
    from ragshield.reports.baseline import read_baseline
    from ragshield.reports.making import make_report
    from ragshield.scanning import scan as run_scan
    from ragshield.stores.url import open_store

    known = None if baseline is None else read_baseline(baseline)
    embedder = None if encoder is None else open_encoder(encoder, cache=cache)
    with (
        open_store(url, trust_collection_config=trust_collection_config) as store,
        scan_progress() as on_progress,
    ):
        found = run_scan(
            store,
            screen or None,
            encoder=embedder,
            questions=asked,
            threshold=0.5 if threshold is None and not limited else threshold,
            alert_budget=alert_budget,
            false_positive_rate=false_positive_rate,
            like=like or (),
            workspace=workspace,
            resume=resume,
            engine=engine.value,
            workers=workers,
            known=since,
            on_progress=on_progress,
        )
    with found:
        report = make_report(
            found,
            baseline=known,
            max_findings=max_findings,
            illustrate=where.illustrated,
            expose=text is True,
        )
    code = exit_code(report, fails)
    missing = write(report, where, exit_code=code)
    _say(report, where, missing)
    if missing:
        raise typer.Exit(3)
    if code:
        raise typer.Exit(code)


def _questions(path: Path, encoder: str | None) -> list[str]:
    if encoder is None:
        raise UsageError("--questions are embedded: name the encoder of the store (--encoder)")
    lines = [line.strip() for line in read_text(path).splitlines()]
    found = list(dict.fromkeys(line for line in lines if line))
    if not found:
        raise UsageError(f"{path} holds no question; write one a line")
    return found


def _say(report: Report, where: Outputs, missing: Sequence[str]) -> None:
    """Notes on standard error: results stay clean."""
    for note in report.notes:
        err.print(f"note: {note}", markup=False, soft_wrap=True)
    left = report.n_findings - len(report.listed)
    if left:
        err.print(f"{left} more findings left out (--max-findings)", soft_wrap=True)
    if report.has_baseline:
        n_new = sum(not listed.known for listed in report.every)
        err.print(f"{n_new} new findings, {report.n_findings - n_new} known from the baseline")
    if report.problem is not None:
        err.print(f"ragshield: incomplete: {report.problem}", markup=False, soft_wrap=True)
    n_kept = len(where.files) - len(missing)
    for number, problem in enumerate(missing, start=1):
        kept = f"; the other {n_kept} were" if n_kept and number == len(missing) else ""
        err.print(f"ragshield: incomplete: {problem}{kept}", markup=False, soft_wrap=True)
