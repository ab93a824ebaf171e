"""What a Lance table keeps on disk: its files, and the columns compressed inside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import StoreError
from ragshield.protocols import Surface
from ragshield.records import Vectors
from ragshield.stores.lancedb import Place
from ragshield.vectors import unit_rows

PIECE = 4 << 20
"""Bytes that are read at a time."""

_FOLDERS = ("data", "_deletions", "_indices", "_transactions", "_versions")
_LANCE = frozenset({".lance", ".idx"})


def table_files(place: Place) -> tuple[Path, ...]:
    """Every file of the table, sorted."""
    return tuple(sorted(p for p in place.path.rglob("*") if p.is_file()))


def table_surfaces(url: str, place: Place) -> tuple[Surface, ...]:
    """One surface a folder of the table, and one for what its Lance files hide.

    Lance names files anew whenever it writes, so that single files would not be the same
    at the next look.
    """
    files = table_files(place)
    groups: dict[str, list[Path]] = {name: [] for name in _FOLDERS}
    for path in files:
        top = path.relative_to(place.path).parts[0]
        groups.setdefault(top if (place.path / top).is_dir() else "other files", []).append(path)
    surfaces = [
        Surface(f"{place.path.name}/{name}", "file", _size(group), _reader(_raw, url, group))
        for name, group in groups.items()
    ]
    for name in ("data", "_indices"):
        coded = [path for path in groups[name] if path.suffix in _LANCE]
        surfaces.append(
            Surface(
                f"{place.path.name}/{name}, columns decoded",
                "decoded",
                None,
                _reader(_decoded, url, coded),
            )
        )
    return tuple(surfaces)


def vector_forms(vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
    """The bytes of vectors as Lance and its indexes may hold them.

    As given, at length 1 (an index by cosine keeps them so, and its lengths may be a
    rounding away from ours), in 16 and in 64 bits.
    """
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float32))[:, None]
    lengths = np.where(lengths > 0, lengths, np.float32(1)).astype(np.float32)
    forms: list[NDArray[Any]] = [rows, unit_rows(rows)]
    for length in (lengths, np.nextafter(lengths, np.float32(0)), np.nextafter(lengths, np.inf)):
        forms.append((rows / length.astype(np.float32)).astype(np.float32))
    with np.errstate(over="ignore"):
        forms += [rows.astype(np.float16), rows.astype(np.float64)]
    seen: dict[bytes, NDArray[np.uint8]] = {}
    for form in forms:
        as_bytes = np.ascontiguousarray(form).view(np.uint8).reshape(len(rows), -1)
        seen.setdefault(as_bytes.tobytes(), as_bytes)
    return tuple(seen.values())


def _size(paths: Sequence[Path]) -> int:
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # compacted by someone else meanwhile
            continue
    return total


def _reader(
    how: Callable[[Path], Iterator[bytes]], url: str, paths: Sequence[Path]
) -> Callable[[], Iterator[bytes]]:
    def blocks() -> Iterator[bytes]:
        for path in paths:
            try:
                yield from how(path)
            except (OSError, ValueError, RuntimeError) as error:
                reason = str(error).strip().splitlines()[0]
                raise StoreError(f"{url}: cannot read {path.name}: {reason:.200}") from error

    return blocks


def _raw(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _decoded(path: Path) -> Iterator[bytes]:
    """Every row that a Lance file holds, deleted ones too, in Arrow's plain layout."""
    from lance.file import LanceFileReader

    reader = LanceFileReader(str(path))
    if reader.num_rows() == 0:
        return
    for batch in reader.read_all(batch_size=1024).to_batches():
        body = memoryview(batch.serialize())
        for start in range(0, len(body), PIECE):
            yield bytes(body[start : start + PIECE])
