"""Experiments as TOML files.

    k = 5                        # passages that the reader is given
    depth = 20                   # passages retrieved and judged for that; left out: k
    on_majority = "filter"       # or "abstain": look deeper where poison may outnumber
    seeds = [0, 1]               # each draws its own questions and poison
    encoder = "minilm"           # or "sentence-transformers:FOLDER"
    reader = "extractive"        # or "openai:URL#MODEL", or { name = "...", PARAMETER = ... }
    questions = 50               # drawn per corpus and seed; left out: all
    planted = "all"              # poison of all drawn questions at once, or "own"

    [[corpus]]                   # one or more
    name = "world"
    [[attack]]                   # any number; `none` is always there
    name = "poisonedrag"
    label = "with prefix"        # what tables call it; default: the name
    prefix = true                # everything else is a parameter of the plugin
    [[defender]]                 # any number; `none` is always there
    name = "ragdefender"

Only `[[corpus]]` is needed. Paths are relative to the folder the command runs in.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ragshield.errors import InputError, RagshieldError, UsageError
from ragshield.files import read_text
from ragshield.records import Kind, Spec

_PLUGINS: Mapping[str, Kind] = {"corpus": "corpus", "attack": "attack", "defender": "defender"}
_KEYS = (
    "k",
    "depth",
    "on_majority",
    "max_depth",
    "seeds",
    "encoder",
    "reader",
    "questions",
    "planted",
    *_PLUGINS,
)


def read_settings(path: Path) -> dict[str, Any]:
    """What an experiment file says, as arguments of `ragshield.Experiment`.

    Raises:
        InputError: the file is missing, not UTF-8 or not TOML; the message names line
            and column.
        UsageError: an unknown key or plugin name, or a value that is not allowed; the
            message names the file.
    """
    text = read_text(path)
    try:
        return settings_of(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    except RagshieldError as error:
        raise type(error)(f"{path}: {error}") from error


def settings_of(table: Mapping[str, Any]) -> dict[str, Any]:
    """The same from a parsed TOML document.

    Raises:
        UsageError: an unknown key or plugin name, or a value that is not allowed.
    """
    for key in table:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise UsageError(f"unknown key '{key}'; {hint}Known keys: {', '.join(_KEYS)}")
    if "corpus" not in table:
        raise UsageError('no corpus; add [[corpus]] with name = "world"')
    values: dict[str, Any] = {
        key: table[key]
        for key in ("k", "depth", "on_majority", "max_depth", "questions", "planted")
        if key in table
    }
    if "seeds" in table:
        values["seeds"] = tuple(_listed(table["seeds"]))
    if "encoder" in table:
        values["encoder"] = _string("encoder", table["encoder"])
    if "reader" in table:
        values["reader"] = _reader(table["reader"])
    return {
        "corpora": _specs("corpus", table["corpus"]),
        "attacks": _specs("attack", table.get("attack", [])),
        "defenders": _specs("defender", table.get("defender", [])),
        **values,
    }


def _specs(kind: Kind, entries: Any) -> dict[str, Spec]:
    """Entries of one kind by label."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"'{kind}' must be a list of tables; write [[{kind}]]")
    repeated = [entry.get("name") for entry in entries]
    specs: dict[str, Spec] = {}
    for number, entry in enumerate(entries, start=1):
        what = f"[[{kind}]] number {number}"
        if "name" not in entry:
            raise UsageError(f'{what} has no name; add name = "..."')
        name = _string(f"{what}, name", entry["name"])
        params = {key: value for key, value in entry.items() if key not in ("name", "label")}
        label = _string(f"{what}, label", entry.get("label") or name)
        if "label" not in entry and repeated.count(name) > 1 and params:
            shown = ", ".join(f"{key}={_shown(value)}" for key, value in params.items())
            label = f"{name} ({shown})"
        if label in specs:
            raise UsageError(f"two {kind} entries are called '{label}'; give one another label")
        specs[label] = Spec(kind, name, params)
    return specs


def _reader(value: Any) -> Spec:
    if isinstance(value, dict):
        if "name" not in value:
            raise UsageError('reader has no name; write reader = { name = "extractive" }')
        params = {key: item for key, item in value.items() if key != "name"}
        return Spec("reader", _string("reader, name", value["name"]), params)
    name, _, model = _string("reader", value).partition(":")
    return Spec("reader", name, {"model": model} if model else {})


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UsageError(f"seeds is {value!r}; it must be a list of integers, e.g. [0, 1]")
    return value


def _string(what: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{what} is {value!r}; it must be a text that is not empty")
    return value


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
