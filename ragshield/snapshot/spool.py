"""Reading a store into a snapshot on disk: in batches, each kept as soon as it was read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, InputError
from ragshield.records import Batch
from ragshield.snapshot.disk import DiskSnapshot
from ragshield.snapshot.layout import (
    ROW,
    damaged,
    encoded,
    read_manifest,
    usable_unit,
    write_manifest,
)

_FILES = ("passages.jsonl", "vectors.f32", "rows.bin")


class Spool:
    """A snapshot while its store is read.

    On a folder where an earlier reading was cut off, the store is read again from its
    beginning; batches that are as they were the first time are not written again, and
    from the first passage on that differs everything is. So the snapshot is always what
    one reading would have given, with nothing twice and nothing left out.

    Args:
        folder: an empty folder, or one in which an earlier reading was cut off.
        url: the store's, checked against that of the earlier reading.

    Raises:
        InputError: the folder is damaged, or of another store.
        IncompleteError: nothing can be written there.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.n = 0
        self.dim: int | None = None
        self.n_repeated = 0
        self.n_verified = 0
        self.n_replaced = 0
        self._manifest: dict[str, Any] = read_manifest(folder)
        if not self._manifest:
            self._manifest = {"url": url, "state": "reading", "dim": None}
            with self._writing():
                write_manifest(folder, self._manifest)
        if self._manifest["url"] != url:
            raise InputError(
                f"the workspace {folder} is of {self._manifest['url']}, not of {url}: "
                "name another, or remove it"
            )
        self._known = self._kept()
        self._verifying = True
        self._seen: set[int] = set()
        self._end = 0
        with self._writing():
            for stale in (*folder.glob("neighbours.*"), *folder.glob("cells.*")):
                stale.unlink()
            for name in _FILES:
                (folder / name).touch(mode=0o600)
            self._files = {
                name: cast("BinaryIO", (folder / name).open("r+b", buffering=0)) for name in _FILES
            }
            if self._manifest["state"] != "reading":
                self._manifest["state"] = "reading"
                write_manifest(folder, self._manifest)

    def _kept(self) -> NDArray[np.void]:
        """Records of an earlier reading whose texts and vectors are whole."""
        path = self.folder / "rows.bin"
        if not path.is_file():
            return np.empty(0, dtype=ROW)
        rows = np.fromfile(path, dtype=ROW, count=path.stat().st_size // ROW.itemsize)
        sizes = {
            name: (self.folder / name).stat().st_size if (self.folder / name).is_file() else 0
            for name in _FILES
        }
        ends = rows["end"].astype(np.int64)
        if len(ends) and (np.diff(ends) <= 0).any():
            raise damaged(self.folder, "rows.bin is out of order")
        n = int(np.searchsorted(ends, sizes["passages.jsonl"], side="right"))
        if (dim := self._manifest["dim"]) is not None:
            n = min(n, sizes["vectors.f32"] // (4 * dim))
        return rows[:n]

    def add(self, batch: Batch) -> None:
        """Keep a batch; passages whose ids came before are left out and counted.

        Raises:
            InputError: vectors of another width than before.
            IncompleteError: the disk is full; what was kept before is intact.
        """
        made = encoded(batch.passages, batch.vectors, 0)
        new = self._new(made.rows["key"])
        if len(new) < len(batch):
            vectors = None if batch.vectors is None else batch.vectors[new]
            batch = Batch(tuple(batch.passages[i] for i in new), vectors)
            made = encoded(batch.passages, batch.vectors, 0)
        if not batch.passages:
            return
        made.rows["end"] += self._end
        if batch.vectors is not None:
            self._widen(int(batch.vectors.shape[1]))
            if batch.vectors.shape[1] != self.dim:
                raise InputError(
                    f"{self._manifest['url']} holds vectors of different widths: "
                    f"{sorted({self.dim or 0, batch.vectors.shape[1]})}"
                )
        known = self._known[self.n : self.n + len(batch)]
        if len(known) == len(batch) and (known == made.rows).all():
            self.n_verified += len(batch)
        else:
            self._write(batch, made.text, made.rows)
        self.n += len(batch)
        self._end = int(made.rows["end"][-1])

    def finish(
        self, *, complete: bool, said: Mapping[str, Any], temporary: bool = False
    ) -> DiskSnapshot:
        """The snapshot, once everything has been read or reading has broken off.

        Args:
            complete: whether everything was read; if not, a later reading goes on.
            said: what to note about the reading, as JSON.
            temporary: delete the folder with the snapshot.

        Raises:
            IncompleteError: the disk is full.
        """
        with self._writing():
            self._cut(self.n)
            for file in self._files.values():
                os.fsync(file.fileno())
                file.close()
            self._manifest |= {"n": self.n, "dim": self.dim, "said": dict(said)}
            self._manifest |= {"state": "read" if complete else "partial"}
            # Tells this reading from another one in the same folder.
            self._manifest["token"] = secrets.token_hex(8)
            write_manifest(self.folder, self._manifest)
        return DiskSnapshot(self.folder, temporary=temporary)

    def close(self) -> None:
        """Let go of the files; what was kept stays."""
        for file in self._files.values():
            file.close()

    def _new(self, keys: NDArray[np.uint64]) -> list[int]:
        """Positions of the ids that did not come before."""
        new = []
        for i, key in enumerate(keys.tolist()):
            if key in self._seen:
                self.n_repeated += 1
            else:
                self._seen.add(key)
                new.append(i)
        return new

    def _widen(self, dim: int) -> None:
        """Take note of the width of vectors when the first one comes."""
        if self.dim is not None:
            return
        self.dim = dim
        if self._manifest["dim"] != dim:
            # Rows before this one have none: zeros, which take no room in a sparse file.
            with self._writing():
                self._cut(self.n)
                self._manifest["dim"] = dim
                write_manifest(self.folder, self._manifest)

    def _write(self, batch: Batch, text: bytes, rows: NDArray[np.void]) -> None:
        with self._writing():
            if self._verifying:
                self._verifying = False
                self.n_replaced = max(0, len(self._known) - self.n)
                self._cut(self.n)
            _write_all(self._files["passages.jsonl"], text)
            if self.dim:
                unit = np.zeros((len(batch), self.dim), dtype=np.float32)
                if batch.vectors is not None:
                    unit = usable_unit(batch.vectors)
                _write_all(self._files["vectors.f32"], unit.data.cast("B"))
            # Last: a row without its record was never kept.
            _write_all(self._files["rows.bin"], rows.tobytes())

    def _cut(self, n: int) -> None:
        """Forget rows from n on, and halves of rows that were never finished."""
        self._known = self._known[:n]
        sizes = (self._end, n * (self.dim or 0) * 4, n * ROW.itemsize)
        for name, size in zip(_FILES, sizes, strict=True):
            self._files[name].truncate(size)
            self._files[name].seek(size)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise IncompleteError(
                f"the workspace {self.folder} cannot be written ({error.strerror or error}): "
                "make room there, or name a --workspace elsewhere"
            ) from error


def _write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while len(rest):
        rest = rest[file.write(rest) :]
