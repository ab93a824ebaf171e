"""`ragshield quarantine`: take passages out of a store, look at them, put them back or purge."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import err, out, progress
from ragshield.errors import InputError, UsageError
from ragshield.files import read_jsonl, read_text
from ragshield.records import Action, Finding
from ragshield.text import cut, visible

if TYPE_CHECKING:
    from ragshield.quarantine import Held, Quarantine

app = typer.Typer(
    help="Take passages out of a store until a person has looked.\n\n"
    "add takes them out, release puts them back, purge deletes them for good.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[
    Path, typer.Option("--file", "-f", help="Where they are held: a file of one line each.")
]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of held passages.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it.", show_default=False)]
TrustConfig = Annotated[
    bool,
    typer.Option(
        "--trust-collection-config",
        help="Let the store build the embedding function it persisted; it can run code.",
        show_default=False,
    ),
]
_FILE = Path("quarantine.jsonl")


@app.command("add")
def add(
    url: Annotated[str, typer.Argument(help="Store, for example chroma:./db#docs.")],
    findings: Annotated[
        Path | None,
        typer.Option("--findings", help="JSON Lines of ragshield scan.", show_default=False),
    ] = None,
    ids: Annotated[
        Path | None, typer.Option("--ids", help="File of ids, one a line.", show_default=False)
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="With --findings: suspicion to take out from.")
    ] = 0.5,
    file: File = _FILE,
    yes: Yes = False,
    trust_collection_config: TrustConfig = False,
) -> None:
    """Take passages out of a store and hold them, vectors and all.

    Without --yes it only says what would go. A passage leaves the store only when it is on
    disk in the file; killed in between, the same command finishes.
    """
    reasons = _reasons(findings, ids, threshold)
    if not reasons:
        typer.echo(f"no finding of suspicion {threshold:g} or more: nothing to take out")
        return
    if not yes:
        typer.echo(f"{_passages(len(reasons))} would be taken out of {url}:")
        for name, why in list(reasons.items())[:12]:
            typer.echo(cut(f"  {visible(name)}  {visible(why[0].reason)}", out.width))
        if len(reasons) > 12:
            typer.echo(f"  … and {len(reasons) - 12} more")
        err.print("nothing has changed; add --yes to do it", markup=False)
        return
    from ragshield.isolation import isolate
    from ragshield.stores.url import open_store

    held = _quarantine(file)
    with open_store(url, writable=True, trust_collection_config=trust_collection_config) as store:
        with progress("Taking out", len(reasons)) as advance:
            done = isolate(store, held, reasons, advance=advance)
        left = store.count()
    typer.echo(f"{_passages(done.n_isolated)} held in {file}, {left} left in {url}")
    if done.missing:
        names = ", ".join(f"'{visible(name)}'" for name in done.missing[:3])
        err.print(
            f"note: not in the store: {len(done.missing)} ({names})", markup=False, soft_wrap=True
        )


@app.command("list")
def list_held(file: File = _FILE) -> None:
    """List what is held, the oldest first."""
    held = _quarantine(file, exists=True).list()
    for item in held:
        worst = max(item.findings, key=lambda f: f.suspicion or 0.0)
        suspicion = "  -  " if worst.suspicion is None else f"{worst.suspicion:5.2f}"
        line = f"{suspicion}  {cut(visible(item.passage.id), 28):28}  {visible(worst.reason)}"
        typer.echo(cut(line, out.width))
    typer.echo(f"{_passages(len(held))} held in {file}")


@app.command("show")
def show(ids: Ids, file: File = _FILE) -> None:
    """Show held passages: text, source, reasons."""
    for item in _quarantine(file, exists=True).find(ids):
        for line in _card(item, out.width):
            typer.echo(line)


@app.command("release")
def release(
    ids: Ids,
    file: File = _FILE,
    to: Annotated[
        str | None,
        typer.Option("--to", help="Store. [default: where they came from]", show_default=False),
    ] = None,
    trust_collection_config: TrustConfig = False,
) -> None:
    """Put held passages back as they were: text, metadata, vector.

    All or none: if another text has taken an id meanwhile, nothing is put back.
    """
    from ragshield.isolation import restore
    from ragshield.stores.url import open_store

    held = _quarantine(file, exists=True)
    url = to or _origin(held.find(ids))
    with open_store(url, writable=True, trust_collection_config=trust_collection_config) as store:
        added = restore(store, held, ids)
    there = len(set(ids)) - added
    also = f", {there} were there already" if there else ""
    typer.echo(f"{_passages(added)} put back into {url}{also}")


@app.command("purge")
def purge(ids: Ids, file: File = _FILE, yes: Yes = False) -> None:
    """Delete held passages for good; no text or vector stays in the file.

    Says nothing about the store's own files: those keep deleted bytes until they are purged.
    """
    held = _quarantine(file, exists=True)
    n = len(held.find(ids))
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{_passages(n)} would be gone for good; add --yes to purge")
        if not typer.confirm(f"Purge {_passages(n)} for good?", err=True):
            raise UsageError("nothing was purged")
    typer.echo(f"{_passages(held.purge(ids))} purged from {file}")


def _quarantine(file: Path, *, exists: bool = False) -> Quarantine:
    from ragshield.quarantine import Quarantine

    if exists and not file.exists():
        raise UsageError(f"{file} does not exist; name the quarantine with --file")
    return Quarantine(file)


def _reasons(findings: Path | None, ids: Path | None, threshold: float) -> dict[str, list[Finding]]:
    if (findings is None) == (ids is None):
        raise UsageError("say what to take out with either --findings FILE or --ids FILE")
    if ids is not None:
        names = [line.strip() for line in read_text(ids).split("\n") if line.strip()]
        if not names:
            raise InputError(f"{ids} holds no ids; write one passage id a line")
        why = "taken out by hand"
        return {name: [Finding(name, None, "person", Action.DROP, why)] for name in names}
    assert findings is not None
    found: dict[str, list[Finding]] = {}
    for number, row in read_jsonl(findings):
        try:
            finding = Finding(
                passage_id=str(row["passage_id"]),
                suspicion=None if row["suspicion"] is None else float(row["suspicion"]),
                detector=str(row["detector"]),
                action=Action.DROP,
                reason=str(row["reason"]),
                group=row.get("group"),
                evidence=row.get("evidence") or {},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{findings}, line {number}: no finding of ragshield scan ({error!s:.60})"
            ) from error
        if finding.suspicion is not None and finding.suspicion >= threshold:
            found.setdefault(finding.passage_id, []).append(finding)
    return found


def _origin(held: Sequence[Held]) -> str:
    origins = {item.store for item in held}
    if len(origins) != 1 or None in origins:
        what = "never were in a store" if origins == {None} else "came from different stores"
        raise UsageError(f"these passages {what}; say where they go: --to URL")
    return str(origins.pop())


def _card(item: Held, width: int) -> list[str]:
    passage = item.passage
    lines = [f"{visible(passage.id)}  (held {item.time[:19].replace('T', ' ')} UTC)"]
    if item.store:
        lines.append(f"  store   {visible(item.store)}")
    if passage.source:
        lines.append(f"  source  {visible(passage.source)}")
    for finding in item.findings:
        worth = "" if finding.suspicion is None else f"{finding.suspicion:.2f} "
        why = f"{worth}{finding.detector}: {visible(finding.reason)}"
        lines += wrap(why, width, initial_indent="  why     ", subsequent_indent=" " * 10)
    text = visible(passage.text)
    lines += wrap(text, width, initial_indent="  text    ", subsequent_indent=" " * 10)
    return [*lines, ""]


def _passages(n: int) -> str:
    return "1 passage" if n == 1 else f"{n} passages"
