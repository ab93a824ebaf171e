"""A snapshot on disk: a store as it was read once, opened by its folder."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragshield.protocols import Nearest
from ragshield.records import Passage, Vectors
from ragshield.snapshot.layout import ROW, damaged, decoded, key_of, read_manifest
from ragshield.snapshot.memory import DEPTH
from ragshield.snapshot.select import best, nothing_found

PART_ROWS = 2048
"""Rows of a part: small enough to stream, large enough to be worth a task."""

_BLOCK_ROWS = 16_384


class DiskSnapshot:
    """The passages and unit vectors of a store in a folder; only read.

    Texts and vectors stay on disk: a row costs memory only while it is looked at. It
    pickles by its folder, and a process opens each folder once.

    Args:
        folder: a workspace in which reading has ended (`Spool.snapshot` gives one).
        temporary: delete the folder when this is closed or forgotten.

    Raises:
        InputError: the folder holds none, or it is damaged.
    """

    def __init__(self, folder: Path, *, temporary: bool = False) -> None:
        self.folder = folder
        # Deleted also where the opening fails.
        self._finish = weakref.finalize(self, shutil.rmtree, folder, True) if temporary else None
        manifest = read_manifest(folder)
        if manifest.get("state") not in {"read", "partial"}:
            raise damaged(folder, "it holds no store that was read")
        self._token = str(manifest["token"])
        self._n = int(manifest["n"])
        self._dim: int | None = manifest["dim"]
        self._rows = _mapped(folder, "rows.bin", ROW, (self._n,))
        _check_size(folder, "vectors.f32", self._n * (self._dim or 0) * 4)
        self._text: int | None = None
        self._vectors: int | None = None
        self._keys: tuple[NDArray[np.uint64], NDArray[np.intp]] | None = None
        self._nearest: Nearest | None = None
        end = int(self._rows["end"][-1]) if self._n else 0
        if end > (folder / "passages.jsonl").stat().st_size:
            raise damaged(folder, "passages.jsonl is too short")

    def __reduce__(self) -> tuple[Any, ...]:
        return opened, (str(self.folder), self._token)

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None if the store holds none."""
        return self._dim

    @property
    def depth(self) -> int:
        """Neighbours per row."""
        return DEPTH

    @property
    def flags(self) -> NDArray[np.uint8]:
        """What is wrong with each row, see `layout.NO_TEXT` and following; (n,) uint8."""
        return np.array(self._rows["flags"])

    @property
    def digests(self) -> NDArray[np.void]:
        """A hash of everything stored of each row: id, text, source, meta, vector; (n,) V16."""
        return np.array(self._rows["digest"])

    @property
    def keys(self) -> NDArray[np.uint64]:
        """A hash of each row's id; (n,) uint64."""
        return np.array(self._rows["key"])

    def __len__(self) -> int:
        return self._n

    def passages(self, rows: Sequence[int]) -> tuple[Passage, ...]:
        """The passages at these rows, in the order asked."""
        if self._text is None:
            self._text = self._file("passages.jsonl")
        path = self.folder / "passages.jsonl"
        if isinstance(rows, range) and rows.step == 1 and rows:
            # One read for all, as parts are read.
            ends = [self._start(rows[0]), *self._rows["end"][rows[0] : rows[-1] + 1].tolist()]
            text = os.pread(self._text, ends[-1] - ends[0], ends[0])
            return tuple(decoded(text[a - ends[0] : b - ends[0]], path) for a, b in pairwise(ends))
        found = []
        for row in map(int, rows):
            start = self._start(row)
            line = os.pread(self._text, int(self._rows["end"][row]) - start, start)
            found.append(decoded(line, path))
        return tuple(found)

    def unit(self, rows: Sequence[int]) -> Vectors:
        """Their vectors at length 1, a copy; zeros where none is usable."""
        if isinstance(rows, range) and rows.step == 1:
            return read_block(self.folder / "vectors.f32", rows, self._dim or 0)
        if not self._dim:
            return np.zeros((len(rows), 0), dtype=np.float32)
        if self._vectors is None:
            self._vectors = self._file("vectors.f32")
        found = np.empty((len(rows), self._dim), dtype=np.float32)
        size = 4 * self._dim
        for place, row in enumerate(np.asarray(rows, dtype=np.intp).tolist()):
            # Read, not mapped, as in `read_block`.
            os.preadv(self._vectors, [found[place]], row * size)
        return found

    def nearest(self, rows: Sequence[int]) -> Nearest:
        """The nearest other rows of these rows.

        As `neighbours.find` noted them; where it has not run, by comparing with all.
        """
        chosen = np.asarray(rows, dtype=np.intp)
        if self._nearest is None:
            if not (self.folder / "neighbours.json").is_file():
                return self.exact_nearest(chosen)
            shape = (self._n, DEPTH)
            self._nearest = Nearest(
                _mapped(self.folder, "neighbours.i32", np.int32, shape),
                _mapped(self.folder, "neighbours.f32", np.float32, shape),
            )
        return Nearest(
            np.array(self._nearest.rows[chosen]), np.array(self._nearest.similarity[chosen])
        )

    def exact_nearest(self, rows: NDArray[np.intp]) -> Nearest:
        """The nearest other rows, found by comparing with every row of the snapshot."""
        if not self._dim or not len(rows):
            return nothing_found(len(rows), DEPTH)
        asked = self.unit(rows.tolist())
        found = nothing_found(len(rows), DEPTH)
        for start in range(0, self._n, _BLOCK_ROWS):
            block = range(start, min(start + _BLOCK_ROWS, self._n))
            ids = np.arange(block.start, block.stop, dtype=np.int32)
            found = best(asked, rows, self.unit(block), ids, found)
        return found

    def parts(self) -> tuple[range, ...]:
        """Consecutive parts of at most `PART_ROWS` rows."""
        step = PART_ROWS
        return tuple(range(a, min(a + step, self._n)) for a in range(0, self._n, step))

    def rows_of(self, ids: Sequence[str]) -> list[int | None]:
        """The rows of passages with these ids; None where there is none."""
        if self._keys is None:
            keys = self.keys
            order = np.argsort(keys, kind="stable")
            self._keys = keys[order], order
        keys, order = self._keys
        asked = np.array([key_of(passage_id) for passage_id in ids], dtype=np.uint64)
        at = np.searchsorted(keys, asked)
        return [
            int(order[i]) if i < self._n and keys[i] == key else None
            for i, key in zip(at.tolist(), asked.tolist(), strict=True)
        ]

    def again(self) -> DiskSnapshot:
        """The same folder opened anew, after something was added to it."""
        # Whoever had to delete the folder has to delete it still.
        temporary = self._finish is not None and self._finish.detach() is not None
        return DiskSnapshot(self.folder, temporary=temporary)

    def close(self) -> None:
        """Delete the folder if it is temporary; safe to call twice."""
        if self._finish is not None:
            self._finish()

    def _file(self, name: str) -> int:
        descriptor = os.open(self.folder / name, os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        return descriptor

    def _start(self, row: int) -> int:
        return int(self._rows["end"][row - 1]) if row else 0


@lru_cache(maxsize=4)
def opened(folder: str, token: str) -> DiskSnapshot:
    """The snapshot in a folder; a process that asks again is given the same one.

    Raises:
        InputError: another snapshot has taken its place.
    """
    found = DiskSnapshot(Path(folder))
    if found._token != token:
        raise damaged(found.folder, "another scan has used it meanwhile")
    return found


def read_block(path: Path, rows: range, dim: int) -> Vectors:
    """Consecutive rows of a float32 file as a copy.

    Read, not mapped: pages of a mapped file count as this process's memory for as long
    as the system cares to keep them.
    """
    if not len(rows) or not dim:
        return np.zeros((len(rows), dim), dtype=np.float32)
    flat = np.fromfile(path, dtype=np.float32, count=len(rows) * dim, offset=rows.start * dim * 4)
    return flat.reshape(len(rows), dim)


def _mapped(folder: Path, name: str, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    if not (size := int(np.prod(shape)) * np.dtype(dtype).itemsize):
        return np.zeros(shape, dtype=dtype)
    _check_size(folder, name, size)
    # As a plain array: a memmap asks about its file again at every look into it.
    return np.asarray(np.memmap(folder / name, dtype=dtype, mode="r", shape=shape))


def _check_size(folder: Path, name: str, size: int) -> None:
    path = folder / name
    if size and (not path.is_file() or path.stat().st_size < size):
        raise damaged(folder, f"{name} is missing or too short")
