"""`ragshield attack`: make poisoned passages; plant them only when told to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ragshield import registry
from ragshield.cli.console import EncoderName, VectorCache, embed, err, out, progress
from ragshield.errors import IncompleteError, UsageError
from ragshield.files import check_writable, read_jsonl, writing
from ragshield.records import Passage, Question, Spec, Target

if TYPE_CHECKING:
    from ragshield.protocols import Attack

_SHOWN = 3


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
    questions: Annotated[
        Path | None,
        typer.Option(
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
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Passages go here, one a line.", show_default=False),
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
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Knowledge base whose true passages the attack may read; default: --plant's.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first targets.", show_default=False)
    ] = None,
    plant: Annotated[
        str | None,
        typer.Option(
            "--plant",
            metavar="URL",
            help="Also put the passages into this store; shows what it would do.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --plant: do it.", show_default=False)
    ] = False,
    clean_up: Annotated[
        Path | None,
        typer.Option(
            "--clean-up",
            metavar="MANIFEST",
            help="Take planted passages out of their store again, and nothing else.",
            show_default=False,
        ),
    ] = None,
    encoder: EncoderName = "minilm",
    cache: VectorCache = None,
) -> None:
    """Make poisoned passages for target questions.

    Writes passages; changes no store unless --plant URL --yes is given. Planting first
    writes OUTPUT.planted.json, with which --clean-up removes exactly what was planted.
    """
    if clean_up is not None:
        if name is not None or questions or corpus or output or plant:
            raise UsageError("--clean-up MANIFEST stands alone: it makes and plants nothing")
        _clean_up(clean_up)
        return
    if name is None:
        raise UsageError("name an attack; see: ragshield list attacks")
    if output is None:
        raise UsageError("say where the passages go: -o poisoned.jsonl")
    if yes and plant is None:
        raise UsageError("--yes goes with --plant URL")
    check_writable(output)
    params = {"n": n, "prefix": False if no_prefix else None, "texts": texts.value, "llm": llm}
    given = {key: value for key, value in params.items() if value is not None}
    with ExitStack() as opened:
        reading = _reading(name, store or plant, encoder=encoder, cache=cache, opened=opened)
        made = _build(name, given, _settings(settings or []), reading)
        targets = _targets(questions, corpus)[:limit]
        passages = _craft(made, targets, seed=seed, output=output)
    _summarise(name, passages, len(targets), output)
    if plant is not None:
        _plant(plant, passages, output, encoder=encoder, cache=cache, yes=yes)


def _settings(settings: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs; a value that is TOML (3, true, ["a"], { n = 1 }) is read as such."""
    import tomllib

    found: dict[str, Any] = {}
    for setting in settings:
        key, given, value = setting.partition("=")
        if not given or not key.strip():
            raise UsageError(f"--set {setting}: write NAME=VALUE, for example --set answers=3")
        try:
            found[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[key.strip()] = value.strip()
    return found


def _reading(
    name: str, url: str | None, *, encoder: str, cache: Path | None, opened: ExitStack
) -> dict[str, Any]:
    """A retriever over the store, for an attack that asks for one."""
    import inspect

    known = inspect.signature(registry.load("attack", name)).parameters
    if url is None or "retriever" not in known:
        return {}
    import ragshield.encoders as encoders
    from ragshield.retriever import StoreRetriever
    from ragshield.stores.url import open_store

    read = opened.enter_context(open_store(url))
    retriever = StoreRetriever(read, encoders.open_encoder(encoder, cache=cache))
    return {"retriever": retriever, "encoder": retriever.encoder}


def _build(
    name: str, params: dict[str, Any], settings: dict[str, Any], context: dict[str, Any]
) -> Attack:
    """The attack with the options it knows; one it does not know must be at its default."""
    import inspect

    known = inspect.signature(registry.load("attack", name)).parameters
    defaults = {"texts": "auto"}
    for key, value in params.items():
        if key not in known and defaults.get(key) != value:
            raise UsageError(f"attack '{name}' has no option for {key}; leave it out")
    wanted = {key: value for key, value in params.items() if key in known}
    made: Attack = registry.build(Spec("attack", name, {**wanted, **settings}), **context)
    return made


def _targets(questions: Path | None, corpus: str | None) -> Sequence[Target]:
    if (questions is None) == (corpus is None):
        raise UsageError("give the targets with either --questions FILE or --corpus NAME")
    if questions is not None:
        found = read_targets(questions)
        where = str(questions)
    else:
        where = corpus or ""
        name, _, first = where.partition(":")
        import inspect

        accepted = list(inspect.signature(registry.load("corpus", name)).parameters)
        params = {accepted[0]: first} if first and accepted else {}
        found = registry.build(Spec("corpus", name, params)).targets
    if not found:
        raise UsageError(f"{where} has no targets: questions with a wrong answer each")
    return found


def read_targets(path: Path) -> tuple[Target, ...]:
    """Targets of a JSON Lines file: id, question, answers, wrong_answer, optional texts.

    Raises:
        InputError: missing, malformed, or an id twice; the message names the line.
    """
    from ragshield.corpora.rows import Ids, at

    ids = Ids()
    found = []
    for number, fields in read_jsonl(path):
        row = at(path, number, fields)
        question = Question(
            ids.claim(row.text("id", "_id"), row.place),
            row.text("question"),
            row.texts("answers", "answer", required=False),
        )
        found.append(Target(question, row.text("wrong_answer"), row.texts("texts", required=False)))
    return tuple(found)


def _craft(made: Attack, targets: Sequence[Target], *, seed: int, output: Path) -> list[Passage]:
    import numpy as np

    passages: list[Passage] = []
    with progress("Crafting", len(targets)) as advance:
        for i, target in enumerate(targets):
            try:
                # Each target has its own generator, so --limit does not change the others.
                passages += made.craft(target, rng=np.random.default_rng([seed, i]))
            except (IncompleteError, KeyboardInterrupt) as error:
                _stopped(error, passages, i, len(targets), output)
            advance(1)
    _write(passages, output)
    return passages


def _stopped(
    error: BaseException, passages: Sequence[Passage], done: int, total: int, output: Path
) -> NoReturn:
    kept = ""
    if passages:
        _write(passages, output)
        kept = f"; the passages of {done} of {total} targets are in {output}"
    cause = str(error) or "interrupted"
    raise IncompleteError(f"{cause}{kept}") from error


def _write(passages: Iterable[Passage], output: Path) -> None:
    with writing(output) as file:
        for p in passages:
            row = {"id": p.id, "text": p.text, "source": p.source, "meta": dict(p.meta)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _summarise(name: str, passages: Sequence[Passage], n_targets: int, output: Path) -> None:
    counts = {key: sum(p.meta.get(key) is True for p in passages) for key in _COUNTED}
    told = ", ".join(f"{count} {_COUNTED[key]}" for key, count in counts.items())
    n_calls = sum(int(p.meta.get("n_llm_calls") or 0) for p in passages)
    calls = f", {n_calls} calls of the language model" if n_calls else ""
    _note(f"{name}: {len(passages)} passages for {n_targets} targets in {output} ({told}{calls}).")


_COUNTED = {
    "states_target": "state the wrong answer",
    "states_correct": "state a right one too",
    "weak": "weak",
}


def _plant(
    url: str,
    passages: Sequence[Passage],
    output: Path,
    *,
    encoder: str,
    cache: Path | None,
    yes: bool,
) -> None:
    from ragshield.encoders import open_encoder
    from ragshield.plant import check_free, plant
    from ragshield.stores.url import open_store

    manifest = output.with_name(f"{output.name}.planted.json")
    if not yes:
        with open_store(url) as store:
            check_free(store, passages)
            n_stored = store.count()
        out.print(f"Would plant {len(passages)} passages among {n_stored} in {url}:", markup=False)
        for passage in passages[:_SHOWN]:
            line = " ".join(passage.text.split())
            out.print(f"  {passage.id}: {line}", markup=False, overflow="ellipsis", no_wrap=True)
        if len(passages) > _SHOWN:
            out.print(f"  and {len(passages) - _SHOWN} more, all in {output}", markup=False)
        out.print("Nothing was changed. Add --yes to plant.")
        return
    with open_store(url, writable=True) as store:
        check_free(store, passages)
        vectors = embed(open_encoder(encoder, cache=cache), [p.text for p in passages])
        with progress("Planting", len(passages)) as advance:
            plant(store, passages, vectors, manifest, advance=advance)
    _note(f"Planted {len(passages)} passages in {url}. Take them out again with:")
    _note(f"  ragshield attack --clean-up {manifest}")


def _clean_up(manifest: Path) -> None:
    from ragshield.plant import clean_up, read_manifest
    from ragshield.stores.url import open_store

    url, planted = read_manifest(manifest)
    with open_store(url, writable=True) as store:
        removed = clean_up(store, planted)
    missing = f"; {removed.n_missing} were gone already" if removed.n_missing else ""
    _note(f"Took {removed.n_removed} of {len(planted)} planted passages out of {url}{missing}.")
    if removed.n_removed == len(planted):
        manifest.unlink()
        return
    if removed.changed:
        raise IncompleteError(
            f"{len(removed.changed)} passages were changed after planting and left alone, "
            f"the first is '{removed.changed[0]}': look at them yourself"
        )


def _note(message: str) -> None:
    err.print(message, markup=False, soft_wrap=True)
