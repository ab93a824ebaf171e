"""`ragshield scan`: judge every stored passage; read-only."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import VectorCache, err, out, progress
from ragshield.errors import UsageError
from ragshield.files import check_writable, writing
from ragshield.findings import EXCERPT_CHARS, finding_line, without_quotes
from ragshield.records import Finding
from ragshield.screens.groups import join

if TYPE_CHECKING:
    from ragshield.scanning import ScanReport

_CARDS_SHOWN = 20
_MEMBERS_SHOWN = 6


class Format(StrEnum):
    """How findings are written."""

    TEXT = "text"
    JSONL = "jsonl"


def scan(
    url: Annotated[str, typer.Argument(help="Store, for example chroma:./db#docs.")],
    screen: Annotated[
        list[str] | None,
        typer.Option("--screen", help="Screen to run; repeat for more. [default: all]"),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Suspicion, 0 to 1, from which a finding is listed.")
    ] = 0.5,
    format_: Annotated[
        Format, typer.Option("--format", help="text to read, jsonl: one finding a line.")
    ] = Format.TEXT,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File instead of the screen.", show_default=False),
    ] = None,
    max_findings: Annotated[
        int | None,
        typer.Option("--max-findings", min=1, help="List only the worst.", show_default=False),
    ] = None,
    no_text: Annotated[
        bool,
        typer.Option("--no-text", help="Quote nothing from the passages.", show_default=False),
    ] = False,
    encoder: Annotated[
        str | None,
        typer.Option(help="Embeds a store that holds no vectors: minilm.", show_default=False),
    ] = None,
    cache: VectorCache = None,
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
    judged and listed, but do not take the rest as clean.
    """
    # Checked before the work, so that a slip does not cost a long scan.
    if output is not None:
        check_writable(output)
    if cache is not None and encoder is None:
        raise UsageError("--cache keeps the vectors of --encoder; name an encoder with it")
    from ragshield.encoders.open import open_encoder
    from ragshield.scanning import scan as run_scan
    from ragshield.stores.url import open_store

    with open_store(url, trust_collection_config=trust_collection_config) as store:
        embedder = None if encoder is None else open_encoder(encoder, cache=cache)
        with progress("Reading", store.count()) as advance:
            report = run_scan(
                store, screen or None, encoder=embedder, threshold=threshold, on_progress=advance
            )
    listed = report.findings[:max_findings]
    if format_ is Format.JSONL:
        lines = [
            finding_line(f, report.passages.get(f.passage_id), quote=not no_text) for f in listed
        ]
    else:
        lines = _page(report, listed, no_text=no_text, width=80 if output else out.width)
    _write(lines, output)
    _say(report, len(listed), output)
    if not report.complete:
        raise typer.Exit(3)
    if report.findings:
        raise typer.Exit(1)


def _write(lines: Sequence[str], output: Path | None) -> None:
    if output is None:
        for line in lines:
            typer.echo(line)
        return
    with writing(output) as file:
        file.writelines(f"{line}\n" for line in lines)


def _say(report: ScanReport, n_listed: int, output: Path | None) -> None:
    """Notes on standard error: results stay clean."""
    for note in report.notes:
        err.print(f"note: {note}", markup=False, soft_wrap=True)
    if output is not None:
        where = f"{n_listed} findings written to {output}"
        err.print(where, markup=False, soft_wrap=True)
    if n_listed < len(report.findings):
        err.print(f"{len(report.findings) - n_listed} more findings left out (--max-findings)")
    if report.problem is not None:
        err.print(f"ragshield: incomplete: {report.problem}", markup=False, soft_wrap=True)


def _page(report: ScanReport, listed: Sequence[Finding], *, no_text: bool, width: int) -> list[str]:
    """The report as lines of at most `width` columns."""
    from textwrap import wrap

    cards = _cards(listed)
    lines = []
    for number, card in enumerate(cards[:_CARDS_SHOWN], start=1):
        worst = max((f.suspicion for f in card if f.suspicion is not None), default=None)
        members = list(dict.fromkeys(f.passage_id for f in card))
        what = f"{len(members)} passages" if len(members) > 1 else "1 passage"
        detectors = ", ".join(dict.fromkeys(f.detector for f in card))
        lines.append(f"{number:>3}.  {_level(worst)}  {what}: {detectors}"[:width])
        reasons = {f.detector: f for f in reversed(card)}  # the first of each is the worst
        for finding in reasons.values():
            reason = without_quotes(finding.reason) if no_text else finding.reason
            lines += wrap(
                _visible(reason), width, initial_indent="      ", subsequent_indent="      "
            )
        for passage_id in members[:_MEMBERS_SHOWN]:
            lines.append(_member(passage_id, card, report, no_text=no_text, width=width))
        if len(members) > _MEMBERS_SHOWN:
            lines.append(f"      … and {len(members) - _MEMBERS_SHOWN} more")
        lines.append("")
    if len(cards) > _CARDS_SHOWN:
        lines += [f"{len(cards) - _CARDS_SHOWN} more groups: --format jsonl lists all", ""]
    n_found = len({f.passage_id for f in report.findings})
    verdict = f"{n_found} suspicious" if n_found else "none suspicious"
    lines += wrap(
        f"{report.n_passages:,} passages read, {verdict} at {report.threshold:g} or above "
        f"({', '.join(report.screens)}; {report.seconds:.1f} s)",
        width,
    )
    return lines


def _member(
    passage_id: str, card: Sequence[Finding], report: ScanReport, *, no_text: bool, width: int
) -> str:
    own = [f.suspicion for f in card if f.passage_id == passage_id and f.suspicion is not None]
    name = _visible(passage_id)
    name = name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}"
    line = f"      {_level(max(own, default=None))}  {name}"
    passage = report.passages.get(passage_id)
    if passage is not None and not no_text:
        line += f"  {_visible(passage.text[:EXCERPT_CHARS])}"
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _cards(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings that share a passage or a group, together; worst card first."""
    by_key: dict[tuple[str, str], int] = {}
    pairs = []
    for i, finding in enumerate(findings):
        keys = [("passage", finding.passage_id)]
        if finding.group is not None:
            keys.append(("group", finding.group))
        pairs += [(by_key.setdefault(key, i), i) for key in keys]
    joined = join(len(findings), pairs)
    inside = {i for card in joined for i in card}
    alone = [[i] for i in range(len(findings)) if i not in inside]
    return [[findings[i] for i in card] for card in sorted(joined + alone)]


def _level(suspicion: float | None) -> str:
    return "  ? " if suspicion is None else f"{suspicion:.2f}"


def _visible(text: str) -> str:
    """On one line and without control characters: a passage must not drive the terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
