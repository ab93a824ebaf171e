"""`ragshield trace`: which stored passages caused a wrong answer."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import EncoderName, VectorCache, err, out, progress
from ragshield.errors import UsageError
from ragshield.files import check_writable, writing
from ragshield.findings import finding_line
from ragshield.text import cut, visible

if TYPE_CHECKING:
    from ragshield.tracing import Suspect, Trace

_SHOWN = 10


class Format(StrEnum):
    """How a trace is written."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"


def trace(
    url: Annotated[str, typer.Argument(help="Store, for example chroma:./db#docs.")],
    question: Annotated[str, typer.Option("--question", help="What was asked.")],
    answer: Annotated[str, typer.Option("--answer", help="The wrong answer, in few words.")],
    reader: Annotated[
        str, typer.Option(help="Who answered: extractive, or openai:URL#MODEL.")
    ] = "extractive",
    k: Annotated[int, typer.Option("-k", min=1, help="Passages that the reader sees.")] = 5,
    max_windows: Annotated[
        int, typer.Option(min=1, help="Look at no more than this many times k passages.")
    ] = 20,
    format_: Annotated[
        Format,
        typer.Option("--format", help="text to read, json: all, jsonl: the blamed, one a line."),
    ] = Format.TEXT,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File instead of the screen.", show_default=False),
    ] = None,
    encoder: EncoderName = "minilm",
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
    """Find the stored passages that caused a wrong answer.

    Changes nothing. The reader is asked again, with windows of what is retrieved, with
    single passages, and at last without those that are blamed.

    Exit codes: 0 no passage is to blame, 1 passages are, 2 usage error.
    """
    if output is not None:
        check_writable(output)
    from ragshield.encoders.open import open_encoder
    from ragshield.readers.open import open_reader
    from ragshield.retriever import StoreRetriever
    from ragshield.stores.url import open_store
    from ragshield.tracing import trace as run_trace

    asking = open_reader(reader)
    with open_store(url, trust_collection_config=trust_collection_config) as store:
        if not store.count():
            raise UsageError(f"{url} is empty: nothing in it can have caused the answer")
        retriever = StoreRetriever(store, open_encoder(encoder, cache=cache))
        with progress("Asking the reader", None) as advance:
            found = run_trace(
                question, answer, retriever, asking, k=k, max_windows=max_windows,
                on_call=lambda n: advance(1),
            )  # fmt: skip
    if format_ is Format.TEXT:
        lines = page(found, 80 if output else out.width)
    elif format_ is Format.JSON:
        lines = json.dumps(_as_json(found), indent=1).splitlines()
    else:
        pairs = zip(found.findings(), found.suspects, strict=True)
        lines = [finding_line(f, s.hit.passage) for f, s in pairs if s.blamed]
    if output is None:
        for line in lines:
            typer.echo(line)
    else:
        with writing(output) as file:
            file.writelines(f"{line}\n" for line in lines)
        err.print(f"written to {output}", markup=False, soft_wrap=True)
    if found.blamed:
        raise typer.Exit(1)


def page(found: Trace, width: int) -> list[str]:
    """A trace as lines of at most `width` columns."""

    def row(name: str, text: str) -> list[str]:
        return wrap(
            visible(text, 400), width, initial_indent=f"{name:9}", subsequent_indent=" " * 9
        )

    lines = [*row("question", found.question), *row("traced", found.answer)]
    now = "" if found.reproduced else " (not the answer that is traced)"
    lines += [*row("now", f"{found.given}{now}"), ""]
    n = len(found.blamed)
    if n:
        what = "passage is" if n == 1 else "passages are"
        lines.append(f"{n} of {len(found.suspects)} {what} to blame:")
        for suspect in found.blamed[:_SHOWN]:
            lines += _card(suspect, width)
        if n > _SHOWN:
            lines.append(f"  … and {n - _SHOWN} more (--format jsonl has all)")
        said = (
            "Without them the answer is gone. The reader then says:"
            if found.explained
            else "But the answer stays without them, so there is another cause. The reader says:"
        )
        lines += ["", *wrap(said, width), *row("", found.without), ""]
        lines += wrap(
            "Next: ragshield trace … --format jsonl -o trace.jsonl, then ragshield quarantine add "
            "URL --findings trace.jsonl",
            width,
        )
    else:
        lines += wrap(
            f"None of the {len(found.suspects)} passages looked at states this answer or leads the "
            "reader to it: it comes from the model's own memory, from another store, or from "
            "several passages together.",
            width,
        )
    return lines


def _card(suspect: Suspect, width: int) -> list[str]:
    passage = suspect.hit.passage
    how = "leads there alone" if suspect.alone else "states the answer"
    head = f"  {suspect.responsibility:.2f}  {visible(passage.id, 40)}  rank {suspect.rank}, {how}"
    lines = [cut(head, width)]
    if passage.source:
        lines.append(cut(f"        source {visible(passage.source)}", width))
    lines.append(cut(f"        {visible(passage.text)}", width))
    return lines


def _as_json(found: Trace) -> dict[str, object]:
    return {
        "question": found.question,
        "answer": found.answer,
        "given": found.given,
        "reproduced": found.reproduced,
        "explained": found.explained,
        "without": found.without,
        "n_calls": found.n_calls,
        "suspects": [
            {
                "passage_id": s.hit.id,
                "source": s.hit.passage.source,
                "rank": s.rank,
                "similarity": round(s.hit.similarity, 4),
                "responsibility": s.responsibility,
                "nearness": s.nearness,
                "support": s.support,
                "alone": s.alone,
                "blamed": s.blamed,
            }
            for s in found.suspects
        ],
    }
