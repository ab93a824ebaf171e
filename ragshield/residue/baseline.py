"""A look at a store as a file: counts and salted hashes, no text, no id, no vector."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from ragshield.errors import InputError
from ragshield.files import read_text, writing
from ragshield.residue.report import Residue, Target
from ragshield.residue.searching import Found

SCHEMA = "ragshield-residue/1"

_ROWS = ("texts", "vectors")
_FOUND = tuple(field.name for field in fields(Found) if field.name not in _ROWS)
_PLAIN = (
    "place",
    "software",
    "n_passages",
    "n_texts",
    "n_vectors",
    "n_seen_texts",
    "n_seen_vectors",
    "unsupported",
)


def to_json(residue: Residue) -> str:
    """A look as JSON: what was counted, and the verdicts that follow from it."""
    value: dict[str, Any] = {"schema": SCHEMA, "overall": residue.overall()}
    value |= {name: getattr(residue, name) for name in _PLAIN}
    value["software"] = dict(residue.software)
    value["target"] = {"salt": residue.target.salt, "digest": residue.target.digest}
    value["verdicts"] = [
        {name: getattr(verdict, name) for name in ("name", "verdict", "n", "n_before", "reason")}
        for verdict in residue.verdicts()
    ]
    value["found"] = [{name: getattr(found, name) for name in _FOUND} for found in residue.found]
    value["untested"] = list(residue.untested)
    value["exceptions"] = list(residue.exceptions)
    value["notes"] = list(residue.notes)
    return json.dumps(value, indent=1, ensure_ascii=False)


def save(residue: Residue, path: Path) -> None:
    """Write a look to a file, to be the baseline of a later one.

    Raises:
        UsageError: the file cannot be written.
    """
    with writing(path) as file:
        file.write(to_json(residue) + "\n")


def read(path: Path) -> Residue:
    """Read a look back. Which rows were seen where is not in the file, only how many.

    Raises:
        InputError: missing, or not a look at a store.
    """
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON ({error.msg}); give a file of ragshield residue") from (
            error
        )
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise InputError(f"{path} is no report of ragshield residue ({SCHEMA})")
    try:
        return Residue(
            **{name: value[name] for name in _PLAIN},
            found=tuple(Found(**{name: row[name] for name in _FOUND}) for row in value["found"]),
            untested=tuple(value["untested"]),
            exceptions=tuple(value["exceptions"]),
            target=Target(**value["target"]),
            notes=tuple(value["notes"]),
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: a damaged report of ragshield residue ({error})") from error
