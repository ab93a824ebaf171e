"""Reading and writing files so that nothing is half-written and errors name the line."""

from __future__ import annotations

import gzip
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from ragshield.errors import InputError, UsageError


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of a JSON Lines file (gzipped if it ends in .gz) with their line numbers.

    Blank lines are skipped.

    Raises:
        InputError: the file is missing or unreadable, not UTF-8, or a line is no JSON
            object; the message names the line.
    """
    number = 0
    try:
        with _open_text(path) as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except json.JSONDecodeError as error:
                    raise InputError(f"{path}, line {number}: not JSON ({error.msg})") from error
                if not isinstance(value, dict):
                    raise InputError(
                        f"{path}, line {number}: expected a JSON object, got {value!r:.60}"
                    )
                yield number, value
    except UnicodeDecodeError as error:
        raise InputError(f"{path}, after line {number}: not UTF-8 ({error.reason})") from error
    except (OSError, EOFError) as error:
        raise InputError(f"cannot read {path}: {_cause(error)}") from error


def read_text(path: Path) -> str:
    """A whole UTF-8 file.

    Raises:
        InputError: missing, unreadable or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {_cause(error)}") from error


@contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """A text file that appears whole or not at all: written beside, then renamed.

    Raises:
        UsageError: the folder does not exist or cannot be written to.
    """
    check_writable(path)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", text=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {_cause(error)}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(_mode_of(path))
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _mode_of(path: Path) -> int:
    """That of the file in whose place the new one comes; else that of any new file."""
    with suppress(OSError):
        return stat.S_IMODE(path.stat().st_mode)
    # mkstemp makes files private; a report should be as readable as any other file.
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def check_writable(path: Path) -> None:
    """Fail before the work, not after it, when the output cannot be written.

    Raises:
        UsageError: `path` is a folder, or its folder does not exist or is read-only.
    """
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder; name a file")
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"cannot write {path}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UsageError(f"cannot write {path}: no permission")


def _open_text(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def _cause(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
