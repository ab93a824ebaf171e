"""JSON Lines lose deleted passages: the file is written anew, and what lies beside is seen."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, StoreError
from ragshield.protocols import Cost, Purged, Surface
from ragshield.records import Vectors
from ragshield.stores.jsonl_lines import Line, Stamp, lines_of, stamp_of, write_without
from ragshield.stores.leftovers import (
    alone_in,
    decoded_surface,
    file_surface,
    leftovers,
    own_leftovers,
    refuse_writers,
    sync_folder,
)

_BYTES_A_SECOND = 150e6
_NUMBERS = {int, float, bool}
_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)')


class JsonlPurge:
    """Write the file anew without the lines of deleted passages, and rename it into place.

    A line cannot be taken out of the middle of a file, and blanking it in place would
    leave a broken file if the machine stopped within the write. So all other lines are
    copied, character for character. A deletion by ragshield has done that already; then
    only temporary files of killed writes are left to remove. Backups that an editor made
    are somebody's own: they are searched as surfaces and named, never removed.
    """

    name: ClassVar[str] = "jsonl"
    version: ClassVar[int] = 1

    def describe(self, url: str) -> Mapping[str, str]:
        """The recipe's version; there is no other software."""
        del url
        return {"store": "jsonl", "recipe": f"jsonl {self.version}"}

    def files(self, url: str) -> tuple[Path, ...]:
        """The file, and temporary files of killed writes."""
        path = _path_of(url)
        return tuple(sorted((path, *own_leftovers(path))))

    def surfaces(self, url: str) -> tuple[Surface, ...]:
        """The file and those beside it, as they lie there and as their lines read."""
        path = _path_of(url)
        files = dict.fromkeys((*self.files(url), *leftovers(path)))
        found = [file_surface(p, p.name) for p in files]
        for p in files:
            found.append(decoded_surface(f"lines of {p.name}", lambda p=p: _said(p)))  # type: ignore[misc]
        return tuple(found)

    def untested(self, url: str) -> tuple[str, ...]:
        """Nothing: it is one file."""
        del url
        return ()

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """As given, as the surface of decoded lines has them."""
        rows = np.ascontiguousarray(vectors, dtype="<f4")
        return (rows.view(np.uint8).reshape(len(vectors), -1),)

    def cost(self, url: str, n: int) -> Cost:
        """All lines copied once."""
        del n  # the same for one and for many
        n_bytes = _path_of(url).stat().st_size
        how = "copy: a line cannot be taken out of the middle of a file"
        return Cost(0.05 + n_bytes / _BYTES_A_SECOND, n_bytes, how)

    def purge(
        self,
        url: str,
        ids: Sequence[str],
        *,
        on_progress: Callable[[str], None] | None = None,
    ) -> Purged:
        """Drop lines that are still there, and temporary files of killed writes."""
        tell = on_progress or (lambda _: None)
        path = _path_of(url)
        if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
            raise StoreError(f"{url}: no permission to write {path} and its folder")
        with alone_in(path.parent, url):
            refuse_writers(path, url)
            strays = own_leftovers(path)
            for stray in strays:
                refuse_writers(stray, url)  # another process is writing the store just now
                try:
                    stray.unlink()
                except OSError as error:
                    cause = error.strerror or error
                    raise IncompleteError(f"cannot remove {stray}: {cause}") from error
            if strays:
                sync_folder(path.parent)
            tell("looking for lines that are still there")
            n_bytes, stamp = 0, stamp_of(path)
            gone = _places(path, frozenset(ids)) if ids else []
            if gone:
                if path.suffix == ".gz":
                    raise StoreError(f"{url} is gzipped and can only be read; gunzip it first")
                tell("writing the other lines")
                n_bytes = _rewrite(path, gone, stamp, url)
        notes = tuple(
            f"{p.name} lies beside the file and was left; delete it yourself"
            for p in leftovers(path)
        )
        if n_bytes:
            return Purged("copy", n_bytes, notes)
        return Purged("in place" if strays else "nothing", 0, notes)


def is_one_of(line: bytes, ids: frozenset[str]) -> bool:
    """Whether a line is the passage of one of these ids.

    Looked at as bytes first: most lines are long and name none of them.
    """
    found = _ID.findall(line)
    if found and not any(_spelled(i) in ids for i in found):
        return False
    try:
        value = json.loads(line)
    except ValueError:
        return False
    return isinstance(value, dict) and str(value.get("id")) in ids


def _spelled(found: bytes) -> str | None:
    try:
        return str(json.loads(found))
    except ValueError:
        return None


def _path_of(url: str) -> Path:
    path = Path(url.removeprefix("jsonl:")).expanduser().resolve()
    if not path.is_file():
        raise StoreError(f"{url}: {path} does not exist")
    return path


def _lines(path: Path) -> Iterator[Line]:
    try:
        yield from lines_of(path)
    except (OSError, EOFError) as error:
        raise StoreError(f"cannot read {path}: {error}") from error


def _places(path: Path, ids: frozenset[str]) -> list[tuple[int, int]]:
    """Where the lines of these ids start and end."""
    return [
        (line.start, line.start + len(line.content))
        for line in _lines(path)
        if is_one_of(line.content, ids)
    ]


def _rewrite(path: Path, gone: list[tuple[int, int]], stamp: Stamp, url: str) -> int:
    def changed() -> StoreError:
        return StoreError(f"{url} was changed by another program just now; try again")

    try:
        return write_without(path, gone, (), unchanged=stamp, refuse=changed).size
    except OSError as error:
        raise IncompleteError(
            f"cannot write {path}: {error.strerror or error}; the file is as it was"
        ) from error


def _said(path: Path) -> Iterator[bytes]:
    """What the lines of a file say: strings as UTF-8, lists of numbers as float32.

    A backup may be cut off or no JSON at all: what cannot be read is passed over here,
    and seen as bytes.
    """
    for line in _lines(path):
        try:
            yield b"\0".join(_pieces(json.loads(line.content))) + b"\0\n"
        except (ValueError, OverflowError, RecursionError):
            continue


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, str):
        yield value.encode("utf-8", "surrogatepass")
    elif isinstance(value, dict):
        for item in value.values():
            yield from _pieces(item)
    elif isinstance(value, list) and value:
        if {*map(type, value)} <= _NUMBERS:
            with np.errstate(over="ignore"):
                yield np.array(value, dtype=np.float64).astype("<f4").tobytes()
        else:
            for item in value:
                yield from _pieces(item)
