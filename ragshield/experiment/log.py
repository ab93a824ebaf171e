"""Writing trials as they come, and going on where an earlier run stopped."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.files import check_writable
from ragshield.results import FORMAT, Header, Trial, read_results


class TrialLog:
    """A results file being written: it goes on where an earlier run stopped.

    Args:
        path: the file; made if missing.
        header: of this run.
        restart: throw away what an earlier run wrote.

    Raises:
        UsageError: the file cannot be written, or holds another experiment's trials.
        InputError: the file exists and is not a results file, or a line is malformed.
        IncompleteError: another run is writing to it.
    """

    def __init__(self, path: Path, header: Header, *, restart: bool = False) -> None:
        check_writable(path)
        self.path = path
        self.trials: tuple[Trial, ...] = ()
        self._file: BinaryIO = path.open("ab")
        try:
            self._lock()
            if _started(path) and not restart:
                self._resume(header)
            else:
                self._start(header)
        except BaseException:
            self._file.close()
            raise

    def write(self, trial: Trial) -> None:
        """Append one trial; it is in the file when this returns."""
        self._file.write(trial.to_json().encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Release the file; safe to call twice."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lock(self) -> None:
        if sys.platform == "win32":  # has no flock: two runs into one file are not noticed
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise IncompleteError(
                f"another run is writing to {self.path}; wait for it or name another file"
            ) from error

    def _start(self, header: Header) -> None:
        self._file.truncate(0)
        self._file.write(header.to_json().encode() + b"\n")
        self._file.flush()

    def _resume(self, header: Header) -> None:
        found = read_results(self.path)
        way_out = "give --restart to throw them away, or name another file"
        if found.header.sha256 != header.sha256:
            raise UsageError(
                f"{self.path} holds trials of another experiment"
                f"{_first_difference(found.header.experiment, header.experiment)}; {way_out}"
            )
        if found.header.version != header.version:
            raise UsageError(
                f"{self.path} holds trials made with ragshield {found.header.version}, "
                f"this is {header.version}; {way_out}"
            )
        self._file.truncate(found.n_bytes)
        self.trials = found.trials


def _started(path: Path) -> bool:
    """Whether an earlier run left at least its whole first line.

    Raises:
        InputError: what is there is not ours, so not ours to write to, even to start anew.
    """
    ours = f'{{"format": "{FORMAT}"'.encode()
    with path.open("rb") as file:
        line = file.readline()
    if not line.startswith(ours[: len(line)]):
        raise InputError(f"{path} is not a results file of ragshield run; name another file")
    return line.endswith(b"\n")


def _first_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            return f" ('{key}' differs)"
    return ""
