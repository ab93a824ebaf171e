"""`ragshield doctor`: where a store and what frameworks note about it disagree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import out, progress
from ragshield.errors import UsageError
from ragshield.text import cut, visible

if TYPE_CHECKING:
    from ragshield.doctor import Diagnosis

_SHOWN = 8


class Format(StrEnum):
    """How the report is written."""

    TEXT = "text"
    JSON = "json"


def doctor(
    url: Annotated[
        str, typer.Argument(help="Store, for example chroma:./db#docs.", show_default=False)
    ],
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            metavar="KIND:PATH",
            help="What to compare it with: record-manager:FILE, docstore:FILE, "
            "parent-store:FOLDER; repeat for more.",
            show_default=False,
        ),
    ] = None,
    stale_after: Annotated[
        float,
        typer.Option(help="Seconds that a row may be older than the newest of its source."),
    ] = 60.0,
    parent_key: Annotated[
        str, typer.Option(help="Metadata in which a child keeps the key of its parent.")
    ] = "doc_id",
    format_: Annotated[
        Format, typer.Option("--format", help="text to read, json for programs.")
    ] = Format.TEXT,
) -> None:
    """Compare a store with what LangChain and LlamaIndex note about it.

    Record managers and docstores can say that a passage is deleted which the store still
    gives, or that it is there when it is lost. Changes nothing.

    Exit codes: 0 they agree, 1 they do not, 2 usage error.
    """
    if not also:
        raise UsageError(
            "nothing to compare the store with; give --also record-manager:FILE, docstore:FILE "
            "or parent-store:FOLDER"
        )
    from ragshield.doctor import diagnose, ledger
    from ragshield.stores.url import open_store

    ledgers = [ledger(given) for given in also]
    with open_store(url) as store, progress("Reading", store.count()) as advance:
        found = diagnose(
            store,
            ledgers,
            stale_after_s=stale_after,
            parent_key=parent_key,
            on_progress=advance,
        )
    if format_ is Format.JSON:
        typer.echo(_json(found))
    else:
        for line in _page(found, out.width):
            typer.echo(line)
    if found.drifts:
        raise typer.Exit(1)


def _json(found: Diagnosis) -> str:
    value = {
        "schema": "ragshield-doctor/1",
        "store": found.store,
        "n_rows": found.n_rows,
        "n_noted": dict(found.n_noted),
        "counts": found.counts(),
        "drifts": [
            {"kind": d.kind, "ledger": d.ledger, "key": d.key, "group": d.group}
            for d in found.drifts
        ],
        "notes": list(found.notes),
    }
    return json.dumps(value, indent=1, ensure_ascii=False)


def _page(found: Diagnosis, width: int) -> Iterator[str]:
    """The report as lines of at most `width` columns."""
    from ragshield.doctor import ADVICE, MEANINGS

    yield from wrap(visible(f"{found.store}: {found.n_rows:,} rows"), width)
    for ledger, n in found.n_noted.items():
        mine = [drift for drift in found.drifts if drift.ledger == ledger]
        yield ""
        n_wrong = f"{len(mine):,} disagreements" if len(mine) != 1 else "1 disagreement"
        yield from wrap(visible(f"{ledger}: {n:,} entries, {n_wrong}"), width)
        for kind in found.counts():
            of_kind = [drift for drift in mine if drift.kind == kind]
            if not of_kind:
                continue
            yield ""
            yield from wrap(
                f"{len(of_kind):,} {kind}: {MEANINGS[kind]}.",
                width,
                initial_indent="  ",
                subsequent_indent="    ",
            )
            for drift in of_kind[:_SHOWN]:
                group = f"  ({visible(drift.group)})" if drift.group else ""
                yield cut(f"      {visible(drift.key)}{group}", width)
            if len(of_kind) > _SHOWN:
                yield f"      … and {len(of_kind) - _SHOWN:,} more (--format json lists all)"
            yield from wrap(
                f"To do: {ADVICE[kind]}.", width, initial_indent="    ", subsequent_indent="    "
            )
    yield ""
    if not found.drifts:
        yield "They agree."
    for note in found.notes:
        yield from wrap(f"Note: {visible(note)}", width, subsequent_indent="      ")
