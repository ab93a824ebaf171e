"""`ragshield residue`: is what was deleted still in the store's files?"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import err, out, progress
from ragshield.files import check_writable, writing
from ragshield.text import visible

if TYPE_CHECKING:
    from ragshield.residue import Residue

_MEANINGS = {
    "ERASED": "Seen there before the deletion, and not there now.",
    "RESIDUAL": "It is still there.",
    "NOT_TESTED": "Nothing was found, but not every place could be looked at.",
    "UNSUPPORTED": "Nothing is known about the files of this store: nothing was looked at.",
    "NO_BASELINE": "Nothing was found, but it was not seen before the deletion either, or not "
    "all of it: so this is no proof. Look before you delete, and give that report as --baseline.",
}


class Format(StrEnum):
    """How the report is written."""

    TEXT = "text"
    JSON = "json"


def residue(
    place: Annotated[
        str,
        typer.Argument(
            metavar="STORE", help="URL of a store, or a folder or file.", show_default=False
        ),
    ],
    targets: Annotated[
        Path,
        typer.Option(
            "--targets",
            help="What should be gone: JSON Lines with text, id, vector; or a text a line.",
            show_default=False,
        ),
    ],
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline", help="Report of a look before the deletion.", show_default=False
        ),
    ] = None,
    out_of_scope: Annotated[
        list[str] | None,
        typer.Option(
            "--out-of-scope",
            metavar="WORDS",
            help="An untested place with these words in its description is an exception; "
            "repeat for more.",
            show_default=False,
        ),
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="text to read; json to keep as a baseline.")
    ] = Format.TEXT,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the report.", show_default=False),
    ] = None,
) -> None:
    """Search a store's files for texts and vectors that should be gone from them.

    Looks at every byte, also of formats that hide it: databases, compressed files,
    pickles, columns. What live rows hold as well is no residue. Run it before the deletion
    too, and keep that report (--format json -o before.json): without it, finding nothing
    proves nothing. Changes nothing, and quotes nothing of the targets.

    Exit codes: 0 erased, as the baseline proves, 1 something is there, 2 usage error,
    3 something could not be tested, or there is no baseline.
    """
    if output is not None:
        check_writable(output)
    from ragshield.residue import residue as look
    from ragshield.residue.baseline import read, to_json
    from ragshield.residue.targets import are_named, read_targets

    batch = read_targets(targets)
    before = None if baseline is None else read(baseline)
    with progress("Looking", None) as advance:
        found = look(
            place,
            batch,
            baseline=before,
            by_text=not are_named(batch),
            out_of_scope=out_of_scope or (),
            on_bytes=lambda n: advance(n >> 20),
        )
    if format_ is Format.JSON:
        report = to_json(found)
    else:
        report = "\n".join(_page(found, 80 if output is not None else out.width))
    if output is None:
        typer.echo(report)
    else:
        with writing(output) as file:
            file.write(report + "\n")
        verdict = found.overall()
        err.print(f"{verdict}: written to {output}", markup=False, soft_wrap=True)
    code = {"ERASED": 0, "RESIDUAL": 1}.get(found.overall(), 3)
    if code:
        raise typer.Exit(code)


def _page(found: Residue, width: int) -> Iterator[str]:
    """The report as lines of at most `width` columns."""
    what = _n(found.n_texts, "text") + (
        f" and {_n(found.n_vectors, 'vector')}" if found.n_vectors else ""
    )
    head = (
        f"{found.place}: {_n(len(found.found), 'place')}, {found.n_bytes / 1e6:,.1f} MB searched "
        f"for {what} of {_n(found.n_passages, 'passage')}"
    )
    yield from wrap(visible(head), width)
    yield ""
    overall = found.overall()
    yield from wrap(f"{overall}. {_MEANINGS[overall]}", width)
    yield ""
    if found.n_bytes:
        before = found.before
        parts = [
            ("texts", found.n_seen_texts, found.text_bytes, before and before.n_seen_texts),
            ("vectors", found.n_seen_vectors, found.vector_bytes, before and before.n_seen_vectors),
        ]
        for what, n, n_bytes, n_before in parts[: 2 if found.n_vectors else 1]:
            earlier = "" if n_before is None else f"   before: {n_before}"
            yield f"  {what:8} {n:>7,} seen  {n_bytes:>13,} bytes{earlier}"
        for what, n in (
            ("ids", max((f.n_ids for f in found.found), default=0)),
            ("metadata", max((f.n_metadata for f in found.found), default=0)),
        ):
            if n:
                yield f"  {what:8} {n:>7,} seen"
        yield ""
    yield from _places(found, width)
    for words in found.exceptions:
        yield from wrap(f"Out of scope: {visible(words)}", width, subsequent_indent="      ")
    for note in found.notes:
        yield from wrap(f"Note: {visible(note)}", width, subsequent_indent="      ")


def _places(found: Residue, width: int) -> Iterator[str]:
    verdicts = found.verdicts()
    telling = [v for v in verdicts if v.verdict != "NO_BASELINE"]
    for verdict in telling:
        yield from wrap(
            f"{verdict.verdict:11}  {visible(verdict.name)}",
            width,
            initial_indent="  ",
            subsequent_indent=" " * 15,
        )
        if verdict.reason != verdict.name:
            gap = " " * 15
            yield from wrap(
                visible(verdict.reason), width, initial_indent=gap, subsequent_indent=gap
            )
    n = len(verdicts) - len(telling)
    if n:
        yield f"  NO_BASELINE  {_n(n, 'place')} where nothing was seen, now or before"
    if verdicts:
        yield ""


def _n(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
