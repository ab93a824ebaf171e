"""`ragshield check`: screen documents before they are ingested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ragshield.cli.check_files import Piece, files_of, pieces_of
from ragshield.cli.console import err, out, progress
from ragshield.errors import InputError, UsageError
from ragshield.findings import finding_line, without_quotes
from ragshield.records import Batch, Finding

SCREENS = (
    "instructions",
    "hidden-text",
    "token-soup",
    "refusal-blocker",
    "answer-shaped",
    "secrets",
    "forged-metadata",
)
"""Screens that judge a passage without a store around it."""

# What is hidden in markup, or written in attributes, is gone from what a reader sees.
_READ_MARKUP = frozenset({"hidden-text", "secrets"})
_EXPOSURE = "exposure"


class Format(StrEnum):
    """How findings are written."""

    TEXT = "text"
    JSONL = "jsonl"


def check(
    files: Annotated[
        list[Path],
        typer.Argument(help="Documents or folders: txt, md, rst, html, jsonl.", show_default=False),
    ],
    screen: Annotated[
        list[str] | None,
        typer.Option(
            "--screen", help="Screen to run; repeat for more. [default: those for documents]"
        ),
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Suspicion, 0 to 1, from which a finding is listed.")
    ] = 0.5,
    format_: Annotated[
        Format, typer.Option("--format", help="text to read, jsonl: one finding a line.")
    ] = Format.TEXT,
    no_text: Annotated[
        bool,
        typer.Option("--no-text", help="Quote nothing from the documents.", show_default=False),
    ] = False,
) -> None:
    """Screen documents before they are ingested, for a pre-commit hook or a CI job.

    Each finding names the file and the line. No store and no encoder is needed.

    Exit codes: 0 nothing found, 1 findings, 2 usage error, 3 incomplete: a file could not
    be read, the others were judged.
    """
    if not 0 <= threshold <= 1:
        raise UsageError(f"--threshold is {threshold}; it must be in [0, 1]")
    from ragshield.screening import screens_named

    screens = screens_named(screen or SCREENS)
    documents = files_of(files)
    n_pieces = n_found = n_unread = 0
    with progress("Checking", len(documents)) as advance:
        for path in documents:
            try:
                pieces = list(pieces_of(path))
            except InputError as error:  # the others are judged all the same
                err.print(f"ragshield: not read: {error}", markup=False, soft_wrap=True)
                n_unread += 1
                continue
            n_pieces += len(pieces)
            found = [
                finding
                for one in screens
                for finding in one.screen(_batch(pieces, shown=one.name not in _READ_MARKUP))
                if finding.suspicion is not None and finding.suspicion >= threshold
            ]
            for line in _lines(pieces, found, format_, no_text=no_text):
                typer.echo(line)
            n_found += len(found)
            advance(1)
    what = f"{n_found} findings" if n_found != 1 else "1 finding"
    err.print(f"{len(documents) - n_unread} documents, {n_pieces} passages: {what}", soft_wrap=True)
    if n_unread:
        raise typer.Exit(3)
    if n_found:
        raise typer.Exit(1)


def _batch(pieces: Sequence[Piece], *, shown: bool) -> Batch:
    passages = (replace(p.passage, text=p.shown) if shown else p.passage for p in pieces)
    return Batch(tuple(passages), None)


def _lines(
    pieces: Sequence[Piece], found: Sequence[Finding], format_: Format, *, no_text: bool
) -> Iterator[str]:
    """The findings of one document in the order of its lines."""
    by_id = {piece.passage.id: piece for piece in pieces}
    placed = []
    for finding in found:
        piece = by_id[finding.passage_id]
        quotes = finding.evidence.get("quotes") or [""]
        placed.append((piece.line_of(str(quotes[0])), finding, piece))
    for line, finding, piece in sorted(placed, key=lambda p: (p[0], -(p[1].suspicion or 0))):
        if format_ is Format.JSONL:
            at = replace(finding, passage_id=f"{piece.path}:{line}")
            # A leaked value must not leave in the excerpt either.
            quote = not no_text and finding.evidence.get("class") != _EXPOSURE
            passage = replace(piece.passage, source=str(piece.path))
            yield finding_line(at, passage, quote=quote)
        else:
            yield from _text(f"{piece.path}:{line}", finding, no_text=no_text)


def _text(place: str, finding: Finding, *, no_text: bool) -> Iterator[str]:
    from textwrap import wrap

    yield f"{_visible(place)}: {finding.detector} {finding.suspicion:.2f}"
    reason = without_quotes(finding.reason) if no_text else finding.reason
    yield from wrap(_visible(reason), out.width, initial_indent="    ", subsequent_indent="    ")


def _visible(text: str) -> str:
    """On one line and without control characters: a document must not drive the terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
