"""`ragshield unlearn`: make a model forget that cannot be changed, and let it remember."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ragshield.cli.console import EncoderName, VectorCache, err, out
from ragshield.errors import InputError, UsageError
from ragshield.files import check_writable
from ragshield.records import Vectors
from ragshield.text import cut, visible

if TYPE_CHECKING:
    from ragshield.unlearning.forgetting import Given
    from ragshield.unlearning.keys import ForgetKeys

app = typer.Typer(
    help="Make a model forget that cannot be changed, and let it remember.\n\n"
    "build turns a forget set into keys that hold none of its words; ask puts questions "
    "behind them; restore takes targets out again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Keys = Annotated[Path, typer.Argument(metavar="KEYS", help="File of keys that build made.")]
SecretFile = Annotated[
    Path | None,
    typer.Option(
        "--secret", help="File of the keys' secret. Default: KEYS.secret.", show_default=False
    ),
]
PublishedStore = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="With --method published: URL of the store that holds the entries.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Change the store.", show_default=False)]


class Method(StrEnum):
    """How to forget."""

    GATES = "gates"
    PUBLISHED = "published"


@app.command("build")
def build(
    forget_set: Annotated[
        Path, typer.Argument(metavar="FORGET_SET", help="Targets: JSON Lines, one a line.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File for the keys.", show_default=False),
    ] = None,
    secret: SecretFile = None,
    add: Annotated[
        bool, typer.Option("--add", help="Add to the keys that are there.", show_default=False)
    ] = False,
    benign: Annotated[
        str | None,
        typer.Option(
            "--benign",
            help="URL of a store whose texts stay: what they state too gives nothing away.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        float, typer.Option(help="Share of neighbours' questions that may be refused.")
    ] = 0.02,
    method: Annotated[
        Method, typer.Option(help="gates, or published: entries P + Q in a store.")
    ] = Method.GATES,
    store: PublishedStore = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="With --method published: openai:URL#MODEL that writes and verifies.",
            show_default=False,
        ),
    ] = None,
    yes: Yes = False,
    encoder: EncoderName = "minilm",
    cache: VectorCache = None,
) -> None:
    """Build the keys of a forget set: vectors and keyed hashes, none of its words.

    The keys and their secret are two files, readable by you alone; who has both can test
    guesses. With --method published the entries of arXiv 2410.15267 go into a store
    instead: they describe in the clear what is to be forgotten, and rest on the model
    obeying them.

    Exit codes: 0 done, 2 usage error, 3 incomplete.
    """
    from ragshield.encoders.open import open_encoder
    from ragshield.forget_set import read_forget_set

    targets = read_forget_set(forget_set)
    if method is Method.PUBLISHED:
        _build_published(forget_set, store, model, encoder, yes=yes)
        return
    if store is not None or model is not None:
        raise UsageError("--store and --model belong to --method published; gates need neither")
    if output is None:
        raise UsageError("name a file for the keys: --output FILE")
    check_writable(output)
    from ragshield.unlearning.building import build_keys
    from ragshield.unlearning.changing import joined
    from ragshield.unlearning.keys import read_keys, write_keys

    before = read_keys(output, secret) if add else None
    if before is None and output.exists():
        raise UsageError(f"{output} exists already; --add adds to it, or name another file")
    keys = build_keys(
        targets,
        open_encoder(encoder, cache=cache),
        secret=None if before is None else before.secret,
        benign=() if benign is None else _texts(benign),
        budget=budget,
        beside=before,
    )
    if before is not None:
        keys = joined(before, keys)
    write_keys(keys, output, secret)
    typer.echo(f"{_n(len(keys.targets), 'target')} in {output}")
    _tell_limits(keys)


@app.command("restore")
def restore(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of targets.")],
    keys_file: Annotated[
        Path | None,
        typer.Option("--keys", help="File of keys to take them out of.", show_default=False),
    ] = None,
    secret: SecretFile = None,
    store: Annotated[
        str | None,
        typer.Option("--store", help="Store to take published entries out of.", show_default=False),
    ] = None,
    yes: Yes = False,
) -> None:
    """Take targets out of keys, or their published entries out of a store.

    What was only suppressed is told again; what was deleted does not come back.

    Exit codes: 0 done, 2 usage error or no such target.
    """
    if (keys_file is None) == (store is None):
        raise UsageError("give --keys FILE or --store URL, one of the two")
    if keys_file is not None:
        from ragshield.unlearning.changing import only_targets, rows_named
        from ragshield.unlearning.keys import read_keys, write_keys

        keys = read_keys(keys_file, secret)
        gone = set(rows_named(keys, names))
        rest = only_targets(keys, [i for i in range(len(keys.targets)) if i not in gone])
        write_keys(rest, keys_file, secret)
        typer.echo(f"{_n(len(gone), 'target')} restored; {len(rest.targets)} left in {keys_file}")
        return
    from ragshield.stores.url import open_store
    from ragshield.unlearning.published import UnlearnedKnowledge

    if not yes:
        raise UsageError("this changes the store; add --yes to do it")
    with open_store(str(store), writable=True) as opened:
        knowledge = UnlearnedKnowledge(opened, _NoEncoder())
        known = knowledge.concepts()
        counts = {name: knowledge.restore(name) for name in names}
    missing = [name for name, n in counts.items() if not n]
    for name, n in counts.items():
        if n:
            typer.echo(f"{visible(name, 50)}: {_n(n, 'entry', 'entries')} removed")
    if missing:
        raise InputError(
            f"no entries of '{missing[0]:.50}' in the store, which has {len(known)} concepts"
        )


@app.command("list")
def list_targets(
    keys_file: Annotated[
        Path | None, typer.Argument(metavar="KEYS", help="File of keys.", show_default=False)
    ] = None,
    secret: SecretFile = None,
    store: Annotated[
        str | None,
        typer.Option("--store", help="Store with published entries.", show_default=False),
    ] = None,
) -> None:
    """Show what keys or a store suppress, as far as they tell.

    Keys hold no names: targets are shown by their keyed hashes, with kind and policy.
    """
    if (keys_file is None) == (store is None):
        raise UsageError("give a file of keys or --store URL, one of the two")
    if store is not None:
        from ragshield.stores.url import open_store
        from ragshield.unlearning.published import UnlearnedKnowledge

        with open_store(store, writable=True) as opened:
            concepts = UnlearnedKnowledge(opened, _NoEncoder()).concepts()
        typer.echo(f"{_n(len(concepts), 'concept')} with published entries in {store}")
        for name, n in concepts.items():
            typer.echo(cut(f"  {visible(name, 50)}  {_n(n, 'entry', 'entries')}", out.width))
        return
    from ragshield.unlearning.keys import read_keys

    keys = read_keys(Path(str(keys_file)), secret)
    typer.echo(f"{_n(len(keys.targets), 'target')}, encoder {keys.encoder}")
    _tell_limits(keys)
    for row, target in enumerate(keys.targets):
        n_facts = sum(fact.owner == row for fact in keys.facts)
        policy = [f"{_n(n_facts, 'fact')}"]
        if target.allowed:
            policy.append(f"{_n(len(target.allowed), 'attribute')} may be told")
        if target.audiences:
            policy.append(f"audiences: {', '.join(sorted(target.audiences))}")
        line = f"  {target.id}  {target.kind:<8} {'; '.join(policy)}"
        typer.echo(cut(visible(line), out.width))


@app.command("ask")
def ask(
    keys_file: Keys,
    question: Annotated[str, typer.Argument(help="The question.", show_default=False)],
    secret: SecretFile = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Who answers: openai:URL#MODEL, or a reader such as extractive or lab. "
            "Without: only what the query gate decides.",
            show_default=False,
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option("--store", help="Store to retrieve from.", show_default=False),
    ] = None,
    audience: Annotated[
        str | None, typer.Option("--audience", help="Who asks.", show_default=False)
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show what was decided and why.", show_default=False),
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option("--log", help="File for decisions, as keyed hashes.", show_default=False),
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds for the model.")] = 60.0,
    k: Annotated[int, typer.Option("-k", min=1, help="Passages to retrieve.")] = 5,
    encoder: EncoderName = "minilm",
) -> None:
    """Ask a model behind the gates, as an audience would.

    Exit codes: 0 answered (a refusal is an answer), 2 usage error, 3 the model failed.
    """
    from ragshield.encoders.open import open_encoder
    from ragshield.unlearning.decision_log import DecisionLog
    from ragshield.unlearning.forgetting import Forgetting
    from ragshield.unlearning.keys import check_encoder, read_keys
    from ragshield.unlearning.query_gate import QueryGate

    keys = read_keys(keys_file, secret)
    opened = open_encoder(encoder)
    check_encoder(keys, opened.name)
    if model is None:
        from ragshield.retriever import check_question

        check_question(question)
        focus = QueryGate(keys, opened).judge(question, audience=audience)
        typer.echo("refused" if focus.is_refused else "passed on to the model")
        for why in dict.fromkeys((*focus.refused.values(), *focus.allowed.values())):
            typer.echo(f"  it {why}")
        return
    from contextlib import ExitStack

    from ragshield.readers.open import open_reader
    from ragshield.retriever import StoreRetriever
    from ragshield.stores.url import open_store

    with ExitStack() as stack:
        retriever = None
        if store is not None:
            retriever = StoreRetriever(stack.enter_context(open_store(store)), opened)
        app_ = Forgetting(
            keys,
            model if model.startswith("openai:") else open_reader(model),
            retriever=retriever,
            encoder=opened,
            k=k,
            timeout_s=timeout_s,
            log=None if log is None else DecisionLog(log, keys.secret),
        )
        given = app_.judged(question, audience=audience)
    out.print(visible(given.answer.text), markup=False, soft_wrap=False)
    if explain:
        _tell_decision(given)


class _NoEncoder:
    """Stands where entries are only counted or removed, and nothing is embedded."""

    name = "none"
    dim = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        raise UsageError("nothing can be embedded here")


def _build_published(
    forget_set: Path, store: str | None, model: str | None, encoder: str, *, yes: bool
) -> None:
    from ragshield.chat import open_chat_model
    from ragshield.encoders.open import open_encoder
    from ragshield.forget_set import read_forget_set
    from ragshield.stores.url import open_store
    from ragshield.unlearning.published import PublishedBuilder, UnlearnedKnowledge

    if store is None:
        raise UsageError("--method published needs --store URL for the entries")
    chat = (
        None
        if model is None
        else open_chat_model(model, temperature=0.0, max_tokens=200, timeout_s=60.0)
    )
    builder = PublishedBuilder(chat)
    targets = read_forget_set(forget_set)
    if not yes:
        typer.echo(f"entries of {_n(len(targets), 'target')} would be added to {store}")
        err.print("nothing has changed; add --yes to do it", markup=False)
        return
    entries = [entry for target in targets for entry in builder.build(target)]
    with open_store(store, writable=True) as opened:
        n = UnlearnedKnowledge(opened, open_encoder(encoder)).forget(entries)
    typer.echo(f"{_n(n, 'entry', 'entries')} of {_n(len(targets), 'target')} added to {store}")
    unverified = sum(entry.is_verified is not True for entry in entries)
    if unverified:
        err.print(
            f"note: the constraint of {unverified} of {n} entries was verified by no model",
            markup=False,
        )


def _texts(url: str) -> list[str]:
    from ragshield.stores.url import open_store

    with open_store(url) as store:
        return [p.text for batch in store.batches() for p in batch.passages]


def _tell_limits(keys: ForgetKeys) -> None:
    limits = keys.calibration
    if limits.n:
        how = f"set on {limits.n} questions about neighbours"
    else:
        how = "as shipped: too few neighbours to set it on"
    typer.echo(f"  margin {limits.threshold:.3f} for a budget of {limits.budget:g}, {how}")


def _tell_decision(given: Given) -> None:
    decision = given.decision
    err.print(f"decision: {decision.action}", markup=False)
    if decision.gates:
        err.print(f"  gates: {', '.join(decision.gates)}", markup=False)
    for why in decision.why:
        err.print(f"  it {why}", markup=False)


def _n(n: int, one: str, many: str | None = None) -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"
