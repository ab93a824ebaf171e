"""Trials on disk: a header line, then one JSON line per trial."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from ragshield.errors import InputError
from ragshield.records import Status

FORMAT = "ragshield-trials"
SCHEMA = 1


class TrialKey(NamedTuple):
    """What makes a trial the one it is; no two trials of a run share it."""

    corpus: str
    seed: int
    attack: str
    question_id: str
    defender: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One question, asked under one attack and one defender.

    `corpus`, `attack` and `defender` are labels; the header says what they stand for.

    Attributes:
        corpus: label of the corpus.
        seed: what the questions and the attack were drawn with.
        attack: label of the attack; `none` = nothing planted.
        question_id: the target question.
        defender: label of the defender; `none` = nothing removed.
        planted_poison: poisoned passages made for this question.
        retrieved_ids: what was retrieved, best first; the same for every defender, but
            for those that looked deeper where honest passages seemed the minority.
        retrieved_poison: how many of them are poisoned, for whatever question.
        retrieved_own_poison: how many of them are poisoned for this question.
        retrieved_clean: how many of them are clean.
        kept_ids: what the defender left, in the same order.
        kept_poison: how many of these are poisoned.
        kept_clean: how many of these are clean.
        status: the verdict's.
        answer: what the reader said.
        attack_succeeded: the answer states the wrong answer; None = not scored. Under
            `none` it says how often that happens with no attack at all.
        answer_correct: the answer states a right answer; None = not scored.
        defender_s: seconds the defender took.
    """

    corpus: str
    seed: int
    attack: str
    question_id: str
    defender: str
    planted_poison: int
    retrieved_ids: tuple[str, ...]
    retrieved_poison: int
    retrieved_own_poison: int
    retrieved_clean: int
    kept_ids: tuple[str, ...]
    kept_poison: int
    kept_clean: int
    status: Status
    answer: str
    attack_succeeded: bool | None
    answer_correct: bool | None
    defender_s: float

    @property
    def key(self) -> TrialKey:
        """What makes this trial the one it is."""
        return TrialKey(self.corpus, self.seed, self.attack, self.question_id, self.defender)

    def to_json(self) -> str:
        """One line of JSON, without a line end."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Trial:
        """The trial of one parsed line.

        Raises:
            InputError: a field is missing, unknown or of the wrong kind.
        """
        names = {field.name for field in fields(cls)}
        if odd := sorted(names ^ set(value)):
            raise InputError(f"field '{odd[0]}' is {'missing' if odd[0] in names else 'unknown'}")
        for field in fields(cls):
            if not _fits(field.type, value[field.name]):
                raise InputError(f"field '{field.name}' cannot be {value[field.name]!r:.40}")
        lists = {name: tuple(value[name]) for name in ("retrieved_ids", "kept_ids")}
        return cls(**{**value, **lists})


@dataclass(frozen=True, slots=True)
class Header:
    """First line of a results file: what was run, with what.

    Attributes:
        experiment: the experiment as plain values, every label with its spec.
        sha256: of `experiment`; a run goes on only where this is the same.
        version: of ragshield.
        python: version.
        numpy: version.
    """

    experiment: Mapping[str, Any]
    sha256: str
    version: str
    python: str
    numpy: str

    @classmethod
    def of(cls, experiment: Mapping[str, Any]) -> Header:
        """The header of a run that starts now, here."""
        from ragshield import __version__

        plain = json.loads(json.dumps(experiment, default=str))  # as it will be read back
        # The order of the entries orders the table; it does not change the trials.
        digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
        return cls(plain, digest, __version__, platform.python_version(), np.__version__)

    def to_json(self) -> str:
        """One line of JSON, without a line end."""
        return json.dumps({"format": FORMAT, "schema": SCHEMA, **asdict(self)})


class Results(NamedTuple):
    """A results file that was read.

    Attributes:
        header: its first line.
        trials: the complete ones, in the order written.
        n_bytes: length of the complete lines; what follows was torn off in writing.
    """

    header: Header
    trials: tuple[Trial, ...]
    n_bytes: int


def read_results(path: Path) -> Results:
    """Read a results file; a last line without its end is left out.

    Raises:
        InputError: missing, unreadable, not a results file, or a malformed line; the
            message names the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    data = data[: data.rfind(b"\n") + 1]
    lines = data.split(b"\n")[:-1]
    if not lines:
        raise InputError(f"{path} holds no results; make some with: ragshield run CONFIG -o {path}")
    header = _header(path, lines[0])
    trials = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            trials.append(Trial.from_json(_parse(line)))
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from error
    return Results(header, tuple(trials), len(data))


def _header(path: Path, line: bytes) -> Header:
    try:
        value = _parse(line)
    except InputError:
        value = {}
    if value.get("format") != FORMAT:
        raise InputError(f"{path} is not a results file of ragshield run; name another file")
    if value.get("schema") != SCHEMA:
        raise InputError(
            f"{path} has schema {value.get('schema')}, this ragshield reads {SCHEMA}; "
            "run the experiment again"
        )
    try:
        return Header(**{field.name: value[field.name] for field in fields(Header)})
    except KeyError as error:
        raise InputError(f"{path}, line 1: field {error} is missing") from error


def _parse(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 ({error.reason})") from error
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON ({error.msg})") from error
    if not isinstance(value, dict):
        raise InputError(f"expected a JSON object, got {value!r:.60}")
    return value


def _fits(annotation: Any, value: object) -> bool:
    if annotation == "Status":
        return value in get_args(Status)
    if annotation == "tuple[str, ...]":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if annotation == "bool | None":
        return value is None or isinstance(value, bool)
    if annotation == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, str)
