"""What should be gone, as a file says it: JSON Lines, a snapshot, or plain texts."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ragshield.errors import InputError
from ragshield.files import read_jsonl, read_text
from ragshield.records import Batch, Passage, Vector

UNNAMED = "#"
"""What stands before the line number where a target has no id: too short to be looked for."""

_TEXTS = ("text", "page_content", "document", "content")
_VECTORS = ("vector", "embedding")
_SEALED = b"RAGSEAL"


def read_targets(path: Path) -> Batch:
    """Read targets.

    A file whose first line is a JSON object is JSON Lines: `text` (or `page_content`,
    `document`, `content`), and where known `id`, `source`, `meta` and `vector` (or
    `embedding`: a list of numbers, or float32 bytes in base64). That is what `ragshield`
    writes as snapshots and what most exports are. Any other file is plain text: every
    line that is not blank is one text.

    Raises:
        InputError: missing, unreadable, empty, or a line that is no target.
    """
    rows = list(_rows(path))
    if not rows:
        raise InputError(f"{path} holds no targets; write one text a line, or JSON Lines")
    passages = tuple(passage for passage, _ in rows)
    vectors = [vector for _, vector in rows]
    dims = {len(vector) for vector in vectors if vector is not None}
    if not dims:
        return Batch(passages, None)
    if len(dims) > 1:
        raise InputError(
            f"{path}: vectors of {min(dims)} and of {max(dims)} numbers; those of one store are "
            "of one width"
        )
    stacked = np.full((len(rows), dims.pop()), np.nan, dtype=np.float32)
    for i, vector in enumerate(vectors):
        if vector is not None:
            stacked[i] = vector
    return Batch(passages, stacked)


def are_named(batch: Batch) -> bool:
    """Whether every target has an id of its own."""
    return not any(
        p.id.startswith(UNNAMED) and p.id[len(UNNAMED) :].isdigit() for p in batch.passages
    )


def _rows(path: Path) -> Iterator[tuple[Passage, Vector | None]]:
    if _is_sealed(path):
        raise InputError(
            f"{path} is an encrypted snapshot; give the targets themselves, or ask "
            "ragshield reverify with the certificate"
        )
    if path.suffix != ".gz" and not _is_json_lines(path):
        for number, line in enumerate(read_text(path).split("\n"), start=1):
            if line.strip():
                yield Passage(f"{UNNAMED}{number}", line.strip()), None
        return
    for number, value in read_jsonl(path):
        if "schema" in value and not any(key in value for key in _TEXTS):
            continue  # the first line of a snapshot
        where = f"{path}, line {number}"
        yield _passage(value, number, where), _vector(value, where)


def _is_sealed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SEALED)) == _SEALED
    except OSError:
        return False  # reading it says why


def _is_json_lines(path: Path) -> bool:
    for line in read_text(path).split("\n"):
        if line.strip():
            try:
                return isinstance(json.loads(line), dict)
            except json.JSONDecodeError:
                return False
    return False


def _passage(value: Mapping[str, Any], number: int, where: str) -> Passage:
    text = next((value[key] for key in _TEXTS if key in value), None)
    if not isinstance(text, str):
        raise InputError(f"{where}: no text; give 'text', and 'id' and 'vector' where known")
    meta = value.get("meta", value.get("metadata")) or {}
    source = value.get("source")
    if not isinstance(meta, dict):
        raise InputError(f"{where}: 'meta' is {meta!r:.40}; it must be an object")
    identity = value.get("id")
    return Passage(
        str(identity) if isinstance(identity, str | int) else f"{UNNAMED}{number}",
        text,
        source if isinstance(source, str) else None,
        meta,
    )


def _vector(value: Mapping[str, Any], where: str) -> Vector | None:
    numbers = next((value[key] for key in _VECTORS if value.get(key) is not None), None)
    if numbers is None:
        return None
    try:
        if isinstance(numbers, str):
            row: Vector = np.frombuffer(base64.b64decode(numbers, validate=True), dtype="<f4")
        else:
            row = np.array(numbers, dtype=np.float64).astype(np.float32)
    except (TypeError, ValueError, OverflowError, binascii.Error) as error:
        raise InputError(f"{where}: 'vector' cannot be read as numbers ({error})") from error
    if row.ndim != 1 or not len(row):
        raise InputError(f"{where}: 'vector' must be a flat list of numbers")
    return row
