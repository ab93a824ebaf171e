"""Reading a store into a snapshot, and what is to be said about how that went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ragshield.errors import IncompleteError, InputError, RagshieldError, StoreError, UsageError
from ragshield.protocols import Store
from ragshield.records import Batch
from ragshield.snapshot.disk import DiskSnapshot
from ragshield.snapshot.layout import read_manifest
from ragshield.snapshot.spool import Spool

LOCK = "lock"
"""File in a workspace that the scan which uses it holds locked."""

# Not on Windows: there, nothing keeps two scans out of one workspace.
_fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None


@dataclass(frozen=True, slots=True)
class Reading:
    """A store, read.

    Attributes:
        snapshot: what was read.
        problem: why that is not all, in one sentence; None if it is.
        notes: what else a reader should know.
        store_seconds: time the store took to give its passages.
    """

    snapshot: DiskSnapshot
    problem: str | None
    notes: tuple[str, ...]
    store_seconds: float


def prepared(workspace: Path, *, resume: bool) -> Path:
    """The workspace as a folder that a scan may write to.

    Raises:
        UsageError: it cannot be made, holds an earlier scan that is not to be resumed, or
            other files.
        InputError: it holds a damaged scan.
    """
    try:
        workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = sorted(path.name for path in workspace.iterdir() if path.name != LOCK)
    except OSError as error:
        raise UsageError(
            f"the workspace {workspace} cannot be used: {error.strerror or error}"
        ) from error
    if not held or (not read_manifest(workspace) and all(x.startswith(".") for x in held)):
        return workspace
    if not read_manifest(workspace):
        raise UsageError(
            f"the workspace {workspace} holds other files ({held[0]}, ...); name an empty folder"
        )
    if not resume:
        raise UsageError(
            f"the workspace {workspace} holds an earlier scan: go on with it by resume=True "
            "(--resume), or name another"
        )
    return workspace


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """A workspace that no other scan may use meanwhile; a killed scan lets go of it.

    Raises:
        UsageError: another scan is using it.
    """
    with (folder / LOCK).open("w") as file:
        if _fcntl is not None:
            try:
                _fcntl.flock(file, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
            except OSError as error:
                raise UsageError(
                    f"the workspace {folder} is in use by another scan; name another"
                ) from error
        yield


def read(
    store: Store,
    folder: Path,
    *,
    batch_size: int = 1024,
    temporary: bool = False,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> Reading:
    """Everything the store gives, in `folder`, going on with what is there already.

    Args:
        store: an open store.
        folder: see `prepared`.
        batch_size: passages per read.
        temporary: delete the folder with the snapshot.
        on_done: told how many passages have been read, and of how many.

    Raises:
        StoreError: the store is empty.
        InputError: it holds vectors of different widths; the folder is of another store.
        IncompleteError: its first passages cannot be read, or nothing could be kept.
    """
    expected = store.count()
    manifest = read_manifest(folder)
    if manifest.get("state") == "read" and manifest.get("url") == store.url:
        return _read_before(folder, expected, manifest["said"])
    if expected == 0:
        raise StoreError(f"{store.url} is empty: there is nothing to scan")
    spool = Spool(folder, store.url)
    batches = store.batches(batch_size)
    seconds = 0.0
    problem = None
    while problem is None:
        started = time.perf_counter()
        batch: Batch | None = None
        try:
            batch = next(batches, None)
        except (RagshieldError, OSError) as error:
            if not spool.n:
                spool.close()
                if not isinstance(error, StoreError):
                    raise
                raise IncompleteError(
                    f"none of the {expected} passages could be read: {error}"
                ) from error
            problem = f"reading broke off after {spool.n} of {expected} passages: {error}"
        seconds += time.perf_counter() - started
        if batch is None:
            break
        try:
            spool.add(batch)
        except IncompleteError as error:
            if not spool.n:
                spool.close()
                raise
            problem = f"only {spool.n} of {expected} passages could be kept: {error}"
        on_done(spool.n, max(expected, spool.n))
    after = spool.n
    with suppress(RagshieldError, OSError):  # the store may be gone: that has been said
        after = store.count()
    problem = problem or _missing(spool.n, expected, after)
    notes = _notes(spool, expected)
    snapshot = spool.finish(
        complete=problem is None, said={"notes": notes, "count": after}, temporary=temporary
    )
    return Reading(snapshot, problem, notes, seconds)


def _read_before(folder: Path, n_now: int, said: dict[str, object]) -> Reading:
    """A reading that an earlier scan ended."""
    snapshot = DiskSnapshot(folder)
    n_then = said["count"]
    problem = None
    if n_now != n_then:
        problem = (
            f"the store holds {n_now} passages now, and {n_then} when the resumed scan read it: "
            "what came since was not read; scan anew without --resume"
        )
    notes = said["notes"]
    if not isinstance(notes, list):
        raise InputError(f"the workspace {folder} is damaged: remove it, or name another")
    noted = (*map(str, notes), "resumed: the passages are those that the earlier scan had read")
    return Reading(snapshot, problem, noted, 0.0)


def _missing(n: int, expected: int, after: int) -> str | None:
    if n < expected:
        return (
            f"{n} of {expected} passages were read: the store changed meanwhile; "
            "scan again when nothing writes to it"
        )
    if n < after:
        return (
            f"{after - n} passages came while the store was read and were not judged; scan "
            "again, with --since to be told of those alone"
        )
    return None


def _notes(spool: Spool, expected: int) -> tuple[str, ...]:
    notes = []
    if spool.n_repeated:
        notes.append(
            f"{spool.n_repeated} ids came twice, read once: the store changed, or repeats ids"
        )
    if spool.n > expected:
        notes.append(f"{spool.n - expected} passages arrived while it was read")
    if spool.n_verified:
        notes.append(f"resumed: {spool.n_verified} passages were as the earlier scan had read them")
    if spool.n_replaced:
        notes.append(
            f"the store changed since the earlier scan: {spool.n_replaced} passages were read anew"
        )
    return tuple(notes)
