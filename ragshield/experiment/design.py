"""An experiment: corpora x attacks x defenders with one reader, over the same retrievals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from ragshield import registry
from ragshield.errors import UsageError
from ragshield.majority import Majority, OnMajority
from ragshield.records import Kind, Spec
from ragshield.results import Header

Planted: TypeAlias = Literal["all", "own"]

NONE = "none"
"""Label of planting nothing, and of removing nothing; both are part of every experiment."""

_EXTRACTIVE = Spec("reader", "extractive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What is tried on what; running it gives one trial per question and combination.

    Every attack is retrieved once per question, and every defender judges that same
    retrieval, so differences between defenders are paired. Planting nothing and
    removing nothing are always among the attacks and defenders, first.

    Attributes:
        corpora: what to call each corpus, and how to load it.
        attacks: what to call each attack, and how to build it.
        defenders: what to call each defender, and how to build it.
        reader: how to build the reader.
        k: passages that the reader is given per question, at least 1.
        depth: passages retrieved and judged per question, at least k, of which the k
            best that are kept are read; None = k, as in the papers.
        on_majority: what is read where a defender finds that honest passages may be the
            minority: `filter` and `abstain` retrieve deeper first, as a guard does, and
            then read what is kept or nothing. None: neither, as in the papers; what the
            defender keeps of the first retrieval is read.
        max_depth: passages retrieved at most when looking deeper; None: four times the
            depth.
        seeds: each draws its own questions and poison, 0 or more.
        encoder: as `ragshield.open_encoder` takes it.
        questions: target questions drawn per corpus and seed; None = all.
        planted: `all` = the poison of every drawn question is in the store at once, as
            in an attacked knowledge base; `own` = each question meets only its own.

    Raises:
        UsageError: a value that is not allowed, or an unknown plugin name.
    """

    corpora: Mapping[str, Spec]
    attacks: Mapping[str, Spec] = field(default_factory=dict)
    defenders: Mapping[str, Spec] = field(default_factory=dict)
    reader: Spec = _EXTRACTIVE
    k: int = 5
    depth: int | None = None
    on_majority: OnMajority | None = None
    max_depth: int | None = None
    seeds: tuple[int, ...] = (0,)
    encoder: str = "minilm"
    questions: int | None = None
    planted: Planted = "all"

    def __post_init__(self) -> None:
        object.__setattr__(self, "attacks", _none_first("attack", self.attacks))
        object.__setattr__(self, "defenders", _none_first("defender", self.defenders))
        if not self.corpora:
            raise UsageError("an experiment needs at least one corpus")
        _check_names("corpus", self.corpora.values())
        _check_names("attack", (s for s in self.attacks.values() if s.name != NONE))
        _check_names("defender", self.defenders.values())
        _check_names("reader", (self.reader,))
        _check_names("encoder", (Spec("encoder", self.encoder.partition(":")[0]),))
        _check_count("k", self.k)
        if self.depth is not None:
            _check_count("depth", self.depth)
            if self.depth < self.k:
                raise UsageError(f"depth is {self.depth}; it must be at least k, which is {self.k}")
        _check_majority(self.on_majority, self.max_depth)
        if self.questions is not None:
            _check_count("questions", self.questions)
        if not self.seeds or not all(_is_count(seed, least=0) for seed in self.seeds):
            raise UsageError(f"seeds are {list(self.seeds)}; give integers from 0, e.g. [0, 1]")
        if len(set(self.seeds)) < len(self.seeds):
            raise UsageError(f"seeds are {list(self.seeds)}; name each seed once")
        if self.planted not in get_args(Planted):
            raise UsageError(f"planted is '{self.planted}'; it must be 'all' or 'own'")

    @property
    def majority(self) -> Majority | None:
        """The policy of `on_majority` and `max_depth`; None where there is none."""
        if self.on_majority is None:
            return None
        return Majority(self.on_majority, self.max_depth)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, every label with its name and parameters: what is logged and hashed."""
        return {
            "k": self.k,
            "depth": self.depth,
            "on_majority": self.on_majority,
            "max_depth": self.max_depth,
            "seeds": list(self.seeds),
            "encoder": self.encoder,
            "questions": self.questions,
            "planted": self.planted,
            "reader": _plain(self.reader),
            "corpora": {label: _plain(spec) for label, spec in self.corpora.items()},
            "attacks": {label: _plain(spec) for label, spec in self.attacks.items()},
            "defenders": {label: _plain(spec) for label, spec in self.defenders.items()},
        }

    def header(self) -> Header:
        """First line of a results file of this experiment, run now, here."""
        return Header.of(self.as_dict())


def _check_majority(on_majority: OnMajority | None, max_depth: int | None) -> None:
    if on_majority == "refuse":
        raise UsageError(
            "on_majority is 'refuse'; an experiment has nobody to refuse, write 'abstain'"
        )
    if max_depth is not None:
        _check_count("max_depth", max_depth)
        if on_majority is None:
            raise UsageError("max_depth needs on_majority: 'filter' or 'abstain'")
    if on_majority is not None:
        Majority(on_majority, max_depth)


def _none_first(kind: Kind, specs: Mapping[str, Spec]) -> dict[str, Spec]:
    """The same, with `none` in front; it may be written out, but not mean anything else."""
    for label, spec in specs.items():
        if (label == NONE) != (spec.name == NONE):
            raise UsageError(
                f"{kind} '{spec.name}' has the label '{label}'; the label '{NONE}' is for the "
                f"{kind} '{NONE}' alone"
            )
    return {NONE: specs.get(NONE, Spec(kind, NONE)), **specs}


def _check_names(kind: Kind, specs: Iterable[Spec]) -> None:
    for spec in specs:
        if spec.kind != kind:
            raise UsageError(f"'{spec.name}' is a {spec.kind}, not a {kind}")
        if spec.name not in registry.names(kind):
            registry.load(kind, spec.name)  # fails, and says which name is near


def _plain(spec: Spec) -> dict[str, Any]:
    return {"name": spec.name, **spec.params}


def _is_count(value: object, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _check_count(what: str, value: object) -> None:
    if not _is_count(value, least=1):
        raise UsageError(f"{what} is {value!r}; it must be an integer of at least 1")
