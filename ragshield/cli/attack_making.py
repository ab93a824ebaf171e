"""The part of `ragshield attack` that builds the attack and makes its passages."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from ragshield import registry
from ragshield.cli.console import progress
from ragshield.errors import IncompleteError, UsageError
from ragshield.files import read_jsonl
from ragshield.records import Passage, Question, Spec, Target

if TYPE_CHECKING:
    from ragshield.protocols import Attack, Encoder


@dataclass(frozen=True, slots=True)
class Embedding:
    """The encoder as it was asked for, loaded when it is needed.

    Attributes:
        name: `minilm` or `sentence-transformers:FOLDER`.
        cache: file that keeps vectors.
        device: torch's name of it; None for the best there is.
    """

    name: str
    cache: Path | None
    device: str | None

    def encoder(self) -> Encoder:
        """Load it.

        Raises:
            UsageError: there is no such device.
        """
        import ragshield.encoders as encoders

        try:
            return encoders.open_encoder(self.name, cache=self.cache, device=self.device)
        except (RuntimeError, AssertionError) as error:  # what torch raises
            cause = (str(error).splitlines() or [type(error).__name__])[0]
            raise UsageError(
                f"--device {self.device}: {cause}; leave it out, or write cpu"
            ) from error


def build(
    name: str,
    options: Mapping[str, Any],
    settings: Sequence[str],
    url: str | None,
    embedding: Embedding,
    opened: ExitStack,
) -> Attack:
    """The attack, with what it asks for: options, an encoder, a retriever over the store.

    An option that it does not know must be at its default.

    Raises:
        UsageError: an option or setting that it does not take.
    """
    known = inspect.signature(registry.load("attack", name)).parameters
    defaults = {"texts": "auto"}
    for key, value in options.items():
        if key not in known and defaults.get(key) != value:
            raise UsageError(f"attack '{name}' has no option for {key}; leave it out")
    wanted = {key: value for key, value in options.items() if key in known}
    params = {**wanted, **read_settings(name, settings)}
    context: dict[str, Any] = {}
    if "device" in known and embedding.device is not None:
        context["device"] = embedding.device
    if url is not None and "retriever" in known:
        from ragshield.retriever import StoreRetriever
        from ragshield.stores.url import open_store

        retriever = StoreRetriever(opened.enter_context(open_store(url)), embedding.encoder())
        context |= {"retriever": retriever, "encoder": retriever.encoder}
    elif "encoder" in known and _embeds(name, params):
        context["encoder"] = embedding.encoder()
    made: Attack = registry.build(Spec("attack", name, params), **context)
    return made


def _embeds(name: str, params: Mapping[str, Any]) -> bool:
    """Whether an attack itself embeds; one that hands the encoder on needs it if that does."""
    known = inspect.signature(registry.load("attack", name)).parameters
    if "technique" not in known:
        return "encoder" in known
    technique = str(params.get("technique", known["technique"].default))
    inner = inspect.signature(registry.load("attack", technique)).parameters
    return "encoder" in inner and "technique" not in inner


def read_settings(name: str, settings: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE pairs, each value of the type that the attack's parameter has.

    A value that is TOML (3, true, ["a"], { n = 1 }) is read as such, unless the parameter
    takes text and nothing like it.

    Raises:
        UsageError: no pair, or a value of another type.
    """
    import tomllib

    hints = _hints(name)
    found: dict[str, Any] = {}
    for setting in settings:
        key, given, text = setting.partition("=")
        key, text = key.strip(), text.strip()
        if not given or not key:
            raise UsageError(f"--set {setting}: write NAME=VALUE, for example --set answers=3")
        try:
            value: Any = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        kinds = _kinds(hints.get(key))
        if kinds and not _fits(value, kinds):
            if str not in kinds:
                allowed = " or ".join(sorted(_WORDS.get(kind, kind.__name__) for kind in kinds))
                raise UsageError(f"--set {setting}: {key} must be {allowed}, not '{text}'")
            value = text
        found[key] = value
    return found


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}


def _hints(name: str) -> dict[str, Any]:
    """The types of an attack's parameters, those that can be told."""
    init = registry.load("attack", name).__init__
    found: dict[str, Any] = {}
    for key, annotation in getattr(init, "__annotations__", {}).items():
        # One by one: some name a type that is only imported for checking.
        with suppress(NameError):
            one = SimpleNamespace(__annotations__={key: annotation})
            found |= get_type_hints(one, globalns=init.__globals__)
    return found


def _kinds(hint: Any) -> set[type]:
    """The plain types that a parameter takes; none where it is not that simple."""
    if get_origin(hint) in (Union, UnionType):
        parts = [_kinds(part) for part in get_args(hint) if part is not type(None)]
        return set().union(*parts) if all(parts) else set()
    if hint in (bool, int, float, str):
        return {hint}
    values = get_args(hint)
    plain = values and all(isinstance(value, str) for value in values)
    return {str} if plain else set()


def _fits(value: Any, kinds: set[type]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, tuple(kinds)) or (isinstance(value, int) and float in kinds)


def targets_of(file: Path | None, corpus: str | None) -> Sequence[Target]:
    """The targets of a file or a corpus.

    Raises:
        UsageError: neither or both are given, or there are none.
    """
    if (file is None) == (corpus is None):
        raise UsageError("give the targets with either --targets FILE or --corpus NAME")
    if file is not None:
        found: Sequence[Target] = read_targets(file)
        where = str(file)
    else:
        where = corpus or ""
        name, _, first = where.partition(":")
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


def craft(
    made: Attack, targets: Sequence[Target], *, seed: int, keep: Callable[[list[Passage]], str]
) -> list[Passage]:
    """The passages of all targets; where it stops half-way, those that are done are kept.

    Args:
        made: the attack.
        targets: each with a generator of its own, so that none changes the others.
        seed: of all of them.
        keep: writes what is done, and says where; "" if nowhere.

    Raises:
        IncompleteError: the attack could not go on, or Ctrl-C.
    """
    import numpy as np

    passages: list[Passage] = []
    with progress("Crafting", len(targets)) as advance:
        for i, target in enumerate(targets):
            try:
                passages += made.craft(target, rng=np.random.default_rng([seed, i]))
            except (IncompleteError, KeyboardInterrupt) as error:
                where = keep(passages) if passages else ""
                kept = f"; the passages of {i} of {len(targets)} targets are in {where}"
                cause = str(error) or "interrupted"
                raise IncompleteError(f"{cause}{kept if where else ''}") from error
            advance(1)
    return passages
