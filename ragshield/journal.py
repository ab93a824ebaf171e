"""An append-only JSON Lines file that many processes may write and a crash cannot spoil."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.files import check_writable, writing

_log = logging.getLogger("ragshield.journal")
_one_at_a_time = threading.Lock()
# Not on Windows: there, one process at a time may use a journal.
_fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None


class Journal:
    """Records, one a line, behind a first line that names the schema.

    Each append is on disk (fsync) when the call returns. A last line that a crash left
    half-written was never acknowledged: it is skipped, and cut off by the next append.

    Args:
        path: the file; made by the first append. Its folder must exist.
        schema: what the first line must say.

    Raises:
        UsageError: the file could not be written.
    """

    def __init__(self, path: Path, schema: str) -> None:
        check_writable(path)
        self.path = path
        self.schema = schema

    @contextmanager
    def reading(self) -> Iterator[Iterator[tuple[int, Any]]]:
        """The records with their line numbers, while nobody else writes."""
        if not self.path.exists():
            yield iter(())
            return
        with self._locked("rb", exclusive=False) as file:
            yield self._records(file)

    @contextmanager
    def changing(self) -> Iterator[OpenJournal]:
        """The journal to read and append to, while nobody else does either."""
        check_writable(self.path)
        new = not self.path.exists()
        with self._locked("a+b", exclusive=True) as file:
            yield OpenJournal(self, file)
        if new:
            _sync_folder(self.path.parent)

    @contextmanager
    def _locked(self, mode: Literal["rb", "a+b"], *, exclusive: bool) -> Iterator[BinaryIO]:
        """The file under a lock; opened again if it was rewritten while we waited."""
        while True:
            try:
                file = self.path.open(mode)
            except OSError as error:
                raise InputError(f"cannot read {self.path}: {error.strerror or error}") from error
            with file, _lock(file, exclusive=exclusive):
                if _is_at(file, self.path):
                    yield file
                    return

    def _records(self, file: BinaryIO) -> Iterator[tuple[int, Any]]:
        file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
            except ValueError as error:
                if not line.endswith(b"\n"):
                    _log.warning("%s: last line is half-written; skipped", self.path)
                    return
                raise InputError(f"{self.path}, line {number}: not JSON ({error!s:.80})") from error
            if number > 1:
                yield number, record
            elif not isinstance(record, dict) or record.get("schema") != self.schema:
                raise InputError(f"{self.path}, line 1: expected the schema {self.schema}")


class OpenJournal:
    """A journal under an exclusive lock."""

    def __init__(self, journal: Journal, file: BinaryIO) -> None:
        self._journal = journal
        self._file = file

    def records(self) -> Iterator[tuple[int, Any]]:
        """The records with their line numbers."""
        return self._journal._records(self._file)

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write records and wait until they are on disk.

        Raises:
            IncompleteError: the disk refused; what the file held before is intact.
        """
        if not records:
            return
        # ASCII keeps the lone surrogates of broken UTF-8 as they came.
        text = "".join(json.dumps(record, default=_plain) + "\n" for record in records)
        try:
            size, before = self._mended()
            if size == 0:
                text = json.dumps({"schema": self._journal.schema}) + "\n" + text
            self._file.write(before + text.encode("ascii"))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise IncompleteError(
                f"cannot write {self._journal.path}: {error.strerror or error}"
            ) from error

    def rewrite(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Put other records in the place of all; the file changes whole or not at all.

        What was there before is gone from the file, and nothing can be read or appended
        through this object any more.

        Raises:
            IncompleteError: the disk refused; the file is as it was.
        """
        path = self._journal.path
        lines = [{"schema": self._journal.schema}, *records]
        try:
            with writing(path) as file:
                file.writelines(json.dumps(line, default=_plain) + "\n" for line in lines)
        except (OSError, UsageError) as error:
            raise IncompleteError(f"cannot rewrite {path}: {error}; it is as it was") from error
        _sync_folder(path.parent)

    def _mended(self) -> tuple[int, bytes]:
        """Size once a torn end is cut off, and what must come before the next record."""
        size = self._file.seek(0, os.SEEK_END)
        last = _last_line(self._file, size)
        if not last or last.endswith(b"\n"):
            return size, b""
        try:
            json.loads(last)
        except ValueError:
            _log.warning("%s: cut off a half-written last line", self._journal.path)
            self._file.truncate(size - len(last))
            return size - len(last), b""
        return size, b"\n"


def _last_line(file: BinaryIO, size: int) -> bytes:
    width = 4096
    while True:
        start = max(0, size - width)
        file.seek(start)
        tail = file.read(size - start)
        newline = tail.rfind(b"\n", 0, -1)
        if newline >= 0 or start == 0:
            return tail[newline + 1 :]
        width *= 4


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _lock(file: BinaryIO, *, exclusive: bool) -> Iterator[None]:
    if _fcntl is None:
        with _one_at_a_time:
            yield
        return
    # Belongs to this opening of the file, so it keeps threads apart as well as processes.
    _fcntl.flock(file, _fcntl.LOCK_EX if exclusive else _fcntl.LOCK_SH)
    try:
        yield
    finally:
        _fcntl.flock(file, _fcntl.LOCK_UN)


def _sync_folder(folder: Path) -> None:
    if _fcntl is None:  # folders cannot be opened on Windows
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
