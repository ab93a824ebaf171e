"""Lines of a JSON Lines file: where each one lies, and the file written anew without some."""

from __future__ import annotations

import gzip
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from ragshield.errors import InputError, StoreError
from ragshield.stores.leftovers import sync_folder

_COPIED = 8 * 2**20
_ONE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


class Line(NamedTuple):
    """One line as it lies in the file.

    Attributes:
        number: counted from 1, blank lines too.
        start: bytes before it, in a gzipped file once it is unpacked.
        content: with its end.
    """

    number: int
    start: int
    content: bytes


class Stamp(NamedTuple):
    """By what a changed file is known."""

    inode: int
    mtime_ns: int
    size: int


def stamp_of(path: Path) -> Stamp:
    """The file as it is now.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    return Stamp(found.st_ino, found.st_mtime_ns, found.st_size)


def opened(path: Path) -> BinaryIO:
    """The file's bytes, unpacked if it is gzipped."""
    return cast("BinaryIO", gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def lines_of(path: Path) -> Iterator[Line]:
    r"""All lines; a lone `\r` ends one too, as for every program that reads text.

    Raises:
        OSError, EOFError: it cannot be read or unpacked.
    """
    number = start = 0
    with opened(path) as file:
        for content in file:
            alone = b"\r" in content[:-2] or content.endswith(b"\r")
            for part in _ONE.findall(content) if alone else (content,):
                number += 1
                yield Line(number, start, part)
                start += len(part)


def value_of(path: Path, line: Line) -> dict[str, Any] | None:
    """The JSON object of a line; None for a blank one.

    Raises:
        InputError: not UTF-8, or no JSON object; the message names the line.
    """
    try:
        text = line.content.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"{path}, line {line.number}"
        raise InputError(f"{where}: not UTF-8 ({error.reason})") from error
    if not text.strip():
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {line.number}: not JSON ({error.msg})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}, line {line.number}: expected a JSON object, got {value!r:.60}")
    return value


def objects_of(path: Path) -> Iterator[tuple[Line, dict[str, Any]]]:
    """Every line that is not blank, with its object.

    Raises:
        InputError: the file cannot be read, or a line is no JSON object.
    """
    try:
        for line in lines_of(path):
            value = value_of(path, line)
            if value is not None:
                yield line, value
    except (OSError, EOFError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise InputError(f"cannot read {path}: {why or error}") from error


def write_without(
    path: Path,
    gone: Sequence[tuple[int, int]],
    new: Iterable[bytes],
    *,
    unchanged: Stamp,
    refuse: Callable[[], Exception],
) -> Stamp:
    """Write a file anew, other lines character for character, and rename it into place.

    Args:
        path: the file, not gzipped.
        gone: start and end of the lines to leave out, in their order.
        new: lines to add at the end, each with its end.
        unchanged: what the file was when its lines were looked at.
        refuse: gives what is raised where it has changed since.

    Returns:
        The new file's stamp.

    Raises:
        OSError: the disk refused; the file is as it was.
    """
    before = path.stat()
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            last = b"\n"
            with path.open("rb") as old:
                for piece in _stay(old, gone):
                    file.write(piece)
                    last = piece[-1:]
            for line in new:
                if last != b"\n":  # the last line had no end
                    file.write(b"\n")
                file.write(line)
                last = line[-1:]
            file.flush()
            temporary.chmod(before.st_mode & 0o7777)
            with suppress(PermissionError):
                os.chown(temporary, before.st_uid, before.st_gid)
            os.fsync(file.fileno())
        if stamp_of(path) != unchanged:
            raise refuse()
        stamp = stamp_of(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        raise
    return stamp


def _stay(file: BinaryIO, gone: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """What lies between the lines that go, piece by piece."""
    at = 0
    for start, end in [*gone, (None, None)]:
        file.seek(at)
        while start is None or at < start:
            piece = file.read(_COPIED if start is None else min(_COPIED, start - at))
            if not piece:
                return
            at += len(piece)
            yield piece
        if end is not None:
            at = end
