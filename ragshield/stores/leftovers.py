"""Files that lie beside a store's file: what a killed write, an editor or a copy left there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ragshield.errors import StoreError
from ragshield.protocols import Surface

BLOCK: Final = 8 * 2**20
"""Bytes read at a time, at most."""

_OWN = r"\.{name}\.[a-z0-9_]{{8}}"
_OTHERS = (
    r"\.?{name}~+",  # Emacs, gedit, Kate; vim with 'backup'
    r"{name}\.~\d+~",
    r"\.{name}\.(un~|sw[a-p])",  # vim: undo file, swap file
    r"#{name}#",  # Emacs: what was not saved
    r"\.#{name}(\..*)?",
    r"{name}\.(bak|backup|old|orig|save|tmp|temp|copy|prev)([._-]?\d+)?",
    r"{name}[._-](bak|backup|old|orig|copy)",
    r"{name}\.\d{{1,3}}(\.gz)?",  # logrotate
    r"{name} \(\d+\)",
)
# Not on Windows: there, nothing keeps two purges apart.
_fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None


def own_leftovers(path: Path) -> tuple[Path, ...]:
    """Temporary files that ragshield was killed over while it wrote `path`, sorted."""
    return _beside(path, (_OWN,))


def leftovers(path: Path) -> tuple[Path, ...]:
    """Files beside `path` that look like a backup or a temporary copy of it, sorted."""
    return _beside(path, (_OWN, *_OTHERS))


def file_surface(path: Path, name: str, *, may_vanish: bool = False) -> Surface:
    """A file as it lies on disk; one that may vanish holds nothing once it has."""
    n_bytes = None
    with suppress(OSError):
        n_bytes = path.stat().st_size

    def blocks() -> Iterator[bytes]:
        return iter(()) if may_vanish and not path.exists() else blocks_of(path)

    return Surface(name, "file", n_bytes, blocks)


def blocks_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file, piece by piece.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of about one block, none longer than one."""
    held: list[bytes] = []
    n_held = 0
    for piece in pieces:
        for start in range(0, len(piece), BLOCK):
            part = piece[start : start + BLOCK]
            if n_held + len(part) > BLOCK:
                yield b"".join(held)
                held, n_held = [], 0
            held.append(part)
            n_held += len(part)
    if held:
        yield b"".join(held)


def decoded_surface(name: str, pieces: Callable[[], Iterator[bytes]]) -> Surface:
    """What a file says once its format is undone."""
    return Surface(name, "decoded", None, lambda: gathered(pieces()))


def writers(path: Path) -> list[int]:
    """Ids of other processes that have this file open for writing.

    Known from /proc, so only on Linux and only for processes of the same user (of all
    users for root); elsewhere the answer is always empty.
    """
    wanted, found = os.path.realpath(path), []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        with suppress(OSError, ValueError):  # it ended, or belongs to someone else
            for descriptor in (process / "fd").iterdir():
                if os.path.realpath(descriptor) != wanted:
                    continue
                info = (process / "fdinfo" / descriptor.name).read_text()
                flags = re.search(r"^flags:\s*([0-7]+)", info, flags=re.MULTILINE)
                if flags and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY:
                    found.append(int(process.name))
                    break
    return found


def refuse_writers(path: Path, url: str) -> None:
    """Refuse to replace a file that another process writes to: its rows would be lost.

    Raises:
        StoreError: another process has it open for writing.
    """
    if others := writers(path):
        raise StoreError(
            f"{url}: process {others[0]} has {path.name} open for writing; stop it and try again"
        )


@contextmanager
def alone_in(folder: Path, url: str) -> Iterator[None]:
    """Keep other purges out of a folder.

    Raises:
        StoreError: one is at work there.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"{url}: cannot open {folder}: {error.strerror or error}") from error
    try:
        if _fcntl is not None:
            try:
                _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
            except OSError as error:
                raise StoreError(
                    f"{url} is in use: another purge works in {folder}; try again later"
                ) from error
        yield
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until what was renamed or removed in a folder is so on disk."""
    if _fcntl is None:  # folders cannot be opened on Windows
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path, patterns: Iterable[str]) -> tuple[Path, ...]:
    escaped = re.escape(path.name)
    known = re.compile("|".join(f"(?:{p.format(name=escaped)})" for p in patterns))
    try:
        found = [p for p in path.parent.iterdir() if known.fullmatch(p.name) and p.is_file()]
    except OSError:
        return ()
    return tuple(sorted(found))
