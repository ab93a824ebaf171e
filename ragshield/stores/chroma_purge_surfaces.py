"""What can be searched in an embedded Chroma database: its files, and what they hide."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import StoreError
from ragshield.protocols import Surface
from ragshield.records import Vectors
from ragshield.stores.chroma_purge_index import open_graph
from ragshield.stores.chroma_purge_place import (
    DATABASE,
    HEADER,
    LENGTHS,
    ROWS,
    Place,
    segment_folders,
    store_files,
    translated,
)

_BLOCK = 4 << 20
_ROWS = 1024


def surfaces_of(place: Place) -> tuple[Surface, ...]:
    """All files, the log with texts and vectors decoded, and vectors as Chroma gives them."""
    found = []
    for file in store_files(place.path):
        name = str(file.relative_to(place.path))
        found.append(Surface(name, "file", file.stat().st_size, partial(_file, place, file)))
    if not place.database.is_file():
        return tuple(found)
    log = f"{DATABASE}, table embeddings_queue"
    found.append(Surface(f"{log}, texts", "decoded", None, partial(_log_texts, place)))
    found.append(Surface(f"{log}, vectors", "decoded", None, partial(_log_vectors, place)))
    for folder in segment_folders(place.path):
        if all((folder / name).is_file() for name in (HEADER, ROWS, LENGTHS)):
            name = f"{folder.name}/{ROWS}, vectors as given"
            found.append(Surface(name, "decoded", None, partial(_vectors, place, folder)))
    return tuple(found)


def vector_forms(vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
    """As given, and at length 1 as hnswlib computes it, which it keeps in cosine space."""
    given = np.ascontiguousarray(vectors, dtype="<f4")
    unit, _ = at_length_one(given)
    return _bytes(given), _bytes(unit)


def at_length_one(vectors: Vectors) -> tuple[Vectors, NDArray[np.float32]]:
    """Vectors (n, dim) at length 1, and their lengths (n,), bit for bit as hnswlib has them.

    It adds the squares one after the other, in 32 bits, and multiplies by the inverse.
    """
    squares = np.zeros(len(vectors), dtype=np.float32)
    for column in vectors.T:
        squares += column * column
    length = np.sqrt(squares)
    unit: Vectors = vectors * (np.float32(1) / (length + np.float32(1e-30)))[:, None]
    return unit, length


def _bytes(vectors: Vectors) -> NDArray[np.uint8]:
    return np.ascontiguousarray(vectors).view(np.uint8).reshape(len(vectors), -1)


def _file(place: Place, path: Path) -> Iterator[bytes]:
    with translated(place.url), path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            yield block


def _log_texts(place: Place) -> Iterator[bytes]:
    """Texts and metadata of the log, which keeps them as JSON with its escapes."""
    for rows in _log(place, "metadata"):
        yield "".join(f"{text}\n" for (row,) in rows for text in _texts(row)).encode(
            "utf-8", "surrogatepass"
        )


def _log_vectors(place: Place) -> Iterator[bytes]:
    """Vectors of the log as Chroma gives them from a collection in cosine space."""
    for rows in _log(place, "vector"):
        for (content,) in rows:
            if len(content) % 4 == 0:
                unit, length = at_length_one(np.frombuffer(content, dtype="<f4")[None])
                yield (unit * length[:, None]).tobytes()


def _log(place: Place, column: str) -> Iterator[list[tuple[Any]]]:
    uri = f"{place.database.resolve().as_uri()}?mode=ro"
    with translated(place.url), closing(sqlite3.connect(uri, uri=True, timeout=30)) as database:
        rows = database.execute(
            f"select {column} from embeddings_queue where {column} is not null order by seq_id"
        )
        while part := rows.fetchmany(64):
            yield part


def _texts(metadata: str) -> list[str]:
    try:
        value = json.loads(metadata)
    except ValueError as error:
        raise StoreError(f"the log holds metadata that is not JSON ({error!s:.80})") from error
    return [str(v) for v in value.values()] if isinstance(value, dict) else [str(value)]


def _vectors(place: Place, folder: Path) -> Iterator[bytes]:
    with translated(place.url):
        graph = open_graph(folder, place.url)
        if graph is None:
            return
        lengths = np.fromfile(folder / LENGTHS, dtype="<f4", count=len(graph.rows))
        for start in range(0, len(graph.rows), _ROWS):
            vectors = graph.rows["vector"][start : start + _ROWS]
            with np.errstate(all="ignore"):  # other spaces than cosine have no lengths there
                given = vectors * lengths[start : start + _ROWS, None]
            yield given.tobytes()
