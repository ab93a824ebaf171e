"""The snapshot: every passage that is about to go, exactly, encrypted, in one file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from ragshield.errors import InputError
from ragshield.forget.saved.sealing import is_sealed, seal, unseal
from ragshield.records import Batch, Passage, Vector

SCHEMA = "ragshield-snapshot"
VERSION = 2

Likeness: TypeAlias = Literal["same", "close", "other"]
"""A stored passage against the saved one: bit for bit, up to float32 rounding, or not."""


@dataclass(frozen=True, slots=True, eq=False)
class SavedPart:
    """What goes from one collection.

    Attributes:
        url: the collection; None in a snapshot of version 1: the plan's.
        batch: the passages with their vectors.
        n_before: passages in the collection when it was made.
        probes: questions with what they should find afterwards; see `forget.probing`.
    """

    url: str | None
    batch: Batch
    n_before: int = 0
    probes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """A snapshot.

    Attributes:
        parts: one per collection, the plan's own first.
        files: entries of docstores and the like, by place: what `undo` puts back.
    """

    parts: tuple[SavedPart, ...]
    files: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passages(self) -> tuple[Passage, ...]:
        """All passages, in the order of the parts."""
        return tuple(passage for part in self.parts for passage in part.batch.passages)


def write_snapshot(saved: Saved, path: Path, key: bytes) -> str:
    """Write a snapshot, encrypted; on disk, under its final name, when this returns.

    Vectors are kept as their float32 bytes, so they come back bit for bit.

    Returns:
        SHA-256 of the file.

    Raises:
        UsageError: the file cannot be written.
    """
    return seal(_lines(saved), path, key)


def read_snapshot(path: Path, sha256: str, key: bytes | None = None) -> Saved:
    """Read a snapshot back, also an unencrypted one of version 1.

    Args:
        path: the file.
        sha256: what `write_snapshot` gave.
        key: what it was written with; None for version 1.

    Raises:
        InputError: missing, unreadable, not the file that was written, or another key.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"cannot read the snapshot {path}: {error.strerror or error}") from error
    found = digest.hexdigest()
    if found != sha256:
        raise InputError(
            f"the snapshot {path} is damaged: SHA-256 {found[:12]}…, written with {sha256[:12]}…"
        )
    if not is_sealed(path):
        return _first_version(path)
    if key is None:
        raise InputError(f"the snapshot {path} is encrypted, and its key is not known")
    records = (json.loads(line) for line in unseal(path, key))
    header = next(records)
    if header.get("schema") != SCHEMA or header.get("version") != VERSION:
        raise InputError(f"{path} is no snapshot of version {VERSION}")
    parts = []
    for _ in range(header["n_parts"]):
        part = next(records)
        batch = _batch([next(records) for _ in range(part["n"])], part["dim"])
        parts.append(SavedPart(part["url"], batch, part["n_before"], part["probes"]))
    return Saved(tuple(parts), header["files"])


def likeness(saved: Batch, there: Batch) -> dict[str, Likeness]:
    """How each passage that is there compares with the one saved under its id.

    `close` is what a store with cosine space makes of a vector that it gave out itself: it
    normalises again, and float32 rounds the last bits.
    """
    position = {p.id: i for i, p in enumerate(saved.passages)}
    found: dict[str, Likeness] = {}
    for i, passage in enumerate(there.passages):
        row = position[passage.id]
        before = None if saved.vectors is None else saved.vectors[row]
        after = None if there.vectors is None else there.vectors[i]
        found[passage.id] = _vectors_alike(before, after)
        if passage != saved.passages[row]:
            found[passage.id] = "other"
    return found


def _vectors_alike(before: Vector | None, after: Vector | None) -> Likeness:
    if before is None or after is None:
        return "same" if before is after else "other"
    if before.tobytes() == after.tobytes():
        return "same"
    if before.shape != after.shape:
        return "other"
    return "close" if np.allclose(before, after, rtol=1e-5, atol=1e-6) else "other"


def _lines(saved: Saved) -> Iterator[bytes]:
    for record in _records(saved):
        yield (json.dumps(record) + "\n").encode("ascii")


def _records(saved: Saved) -> Iterator[Mapping[str, Any]]:
    yield {
        "schema": SCHEMA,
        "version": VERSION,
        "n_parts": len(saved.parts),
        "files": dict(saved.files),
    }
    for part in saved.parts:
        batch = part.batch
        dim = None if batch.vectors is None else int(batch.vectors.shape[1])
        yield {
            "url": part.url,
            "n": len(batch),
            "dim": dim,
            "n_before": part.n_before,
            "probes": dict(part.probes),
        }
        vectors = [None] * len(batch) if batch.vectors is None else list(batch.vectors)
        for passage, vector in zip(batch.passages, vectors, strict=True):
            yield {
                "id": passage.id,
                "text": passage.text,
                "source": passage.source,
                "meta": dict(passage.meta),
                "vector": None if vector is None else packed(vector),
            }


def packed(vectors: Iterable[Any]) -> str:
    """Float32 numbers as base64 of their bytes."""
    return base64.b64encode(np.ascontiguousarray(vectors, dtype="<f4").tobytes()).decode("ascii")


def unpacked(text: str) -> Vector:
    """What `packed` was given, as one row."""
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)


def _first_version(path: Path) -> Saved:
    header, *rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    if header.get("schema") != SCHEMA or header.get("version") != 1:
        raise InputError(f"{path} is no snapshot of version 1 or {VERSION}")
    return Saved((SavedPart(None, _batch(rows, header["dim"])),))


def _batch(rows: Sequence[Mapping[str, Any]], dim: int | None) -> Batch:
    passages = tuple(
        Passage(id=row["id"], text=row["text"], source=row["source"], meta=row["meta"])
        for row in rows
    )
    if dim is None:
        return Batch(passages, None)
    vectors = np.empty((len(rows), dim), dtype=np.float32)
    for i, row in enumerate(rows):
        vectors[i] = unpacked(row["vector"])
    return Batch(passages, vectors)
