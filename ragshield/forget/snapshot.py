"""The snapshot: every passage that is about to go, exactly, in one file with a checksum."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from ragshield.errors import InputError, UsageError
from ragshield.files import check_writable
from ragshield.records import Batch, Passage, Vector

SCHEMA = "ragshield-snapshot"
VERSION = 1

Likeness: TypeAlias = Literal["same", "close", "other"]
"""A stored passage against the saved one: bit for bit, up to float32 rounding, or not."""


def write_snapshot(batch: Batch, path: Path) -> str:
    """Write passages with vectors; on disk, under its final name, when this returns.

    Vectors are kept as their float32 bytes, so they come back bit for bit. The file is
    readable by its owner alone: it holds what is to be forgotten.

    Returns:
        SHA-256 of the file.

    Raises:
        UsageError: the file cannot be written.
    """
    check_writable(path)
    digest = hashlib.sha256()
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            for record in _records(batch):
                line = (json.dumps(record) + "\n").encode("ascii")
                digest.update(line)
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; nothing was deleted"
        ) from error
    finally:
        with suppress(OSError):
            Path(name).unlink()
    return digest.hexdigest()


def read_snapshot(path: Path, sha256: str) -> Batch:
    """Read a snapshot back.

    Args:
        path: the file.
        sha256: what `write_snapshot` gave.

    Raises:
        InputError: missing, unreadable, or not the file that was written.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the snapshot {path}: {error.strerror or error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(
            f"the snapshot {path} is damaged: SHA-256 {found[:12]}…, written with {sha256[:12]}…"
        )
    header, *rows = [json.loads(line) for line in content.splitlines()]
    if header.get("schema") != SCHEMA or header.get("version") != VERSION:
        raise InputError(f"{path} is no snapshot of version {VERSION}")
    passages = tuple(
        Passage(id=row["id"], text=row["text"], source=row["source"], meta=row["meta"])
        for row in rows
    )
    if header["dim"] is None:
        return Batch(passages, None)
    vectors = np.empty((len(rows), header["dim"]), dtype=np.float32)
    for i, row in enumerate(rows):
        vectors[i] = np.frombuffer(base64.b64decode(row["vector"]), dtype="<f4")
    return Batch(passages, vectors)


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


def _records(batch: Batch) -> Iterator[dict[str, Any]]:
    dim = None if batch.vectors is None else int(batch.vectors.shape[1])
    yield {"schema": SCHEMA, "version": VERSION, "n": len(batch), "dim": dim}
    vectors = [None] * len(batch) if batch.vectors is None else list(batch.vectors)
    for passage, vector in zip(batch.passages, vectors, strict=True):
        yield {
            "id": passage.id,
            "text": passage.text,
            "source": passage.source,
            "meta": dict(passage.meta),
            "vector": None
            if vector is None
            else base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode(),
        }


def _sync_folder(folder: Path) -> None:
    # A rename is only sure to survive a power cut once its folder is on disk too.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
