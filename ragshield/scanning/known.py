"""What an earlier scan saw: hashes of passages, so that the next one tells what is new."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, InputError
from ragshield.files import check_writable
from ragshield.snapshot.disk import DiskSnapshot

_SCHEMA = "ragshield-scan-state/1"


def new_rows(snapshot: DiskSnapshot, path: Path) -> NDArray[np.bool_]:
    """Which rows are new or changed in text, source, metadata or vector: (n,).

    Args:
        snapshot: what was read now.
        path: what `note` wrote after an earlier scan; if it is missing, all rows are new.

    Raises:
        InputError: the file is something else.
    """
    if not path.exists():
        return np.ones(len(snapshot), dtype=bool)
    try:
        with np.load(path, allow_pickle=False) as state:
            if str(state["schema"]) != _SCHEMA:
                raise ValueError(f"its schema is {state['schema']!s:.40}")
            keys, digests = state["keys"], state["digests"]
    except (OSError, ValueError, KeyError, EOFError, AttributeError) as error:
        raise InputError(
            f"{path} is no state of an earlier scan ({error!s:.80}); name another, or remove it"
        ) from error
    order = np.argsort(keys, kind="stable")
    keys, digests = keys[order], digests[order]
    at = np.minimum(np.searchsorted(keys, snapshot.keys), max(len(keys) - 1, 0))
    if not len(keys):
        return np.ones(len(snapshot), dtype=bool)
    known: NDArray[np.bool_] = (keys[at] == snapshot.keys) & (digests[at] == snapshot.digests)
    return ~known


def check(path: Path) -> None:
    """Fail before the scan, not after it, if the state could not be written.

    Raises:
        UsageError: the folder is missing or read-only.
    """
    check_writable(path)


def note(snapshot: DiskSnapshot, path: Path) -> None:
    """Write the state after a complete scan, whole or not at all.

    Raises:
        IncompleteError: the disk is full.
    """
    name = ""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, schema=_SCHEMA, keys=snapshot.keys, digests=snapshot.digests)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        with suppress(OSError):
            Path(name).unlink()
        raise IncompleteError(
            f"the state {path} cannot be written ({error.strerror or error}): the next scan "
            "will take the same passages for new"
        ) from error
