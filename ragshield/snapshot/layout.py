"""How a snapshot lies on disk: one folder, a record per row, texts and vectors beside it.

    workspace.json   schema, the store's url, width of the vectors, what is done
    rows.bin         one `ROW` per row, in the order of reading
    passages.jsonl   one JSON line per row: [id, text, source, meta]
    vectors.f32      unit rows, float32, zeros where a vector is missing or unusable

Vectors stay float32: half precision would save half the disk, but near-duplicates differ
in the fourth digit of their cosine, and memory is bounded by reading in blocks anyway.
A row counts once its record in rows.bin is whole; the other two files are written first,
so that after a kill whatever rows.bin does not speak of is cut off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError
from ragshield.files import writing
from ragshield.records import Passage, Vectors
from ragshield.vectors import unit_rows

SCHEMA = "ragshield-scan-workspace/1"

ROW = np.dtype(
    [("end", "<u8"), ("key", "<u8"), ("digest", "V16"), ("flags", "u1"), ("spare", "V7")]
)
"""End of the passage's line, hash of its id, hash of all that was stored, `NO_TEXT` etc."""

NO_TEXT, NOT_FINITE, ALL_ZEROS, NO_VECTOR = 1, 2, 4, 8
"""Flags of a row. NO_VECTOR comes with NOT_FINITE where other rows have vectors."""

UNUSABLE = NOT_FINITE | ALL_ZEROS | NO_VECTOR


class Encoded(NamedTuple):
    """Passages as they go to disk: their lines, joined, and one record each."""

    text: bytes
    rows: NDArray[np.void]


def encoded(passages: Sequence[Passage], vectors: Vectors | None, start: int) -> Encoded:
    """Lines and records of some passages.

    Args:
        passages: what was read.
        vectors: (n, dim) as stored, or None.
        start: where the first line will begin in its file.
    """
    lines = [_line(passage) for passage in passages]
    digests = [hashlib.blake2b(line, digest_size=16) for line in lines]
    if vectors is not None:
        for digest, vector in zip(digests, np.ascontiguousarray(vectors), strict=True):
            digest.update(vector)
    rows = np.zeros(len(passages), dtype=ROW)
    rows["end"] = start + np.cumsum([len(line) for line in lines], dtype=np.uint64)
    rows["key"] = [key_of(passage.id) for passage in passages]
    rows["digest"] = np.frombuffer(b"".join(d.digest() for d in digests), dtype="V16")
    rows["flags"] = vector_flags(vectors, len(passages))
    rows["flags"][[not passage.text.strip() for passage in passages]] |= NO_TEXT
    return Encoded(b"".join(lines), rows)


def vector_flags(vectors: Vectors | None, n: int) -> NDArray[np.uint8]:
    """What is wrong with each vector: (n,) flags, 0 where nothing is."""
    if vectors is None:
        return np.full(n, NO_VECTOR, dtype=np.uint8)
    flags = np.zeros(n, dtype=np.uint8)
    peak = _peaks(vectors)
    if np.isfinite(peak).all() and peak.all():
        return flags
    flags[~np.isfinite(vectors).all(axis=1)] |= NOT_FINITE
    flags[~vectors.any(axis=1)] |= ALL_ZEROS
    flags[np.isnan(vectors).all(axis=1)] |= NO_VECTOR
    return flags


def usable_unit(vectors: Vectors) -> Vectors:
    """Rows at length 1, zeros where a row is NaN, infinite or all zeros."""
    given = np.asarray(vectors, dtype=np.float32)
    peak = _peaks(given)
    good = np.isfinite(peak) & (peak > 0)
    # By the peak first: the square of 1e30 is no float32.
    if good.all():
        return unit_rows(given / peak[:, None])
    unit = np.zeros_like(given)
    unit[good] = unit_rows(given[good] / peak[good, None])
    return unit


def _peaks(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """The largest absolute value of each row, NaN where it holds one: (n,)."""
    highest, lowest = vectors.max(axis=1, initial=0.0), vectors.min(axis=1, initial=0.0)
    peaks: NDArray[np.floating] = np.maximum(highest, -lowest)
    return peaks


def key_of(passage_id: str) -> int:
    """64 bits of an id's hash, for finding its row."""
    spelled = passage_id.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(spelled, digest_size=8).digest(), "little")


def decoded(line: bytes, where: Path) -> Passage:
    """The passage in one line.

    Raises:
        InputError: the line was damaged.
    """
    try:
        passage_id, text, source, meta = json.loads(line.decode("utf-8", "surrogatepass"))
    except (ValueError, TypeError) as error:
        raise InputError(f"{where} is damaged: remove its folder and scan anew") from error
    return Passage(passage_id, text, source, meta)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What workspace.json says; empty if there is none.

    Raises:
        InputError: it is no manifest of this version.
    """
    path = folder / "workspace.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise damaged(folder, f"workspace.json cannot be read ({error!s:.60})") from error
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise damaged(folder, f"workspace.json does not say {SCHEMA}")
    return value


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Replace workspace.json, whole or not at all."""
    with writing(folder / "workspace.json") as file:
        json.dump({"schema": SCHEMA, **manifest}, file)


def damaged(folder: Path, what: str) -> InputError:
    """The one line for a workspace that cannot be gone on with."""
    return InputError(
        f"the workspace {folder} is damaged or from another version: {what}; "
        "remove the folder, or name another"
    )


def _line(passage: Passage) -> bytes:
    name, text, source = passage.id, passage.text, passage.source
    if not passage.meta and type(name) is type(text) is type(source) is str:
        line = f"[{_string(name)},{_string(text)},{_string(source)},{{}}]"
    else:
        line = _JSON.encode([name, text, source, dict(passage.meta)])
    return line.encode("utf-8", "surrogatepass") + b"\n"


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain)
_string = json.encoder.encode_basestring
