"""Vectors for a snapshot of a store that holds none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, InputError
from ragshield.protocols import Encoder
from ragshield.snapshot.disk import DiskSnapshot
from ragshield.snapshot.layout import (
    NO_TEXT,
    ROW,
    read_manifest,
    usable_unit,
    vector_flags,
    write_manifest,
)

_STEP = 256


def embed(
    snapshot: DiskSnapshot,
    encoder: Encoder,
    on_done: Callable[[int], None] = lambda _: None,
) -> DiskSnapshot:
    """Embed every text, going on where an earlier call with this encoder was cut off.

    Args:
        snapshot: of a store without vectors.
        encoder: embeds its texts.
        on_done: told how many rows have a vector by now.

    Returns:
        The snapshot opened again, now with vectors. Nothing is done if it has any.

    Raises:
        InputError: the encoder gives something else than one row for each text.
        IncompleteError: the disk is full.
    """
    if snapshot.dim is not None:
        return snapshot
    folder, n = snapshot.folder, len(snapshot)
    manifest = read_manifest(folder)
    try:
        path = folder / "vectors.f32"
        done = path.stat().st_size // (4 * encoder.dim)
        if manifest.get("encoder") != encoder.name:
            done = 0
            write_manifest(folder, manifest | {"encoder": encoder.name})
        flags = snapshot.flags & np.uint8(NO_TEXT)
        with path.open("r+b") as file:
            file.truncate(done * 4 * encoder.dim)
            file.seek(0, os.SEEK_END)
            for start in range(done, n, _STEP):
                rows = range(start, min(start + _STEP, n))
                vectors = encoder.encode([p.text for p in snapshot.passages(rows)])
                if vectors.shape != (len(rows), encoder.dim):
                    raise InputError(
                        f"{encoder.name} gave vectors of shape {vectors.shape} for {len(rows)} "
                        f"texts; it says it gives {encoder.dim} numbers for each"
                    )
                usable_unit(vectors).tofile(file)
                file.flush()
                on_done(rows.stop)
        for start in range(0, n, 65_536):
            rows = range(start, min(start + 65_536, n))
            unit = np.fromfile(
                path, np.float32, len(rows) * encoder.dim, offset=start * 4 * encoder.dim
            )
            flags[start : rows.stop] |= vector_flags(unit.reshape(len(rows), -1), len(rows))
        _write_flags(folder / "rows.bin", flags)
        write_manifest(folder, manifest | {"encoder": encoder.name, "dim": encoder.dim})
    except OSError as error:
        raise IncompleteError(
            f"the workspace {folder} cannot be written ({error.strerror or error}): "
            "make room there, or name a --workspace elsewhere"
        ) from error
    return snapshot.again()


def _write_flags(path: Path, flags: NDArray[np.uint8]) -> None:
    rows = np.memmap(path, dtype=ROW, mode="r+", shape=(len(flags),))
    rows["flags"] = flags
    rows.flush()
