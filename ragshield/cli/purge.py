"""`ragshield purge`: what was deleted by other means goes from the store's files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import err, out
from ragshield.cli.forget_plan import TrustConfig
from ragshield.cli.unsearchable import OutOfScope, what_to_do
from ragshield.errors import UsageError
from ragshield.stores.passwords import masked
from ragshield.text import visible

if TYPE_CHECKING:
    from ragshield.forget.purging import Prospect, StorePurged, SurfacePurged


class Format(StrEnum):
    """How the result is shown."""

    TEXT = "text"
    JSON = "json"


def purge(
    url: Annotated[
        str,
        typer.Argument(
            metavar="STORE",
            help="Store to purge; chroma:PATH stands for all its collections.",
            show_default=False,
        ),
    ],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Purge without asking.", show_default=False)
    ] = False,
    out_of_scope: OutOfScope = None,
    format_: Annotated[Format, typer.Option("--format", help="text to read, or json.")] = (
        Format.TEXT
    ),
    trust_collection_config: TrustConfig = False,
) -> None:
    """Erase from a store's files what other programs deleted and left there.

    Vectors that an index keeps, words in a text index that was not merged, logs, old
    versions, index files of deleted collections, free bytes. Live rows are read before
    and after, and must be the same bit for bit. Killed at any point, the same command
    finishes the work. There is no undo: what goes was deleted already.

    Exit codes: 0 purged, 2 usage error or store in use, 3 not finished, or some place
    cannot be searched.
    """
    from ragshield.forget.purging import purge_prospect, purge_store

    if not yes:
        _confirm(purge_prospect(url), format_)
    done = purge_store(
        url, out_of_scope=out_of_scope or (), trust_collection_config=trust_collection_config
    )
    if format_ is Format.JSON:
        typer.echo(json.dumps(asdict(done), indent=2))
    else:
        for line in _lines(done, out.width):
            typer.echo(line)
        if done.untested:
            again = ["ragshield", "purge", masked(url), "--yes"]
            for line in what_to_do(again, done.untested, out.width):
                typer.echo(line)
    unread = any(surface.change == "unread" for surface in done.surfaces)
    raise typer.Exit(3 if done.untested or unread else 0)


def _confirm(ahead: Prospect, format_: Format) -> None:
    """Show what would be done and ask."""
    for line in _ahead(ahead, out.width):
        typer.echo(line, err=format_ is Format.JSON)
    if not sys.stdin.isatty():
        raise UsageError("nothing was purged; add --yes to purge")
    if not typer.confirm(f"Purge {visible(ahead.store_url)}?", err=True):
        raise UsageError("nothing was purged")


def _ahead(ahead: Prospect, width: int) -> Iterator[str]:
    files = f"{ahead.n_files:,} {'file' if ahead.n_files == 1 else 'files'}"
    files = f"{files} of {ahead.n_bytes:,} bytes"
    yield from wrap(f"{visible(ahead.store_url)}: {files}", width)
    cost = ahead.cost
    need = f"about {max(1, round(cost.seconds)):,} s, {cost.disk_bytes:,} bytes of free space"
    yield from _indented(f"{cost.how}; {need}", width)
    for words in ahead.untested:
        yield from _indented(f"cannot be searched as it is: {visible(words)}", width)


def _lines(done: StorePurged, width: int) -> Iterator[str]:
    rows = "1 live row" if done.n_live == 1 else f"{done.n_live:,} live rows"
    what = "nothing was left to purge" if done.how == "nothing" else f"purged {done.how}"
    yield from wrap(f"{visible(done.store_url)}: {what}; {rows}, as before bit for bit", width)
    told = [surface for surface in done.surfaces if surface.change != "unchanged"]
    for surface in told:
        yield from _indented(f"{surface.change:11}  {_told(surface)}", width, 15)
    n = len(done.surfaces) - len(told)
    if n:
        yield f"  unchanged    {n:,} {'place' if n == 1 else 'places'}"
    for words in done.searchable:
        line = f"settled      {visible(words)}: nothing of deleted rows is in it now"
        yield from _indented(line, width, 15)
    for words in done.exceptions:
        yield from _indented(f"declared out of scope: {visible(words)}", width)
    for words in done.untested:
        yield from _indented(f"NOT_TESTED   {visible(words)}", width, 15)
    for note in done.notes:
        err.print(f"note: {visible(note)}", markup=False, soft_wrap=True)
    if done.resumed:
        err.print("note: an earlier purge had broken off; this one finished it", markup=False)


def _told(surface: SurfacePurged) -> str:
    name = visible(surface.name)
    if surface.change == "unread":
        return f"{name}: it could not be read"
    if surface.change == "overwritten" and surface.kind == "decoded":
        return f"{name}: {surface.n_bytes_before:,} bytes of it before, {surface.n_bytes:,} now"
    if surface.change == "overwritten":
        sizes = (
            f"{surface.n_bytes_changed:,} of {surface.n_bytes_before:,} bytes, in blocks of 4,096"
        )
        shrunk = (surface.n_bytes_before or 0) - (surface.n_bytes or 0)
        return f"{name}: {sizes}" + (f"; {shrunk:,} shorter" if shrunk > 0 else "")
    return f"{name}: {surface.n_bytes_changed:,} bytes"


def _indented(line: str, width: int, further: int = 2) -> list[str]:
    return wrap(line, width, initial_indent="  ", subsequent_indent=" " * further)
