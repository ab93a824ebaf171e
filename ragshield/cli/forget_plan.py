"""`ragshield forget plan`: what would go and why, before anything does."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ragshield.cli.console import err, out
from ragshield.cli.forget_plan_page import plan_page
from ragshield.errors import InputError, UsageError
from ragshield.files import check_writable, read_jsonl, read_text

if TYPE_CHECKING:
    from ragshield.forget.plans.records import ForgetPlan

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
    HTML = "html"


class ScopeName(StrEnum):
    """What is meant by the target."""

    DOCUMENT = "document"
    SUBJECT = "subject"
    FACT = "fact"


class SharedName(StrEnum):
    """What becomes of a fact that other documents state also."""

    KEEP = "keep"
    REPORT = "report"
    FORGET = "forget"


def plan(
    url: Annotated[str, typer.Argument(help="Store, for example chroma:./db#docs.")],
    ids: Annotated[
        Path | None,
        typer.Option("--ids", help="File of passage ids, one a line.", show_default=False),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where", help='Metadata filter as JSON: {"author": "Ada"}.', show_default=False
        ),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(
            "--text",
            help="File with a text, or one 'text' a line of .jsonl; a statement a line for facts.",
            show_default=False,
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option("--subject", help="Name of who or what to forget.", show_default=False),
    ] = None,
    alias: Annotated[
        list[str] | None, typer.Option("--alias", help="Another name of it; repeat for more.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--except", help="A fact about the subject to keep; repeat for more."),
    ] = None,
    request: Annotated[
        str | None,
        typer.Option(
            "--request",
            help="One sentence: 'forget everything about NAME except that FACT'.",
            show_default=False,
        ),
    ] = None,
    requests: Annotated[
        Path | None,
        typer.Option(
            "--requests",
            help="Many requests, a JSON object a line: subject, aliases, exceptions, ids, where, "
            "texts, sentence, scope, shared; -o names a folder.",
            show_default=False,
        ),
    ] = None,
    scope: Annotated[
        ScopeName | None,
        typer.Option("--scope", help="What is meant.", show_default="subject or document"),
    ] = None,
    shared: Annotated[
        SharedName | None,
        typer.Option(
            "--shared",
            help="Facts that other documents state also: keep, report or forget them.",
            show_default="keep; fact, subject: forget",
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            metavar="KIND:PATH",
            help="Look into a record-manager, docstore, parent-store or langchain-cache, too.",
        ),
    ] = None,
    only_here: Annotated[
        bool,
        typer.Option(
            "--only-here", help="Leave out the store's other collections.", show_default=False
        ),
    ] = False,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder", help="What filled the store, to find --text reworded.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Plan file (or folder) that apply takes.", show_default=False
        ),
    ] = None,
    format_: Annotated[
        Format, typer.Option("--format", help="text or html to read, json: the plan itself.")
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

    Certain passages are selected: those named, those that mention the name, copies, pieces
    and chunks of the same document. Paraphrases and bare last names are listed for review
    and stay unless you set "selected" to true in the plan file, or apply with
    --include-review.
    """
    if output is not None and requests is None:
        check_writable(output)
    from ragshield.forget.artefacts.places import place
    from ragshield.forget.planning import plan_forget
    from ragshield.forget.plans.file import to_json, write_plan
    from ragshield.stores.url import open_store

    wanted = None if ids is None else _read_ids(ids)
    texts = () if text is None else _read_texts(text, by_line=scope is ScopeName.FACT)
    condition = None if where is None else _read_where(where)
    places = [place(given) for given in also or ()]
    built = None
    if encoder is not None:
        from ragshield.encoders import open_encoder

        built = open_encoder(encoder)
    if requests is not None:
        from ragshield.cli.forget_requests import plan_all

        if any((ids, where, text, subject, alias, keep, request, scope, shared)):
            raise UsageError("--requests says all of what to forget: give nothing else with it")
        plan_all(
            url,
            requests,
            output,
            also=places,
            elsewhere=not only_here,
            encoder=built,
            allow_large=allow_large,
            skip_unknown=skip_unknown,
            trust=trust_collection_config,
        )
        return
    with open_store(url, trust_collection_config=trust_collection_config) as store:
        made = plan_forget(
            store,
            ids=wanted,
            subject=subject,
            aliases=alias or (),
            where=condition,
            texts=texts,
            exceptions=keep or (),
            sentence=request,
            scope=None if scope is None else scope.value,
            shared=None if shared is None else shared.value,
            also=places,
            elsewhere=not only_here,
            encoder=built,
            allow_large=allow_large,
            skip_unknown=skip_unknown,
        )
    if output is not None:
        made = write_plan(made, output)
    if format_ is Format.JSON:
        typer.echo(to_json(made))
    elif format_ is Format.HTML:
        from ragshield.reports.plan_page import plan_as_html

        typer.echo(plan_as_html(made), nl=False)
    else:
        for line in plan_page(made, out.width):
            typer.echo(line)
    _say(made, output)


def _say(made: ForgetPlan, output: Path | None) -> None:
    """Notes, and what comes next."""
    from ragshield.forget.plans.overlapping import overlaps, plans_in

    if made.unknown_ids:
        err.print(f"note: {len(made.unknown_ids)} ids are not in the store", markup=False)
    if output is None:
        return
    for other in plans_in(output.parent, but=output):
        for overlap in overlaps([made, other]):
            err.print(f"note: {overlap}", markup=False, soft_wrap=True)
    then = f"nothing has changed. Next: ragshield forget apply {output} --yes"
    chosen = [*made.selected, *(item for other in made.elsewhere for item in other.selected)]
    if not chosen and not any(artefact.selected for artefact in made.artefacts):
        then = (
            'it selects nothing yet: set "selected" to true in it for what is to go, or apply it '
            "with --include-review"
        )
    err.print(f"plan written to {output}; {then}", markup=False, soft_wrap=True)


def _read_ids(path: Path) -> list[str]:
    # Only line ends separate ids: an id may hold blanks, but a blank line is no id.
    ids = [line.strip() for line in read_text(path).split("\n") if line.strip()]
    if not ids:
        raise InputError(f"{path} holds no ids; write one passage id a line")
    return list(dict.fromkeys(ids))


def _read_texts(path: Path, *, by_line: bool) -> list[str]:
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        whole = read_text(path)
        texts = whole.split("\n") if by_line else [whole]
    else:
        texts = []
        for number, row in read_jsonl(path):
            if not isinstance(row.get("text"), str):
                raise InputError(f"{path}, line {number}: no 'text'")
            texts.append(row["text"])
    if not any(text.strip() for text in texts):
        raise InputError(f"{path} holds no text")
    return [text for text in texts if text.strip()]


def _read_where(given: str) -> dict[str, Any]:
    try:
        value = json.loads(given)
    except json.JSONDecodeError as error:
        raise InputError(
            f'--where is not JSON ({error.msg}); write it like \'{{"author": "Ada"}}\''
        ) from error
    if not isinstance(value, dict):
        raise InputError(f"--where: expected a JSON object, got {value!r:.60}")
    return value
