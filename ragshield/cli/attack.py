"""`ragshield attack`: make poisoned passages; plant them only when told to."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ragshield.cli import attack_campaign, attack_making, attack_output
from ragshield.cli.console import EncoderName, VectorCache
from ragshield.errors import UsageError


class Texts(StrEnum):
    """Where the texts of an attack come from."""

    AUTO = "auto"
    SUPPLIED = "supplied"
    TEMPLATE = "template"
    LLM = "llm"


def attack(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Attack; see: ragshield list attacks.", show_default=False
        ),
    ] = None,
    targets: Annotated[
        Path | None,
        typer.Option(
            "--targets",
            metavar="FILE",
            help="Targets, one a line: id, question, answers, wrong_answer, texts.",
            show_default=False,
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            help="Take the targets of a corpus: world, poisonedrag:FILE, published:FILE.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Knowledge base to attack; some attacks read its true passages.",
            show_default=False,
        ),
    ] = None,
    plant: Annotated[
        bool,
        typer.Option(
            "--plant",
            help="Put the passages into --store; without it, what would be done is shown.",
            show_default=False,
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Passages go here, one a line, or documents.", show_default=False
        ),
    ] = None,
    format: Annotated[
        attack_output.Format,
        typer.Option(help="jsonl: one file; md, html, pdf: a folder with a document each."),
    ] = attack_output.Format.JSONL,
    font: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="TrueType font for PDFs in other scripts.", show_default=False
        ),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(
            "--n",
            min=1,
            help="Passages for each target; default: the attack's own.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same passages.")] = 0,
    no_prefix: Annotated[
        bool,
        typer.Option(
            "--no-prefix", help="Do not put the question before the text.", show_default=False
        ),
    ] = False,
    texts: Annotated[
        Texts, typer.Option(help="auto: the target's own, else --llm, else template.")
    ] = Texts.AUTO,
    llm: Annotated[
        str | None,
        typer.Option(help="Model that writes texts: openai:URL#MODEL.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other parameter of the attack, e.g. disguise=tags; repeatable.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first targets.", show_default=False)
    ] = None,
    clean_up: Annotated[
        Path | None,
        typer.Option(
            "--clean-up",
            metavar="MANIFEST",
            help="Take planted passages out again, nothing else, and prove it.",
            show_default=False,
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="List for --clean-up; default: NAME.planted.json, or beside -o.",
            show_default=False,
        ),
    ] = None,
    copy_to: Annotated[
        str | None,
        typer.Option(
            "--copy-to",
            metavar="URL",
            help="Only copy --store to this new store, marked as a test copy.",
            show_default=False,
        ),
    ] = None,
    may_poison: Annotated[
        bool,
        typer.Option(
            "--i-may-poison-this-store",
            help="Plant although the store is not marked as a test copy.",
            show_default=False,
        ),
    ] = False,
    encoder: EncoderName = "minilm",
    device: Annotated[
        str, typer.Option(help="Where models run: auto (a GPU if there is one), cpu, cuda:1.")
    ] = "auto",
    cache: VectorCache = None,
) -> None:
    """Make poisoned passages for target questions, and plant them in a test copy.

    Writes passages with -o; changes no store without --plant. Planting writes a list
    first, with which --clean-up takes out exactly what was planted, also after a crash.
    """
    if clean_up is not None:
        if name is not None or targets or corpus or output or store or plant or copy_to:
            raise UsageError("--clean-up MANIFEST stands alone: it makes and plants nothing")
        attack_campaign.take_out(clean_up)
        return
    if copy_to is not None:
        if store is None or name is not None or targets or corpus or output or plant:
            raise UsageError("--copy-to URL goes with --store URL, and nothing else")
        attack_campaign.copy(store, copy_to)
        return
    if name is None:
        raise UsageError("name an attack; see: ragshield list attacks")
    if plant and store is None:
        raise UsageError("say which knowledge base to plant in: --store URL --plant")
    if output is None and store is None:
        raise UsageError("say where the passages go: -o poisoned.jsonl, or --store URL --plant")
    if output is not None:
        attack_output.check(output, format)
    listed = manifest or Path(f"{output or name}.planted.json")
    if plant and store is not None:
        attack_campaign.check(store, listed, may_poison=may_poison)
    params = {"n": n, "prefix": False if no_prefix else None, "texts": texts.value, "llm": llm}
    given = {key: value for key, value in params.items() if value is not None}
    embedding = attack_making.Embedding(encoder, cache, None if device == "auto" else device)
    with ExitStack() as opened:
        made = attack_making.build(name, given, settings or [], store, embedding, opened)
        aims = attack_making.targets_of(targets, corpus)[:limit]
        passages = attack_making.craft(
            made, aims, seed=seed, keep=lambda done: attack_output.keep(done, output, format)
        )
    where = attack_output.write(passages, output, format, font=font)
    attack_output.summarise(name, passages, len(aims), where)
    if store is not None and plant:
        attack_campaign.put_in(store, passages, listed, embedding)
    elif store is not None:
        attack_campaign.show(store, passages, may_poison=may_poison)
