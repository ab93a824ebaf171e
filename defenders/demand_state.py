"""The demand detector's counters as a file: JSON, versioned, written whole or not at all."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import fields
from pathlib import Path
from typing import Any

from ragshield.defenders.demand_counts import DemandCounts, Limits, Wins
from ragshield.errors import InputError
from ragshield.files import read_text, writing

_FORMAT = "ragshield-demand"
_VERSION = 1
_NUMBERS = ("started_s", "n_questions", "n_trials", "exposure", "usual", "spread")
_FIELDS = tuple(field.name for field in fields(Wins))
_TABLES = ("established", "trials", "flagged")


def snapshot(counts: DemandCounts) -> dict[str, Any]:
    """All that the counters know, as plain values that share nothing with them."""
    return {
        "format": _FORMAT,
        "version": _VERSION,
        **{name: getattr(counts, name) for name in _NUMBERS},
        "questions": list(counts.questions),
        "question_sample": list(counts.question_sample),
        **{
            table: {name: _plain(entry) for name, entry in getattr(counts, table).items()}
            for table in _TABLES
        },
    }


def write(path: Path, values: dict[str, Any]) -> None:
    """Write a snapshot.

    Raises:
        UsageError: the file cannot be written.
    """
    with writing(path) as file:
        json.dump(values, file)


def read(path: Path, limits: Limits) -> DemandCounts:
    """The counters of a file, to go on under these settings.

    Raises:
        InputError: missing, not JSON, of another version, or not what `write` wrote.
    """
    try:
        values = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not JSON ({error.msg}, line {error.lineno})") from error
    if not isinstance(values, dict) or values.get("format") != _FORMAT:
        raise InputError(f"{path} holds no counters of the demand detector; name another file")
    if values.get("version") != _VERSION:
        raise InputError(
            f"{path} has version {values.get('version')!r}, this ragshield reads {_VERSION}; "
            "delete it to start anew"
        )
    try:
        counts = DemandCounts(limits, float(values["started_s"]))
        for name in _NUMBERS:
            setattr(counts, name, type(getattr(counts, name))(values[name]))
        counts.questions = OrderedDict((int(question), None) for question in values["questions"])
        counts.question_sample = [(int(a), int(b)) for a, b in values["question_sample"]]
        counts.established = _entries(values["established"])
        counts.trials = OrderedDict(_entries(values["trials"]))
        counts.flagged = OrderedDict(_entries(values["flagged"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: damaged counters ({error}); delete it to start anew") from error
    return counts


def _plain(entry: Wins) -> dict[str, Any]:
    """As `asdict`, which is ten times slower, and retrievals wait meanwhile."""
    values = {name: getattr(entry, name) for name in _FIELDS}
    values["sample"] = entry.sample.copy()
    return values


def _entries(table: dict[str, dict[str, Any]]) -> dict[str, Wins]:
    found = {}
    for passage_id, values in table.items():
        entry = Wins(**values)
        entry.sample = [(int(question), int(signature)) for question, signature in entry.sample]
        found[passage_id] = entry
    return found
