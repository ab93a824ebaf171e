"""A folder, or one file, of any kind of store: its files, and what their formats hide."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import StoreError, UsageError
from ragshield.protocols import Surface
from ragshield.records import Vectors
from ragshield.residue.databases import database_values, unmerged_indexes
from ragshield.residue.decoding import decoder_of
from ragshield.residue.forms import binary_forms

_BLOCK = 4 << 20
_SAMPLE = 1 << 16
_LEAST_SAMPLE = 1 << 14
_RANDOM_BITS = 7.95


class Folder:
    """The reading half of a `Recipe` for files of which nothing is known beforehand.

    Every file is looked at as it lies there. Those in a format that hides its contents
    (gzip, bzip2, xz, Zstandard, zip, pickle, SQLite, Parquet, Arrow, Lance) are decoded
    and looked at once more. Nothing is executed: pickles are read, not loaded.

    Args:
        path: a folder, with all folders below it, or one file. A file's neighbours that
            begin with its name belong to it (`x.sqlite3-wal`, `x.jsonl~`).
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def at(cls, name: str) -> Folder:
        """The folder or file with this name.

        Raises:
            UsageError: there is none.
        """
        path = Path(name).expanduser()
        if not name or not path.exists():
            raise UsageError(f"'{name}' does not exist; name a folder or a file")
        return cls(path)

    def describe(self, url: str) -> Mapping[str, str]:
        """Nothing is known but that it is files."""
        return {"kind": "files"}

    def files(self, url: str = "") -> tuple[Path, ...]:
        """Every regular file, sorted; links are not followed."""
        if self._path.is_dir():
            found = [path for path in self._path.rglob("*") if _is_regular(path)]
        else:
            name = self._path.name
            found = [p for p in self._path.parent.glob("*") if p.name.startswith(name)]
            found = [path for path in found if _is_regular(path)]
        return tuple(sorted(found))

    def surfaces(self, url: str = "") -> tuple[Surface, ...]:
        """The files as they lie there, then what is in those that have to be decoded."""
        files = self.files()
        raw = [
            Surface(self._name(path), "file", _size(path), partial(blocks_of, path))
            for path in files
        ]
        decoded = []
        for path in files:
            decoder = decoder_of(path)
            if decoder is not None:
                name = f"{self._name(path)} ({decoder.what})"
                decoded.append(Surface(name, "decoded", None, partial(decoder.blocks, path)))
        return (*raw, *decoded)

    def untested(self, url: str = "") -> tuple[str, ...]:
        """Links, files that look compressed or encrypted, full-text indexes not merged."""
        places = [
            f"{self._name(path)}: it is a link; look at what it leads to by its own name"
            for path in (sorted(self._path.rglob("*")) if self._path.is_dir() else ())
            if path.is_symlink()
        ]
        for path in self.files():
            decoder = decoder_of(path)
            if decoder is not None and decoder.blocks is database_values:
                places += [
                    f"{self._name(path)}: words of deleted rows in unmerged full-text index '{x}'"
                    for x in unmerged_indexes(path)
                ]
            if decoder is None and looks_random(path):
                places.append(
                    f"{self._name(path)}: it looks compressed or encrypted, in no format known here"
                )
        return tuple(places)

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """Every form that some store is known to use."""
        return binary_forms(vectors)

    def _name(self, path: Path) -> str:
        top = self._path if self._path.is_dir() else self._path.parent
        return path.relative_to(top).as_posix()


def blocks_of(path: Path) -> Iterator[bytes]:
    """A file's bytes in blocks.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block
    except OSError as error:
        raise StoreError(f"cannot read {path.name}: {error.strerror or error}") from error


def looks_random(path: Path) -> bool:
    """Whether the first 64 KiB have no structure that a byte count shows.

    Plain numbers and texts do, compressed and encrypted bytes and product-quantised
    vectors do not: under 7.95 bits a byte, the most that vectors of numbers reach is 7.
    """
    try:
        with path.open("rb") as file:
            sample = np.frombuffer(file.read(_SAMPLE), dtype=np.uint8)
    except OSError:
        return False  # reading it as a surface says so
    if len(sample) < _LEAST_SAMPLE:
        return False
    share = np.bincount(sample, minlength=256) / len(sample)
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum()) > _RANDOM_BITS


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
