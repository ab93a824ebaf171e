"""Reading a Chroma database that another process has open: from a private copy.

Chroma's embedded database is not made for two processes. Measured on 1.5.9, with one
process adding rows and another only reading: the reader's `get` fails ("Error finding
id") as soon as the writer has saved its index, it can crash the interpreter when it loads
index files that are half written, and it saves and prunes the writer's data itself. So a
database in use is copied at one moment in time, and the copy is read.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

from ragshield.errors import StoreError

_QUIET_NS = 50_000_000
"""Index files that changed within the last 50 ms may still be being written."""

_PATIENCE_S = 60.0


def holders(path: Path) -> list[int]:
    """Process ids, other than this one, that have the database at `path` open.

    Known from /proc, so only on Linux and only for processes of the same user (of all
    users for root); elsewhere the answer is always empty.
    """
    wanted = os.path.realpath(path / "chroma.sqlite3")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended, or belongs to someone else
            if any(os.path.realpath(fd) == wanted for fd in (process / "fd").iterdir()):
                found.append(int(process.name))
    return found


def copy_of(path: Path, url: str) -> tempfile.TemporaryDirectory[str]:
    """A consistent copy of the database at `path`, as it is at one moment.

    The index files are copied before the SQLite file, and everything again if the index
    was saved meanwhile: Chroma prunes its log only after saving the index, so index and
    log always fit together.

    Raises:
        StoreError: the database is damaged, there is no room, or it is being written to
            so fast that no consistent copy could be made within a minute.
    """
    folder = tempfile.TemporaryDirectory(prefix="ragshield-chroma-")
    deadline = time.monotonic() + _PATIENCE_S
    try:
        while time.monotonic() < deadline:
            before = _index_state(path)
            newest = max((stamp for stamp, _ in before.values()), default=0)
            if time.time_ns() - newest < _QUIET_NS:
                time.sleep(_QUIET_NS / 1e9)
                continue
            target = Path(tempfile.mkdtemp(dir=folder.name))
            with suppress(FileNotFoundError):  # a collection was deleted: states differ below
                for name in before:
                    (target / name).parent.mkdir(exist_ok=True)
                    shutil.copyfile(path / name, target / name)
            _copy_sqlite(path / "chroma.sqlite3", target / "chroma.sqlite3")
            if _index_state(path) == before:
                target.rename(Path(folder.name) / "db")
                return folder
            shutil.rmtree(target)
    except (OSError, sqlite3.Error) as error:
        folder.cleanup()
        raise StoreError(
            f"{url}: another process has it open, and copying failed: {error}"
        ) from error
    folder.cleanup()
    raise StoreError(
        f"{url}: another process is writing to it without a pause; try again when it is calmer, "
        "or serve it with `chroma run` and use chroma+http://HOST:PORT#COLLECTION"
    )


def _index_state(path: Path) -> dict[str, tuple[int, int]]:
    """Time and size of every index file, by path relative to the database."""
    state = {}
    for file in path.glob("*-*-*-*-*/*"):  # one folder a segment, named by its UUID
        with suppress(OSError):
            found = file.stat()
            if not stat.S_ISREG(found.st_mode):
                continue
            state[str(file.relative_to(path))] = (found.st_mtime_ns, found.st_size)
    return state


def _copy_sqlite(source: Path, target: Path) -> None:
    # The backup takes a read lock, so it sees no half-done transaction.
    uri = f"{source.resolve().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=30)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
