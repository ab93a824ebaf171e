"""What a calibration found out about one store, as a file: shield.toml."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError
from ragshield.files import read_text, writing

SCHEMA = 1
_FORMAT = "ragshield-shield"
_WEIGHTS = (("ragshield.defenders", "fused.toml"), ("ragshield.wording", "patterns.toml"))
_HEAD = """\
# Calibration of ragshield's guard on one store. Made by: ragshield calibrate
# Holds numbers only: no text, no id of any passage or question.
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells one store from another without holding anything of its texts.

    Attributes:
        n_passages: passages that the store held.
        dim: width of its vectors.
        mean_length: length of the mean of its unit vectors, [0, 1]; near 1 = all alike.
        mean_projection: the mean of its unit vectors on a few fixed directions.
        similarity_quantiles: of question and hit over all calibration hits, at 0, 10,
            50, 90 and 100 %.
    """

    n_passages: int
    dim: int
    mean_length: float
    mean_projection: tuple[float, ...]
    similarity_quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A rate with what it rests on.

    Attributes:
        value: the rate, [0, 1]; None when n is 0.
        low: lower 95 % limit; None like `value`.
        high: upper 95 % limit; None like `value`.
        n: passages counted.
        n_questions: independent questions they come from.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_questions: int


@dataclass(frozen=True, slots=True)
class Detection:
    """How one family of attacks fared.

    Attributes:
        attack: registry name and variant.
        n_planted: poisoned passages planted for each question.
        retrieved: share of the questions whose top k held any of it.
        recall: share of the retrieved poisoned passages that were removed.
        clean_loss: share of the honest passages beside them that were removed.
    """

    attack: str
    n_planted: int
    retrieved: Measured
    recall: Measured
    clean_loss: Measured


@dataclass(frozen=True, slots=True)
class Shield:
    """A calibrated threshold with the honest suspicions behind it.

    Attributes:
        version: of the ragshield that made it.
        weights_sha256: of the files that decide what a suspicion is.
        encoder: name of the encoder that filled the store.
        k: hits judged together.
        asked_budget: false-positive rate that was asked for, (0, 0.5].
        budget: the one in force; above `asked_budget` where the questions are too few.
        threshold: suspicion from which a hit is dropped, (0, 1).
        n_questions: honest questions (clusters) behind it.
        questions: `generated` from the store, or `given`.
        expected: the false-positive rate that the threshold has on average, with the
            95 % interval in which the actual one lies.
        clean_loss: measured with no attack on questions the threshold had not seen.
        store: the store's fingerprint.
        detection: by attack and number planted.
        suspicions: increasing honest critical suspicions, all or (of many) some.
        shares: for each of them, mean over questions of the share of hits more
            suspicious than the one before it in `suspicions`; decreasing, (0, 1].
        median_suspicions: one per question, of its hits; increasing.
        median_similarities: one per question, of its hits; increasing.
        warnings: what the reader of this calibration must know.
    """

    version: str
    weights_sha256: str
    encoder: str
    k: int
    asked_budget: float
    budget: float
    threshold: float
    n_questions: int
    questions: str
    expected: Measured
    clean_loss: Measured
    store: Fingerprint
    detection: tuple[Detection, ...]
    suspicions: tuple[float, ...]
    shares: tuple[float, ...]
    median_suspicions: tuple[float, ...]
    median_similarities: tuple[float, ...]
    warnings: tuple[str, ...] = ()

    def p_values(self, suspicions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Hierarchical conformal p-values: (n,), (0, 1], low = unlike honest hits.

        For a hit drawn at random from an honest retrieval, P(p <= a) <= a for every a,
        if its question is exchangeable with the calibration's (Lee, Barber and Willett,
        "Distribution-free inference with hierarchical data", 2306.06342).
        """
        at = np.searchsorted(np.asarray(self.suspicions), suspicions, side="left")
        # Above the largest honest suspicion there is no honest hit.
        tail = np.append(np.asarray(self.shares), 0.0)[at]
        found: NDArray[np.float64] = (1.0 + self.n_questions * tail) / (self.n_questions + 1)
        return found


def weights_sha256() -> str:
    """Digest of the fused defender's weights and patterns as installed."""
    digest = hashlib.sha256()
    for package, name in _WEIGHTS:
        digest.update(files(package).joinpath(name).read_bytes())
    return digest.hexdigest()


def write_shield(shield: Shield, path: Path) -> None:
    """Write a shield; the file appears whole or not at all.

    Raises:
        UsageError: the folder does not exist or cannot be written to.
    """
    plain = asdict(shield)
    tables = {k: plain.pop(k) for k in ("expected", "clean_loss", "store")}
    detection = plain.pop("detection")
    with writing(path) as file:
        file.write(_HEAD)
        file.write(f'format = "{_FORMAT}"\nschema = {SCHEMA}\n')
        file.writelines(_lines(plain))
        for name, table in tables.items():
            file.write(f"\n[{name}]\n")
            file.writelines(_lines(table))
        for row in detection:
            rates = {k: row.pop(k) for k in ("retrieved", "recall", "clean_loss")}
            file.write("\n[[detection]]\n")
            file.writelines(_lines(row))
            file.writelines(f"{name} = {_inline(table)}\n" for name, table in rates.items())


def read_shield(path: str | Path) -> Shield:
    """Read a shield.

    Raises:
        InputError: missing, unreadable, no shield, of another schema, or with values
            that cannot be.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; make it with: ragshield calibrate URL -o {path}")
    try:
        table = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML ({error}); calibrate again") from error
    if table.pop("format", None) != _FORMAT:
        raise InputError(f"{path} is no calibration; make one with: ragshield calibrate URL")
    if (schema := table.pop("schema", None)) != SCHEMA:
        raise InputError(
            f"{path} has schema {schema}, this ragshield reads {SCHEMA}; calibrate again"
        )
    try:
        shield = _record(
            Shield,
            table
            | {
                "expected": _record(Measured, table["expected"]),
                "clean_loss": _record(Measured, table["clean_loss"]),
                "store": _record(Fingerprint, table["store"]),
                "detection": [
                    _record(
                        Detection,
                        row
                        | {
                            name: _record(Measured, row[name])
                            for name in ("retrieved", "recall", "clean_loss")
                        },
                    )
                    for row in table.get("detection", [])
                ],
            },
        )
        _check(shield)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path} is damaged ({what}); calibrate again") from error
    return shield


def _record(kind: type[T], table: dict[str, Any]) -> T:
    """A record from a table; rates leave out what is None, lists become tuples."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if odd := sorted(set(table) - names):
        raise TypeError(f"unknown entry '{odd[0]}'")
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    if kind is Measured:
        given = {"value": None, "low": None, "high": None} | given
    return kind(**given)


def _check(shield: Shield) -> None:
    """Refuse numbers that no calibration writes: the threshold guards a model's input."""
    for name in ("suspicions", "shares", "median_suspicions", "median_similarities"):
        values = np.asarray(getattr(shield, name), dtype=np.float64)
        if not len(values) or not np.isfinite(values).all():
            raise ValueError(f"{name} must be finite numbers")
        falling = name == "shares"
        if (np.diff(values) * (-1 if falling else 1) < 0).any():
            raise ValueError(f"{name} is not in order")
    if len(shield.suspicions) != len(shield.shares):
        raise ValueError("suspicions and shares differ in length")
    if not (isinstance(shield.threshold, float) and 0 < shield.threshold < 1):
        raise ValueError(f"threshold is {shield.threshold!r}")
    if not 0 < shield.budget <= 1:
        raise ValueError(f"budget is {shield.budget!r}")
    for name in ("k", "n_questions"):
        if not isinstance(getattr(shield, name), int) or getattr(shield, name) < 1:
            raise ValueError(f"{name} is {getattr(shield, name)!r}")


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}\n" for name, value in table.items() if value is not None]


def _inline(table: dict[str, Any]) -> str:
    inside = ", ".join(f"{k} = {_value(v)}" for k, v in table.items() if v is not None)
    return f"{{ {inside} }}"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, str):
        return json.dumps(value)  # a JSON string without lone surrogates is a TOML one
    return repr(value)
