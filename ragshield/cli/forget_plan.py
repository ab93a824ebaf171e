"""`ragshield forget plan`: what would go and why, before anything does."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import err, out
from ragshield.errors import InputError
from ragshield.files import check_writable, read_text
from ragshield.text import cut, visible

if TYPE_CHECKING:
    from ragshield.forget.plan import ForgetPlan

_SHOWN = 12

TrustConfig = Annotated[
    bool,
    typer.Option(
        "--trust-collection-config",
        help="Let the store build the embedding function it persisted; it can run code.",
        show_default=False,
    ),
]


class Format(StrEnum):
    """How a plan is shown."""

    TEXT = "text"
    JSON = "json"


def plan(
    url: Annotated[str, typer.Argument(help="Store, for example chroma:./db#docs.")],
    ids: Annotated[
        Path | None,
        typer.Option("--ids", help="File of passage ids, one a line.", show_default=False),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option("--subject", help="Name of who or what to forget.", show_default=False),
    ] = None,
    alias: Annotated[
        list[str] | None, typer.Option("--alias", help="Another name of it; repeat for more.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Plan file that apply takes.", show_default=False),
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="text to read, json: the plan itself.")
    ] = Format.TEXT,
    allow_large: Annotated[
        bool,
        typer.Option(
            "--allow-large", help="Allow more than half of the store.", show_default=False
        ),
    ] = False,
    skip_unknown: Annotated[
        bool,
        typer.Option(
            "--skip-unknown", help="Leave out ids that are not there.", show_default=False
        ),
    ] = False,
    trust_collection_config: TrustConfig = False,
) -> None:
    """Show what would go and why; changes nothing in the store.

    Certain passages are selected: those named, those that mention the name, their copies.
    Paraphrases and bare last names are listed for review and stay unless you set
    "selected" to true in the plan file, or apply with --include-review.
    """
    if output is not None:
        check_writable(output)
    from ragshield.forget.plan import to_json, write_plan
    from ragshield.forget.planning import plan_forget
    from ragshield.stores.url import open_store

    wanted = None if ids is None else _read_ids(ids)
    with open_store(url, trust_collection_config=trust_collection_config) as store:
        made = plan_forget(
            store,
            ids=wanted,
            subject=subject,
            aliases=alias or (),
            allow_large=allow_large,
            skip_unknown=skip_unknown,
        )
    if output is not None:
        made = write_plan(made, output)
    if format_ is Format.JSON:
        typer.echo(to_json(made))
    else:
        for line in plan_page(made, out.width):
            typer.echo(line)
    if made.unknown_ids:
        err.print(f"note: {len(made.unknown_ids)} ids are not in the store", markup=False)
    if output is not None:
        err.print(
            f"plan written to {output}; nothing has changed. Next: "
            f"ragshield forget apply {output} --yes",
            markup=False,
            soft_wrap=True,
        )


def _read_ids(path: Path) -> list[str]:
    # Only line ends separate ids: an id may hold blanks, but a blank line is no id.
    ids = [line.strip() for line in read_text(path).split("\n") if line.strip()]
    if not ids:
        raise InputError(f"{path} holds no ids; write one passage id a line")
    return list(dict.fromkeys(ids))


def plan_page(made: ForgetPlan, width: int) -> list[str]:
    """The plan as lines of at most `width` columns."""
    from ragshield.forget.plan import LIMITS

    if made.subject is not None:
        also = f" (also {', '.join(made.aliases)})" if made.aliases else ""
        target = f"the subject {made.subject}{also}"
    else:
        target = f"{len(made.ids)} ids"
    head = f"To forget {target} in {made.store_url}: {made.n_passages:,} passages looked at"
    lines = [*wrap(visible(head), width), ""]
    sections: list[tuple[str, list[tuple[str, str, str]]]] = [
        (
            f"{len(made.selected)} selected: apply deletes them",
            [(i.passage_id, f"{i.confidence:.2f}  {i.reason}", i.text) for i in made.selected],
        ),
        (
            f"{len(made.review)} to review: they stay unless you select them",
            [(i.passage_id, f"{i.confidence:.2f}  {i.reason}", i.text) for i in made.review],
        ),
        (
            f"{len(made.at_risk)} nearest neighbours: they stay",
            [
                (n.passage_id, f"{n.similarity:.2f}  similar to {n.near}", n.text)
                for n in made.at_risk
            ],
        ),
    ]
    for title, rows in sections:
        if rows:
            lines += [title, *_rows(rows, width), ""]
    return [line.rstrip() for line in (*lines, *wrap(LIMITS, width))]


def _rows(rows: Sequence[tuple[str, str, str]], width: int) -> list[str]:
    lines = []
    for passage_id, why, text in rows[:_SHOWN]:
        lines.append(cut(f"  {cut(visible(passage_id), 24)}  {visible(why)}", width))
        lines.append(cut(f"      {visible(text)}", width))
    if len(rows) > _SHOWN:
        lines.append(f"  … and {len(rows) - _SHOWN} more")
    return lines
