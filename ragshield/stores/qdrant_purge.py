"""Qdrant's local mode loses the bytes of deleted points."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import StoreError
from ragshield.protocols import Cost, Purged, Surface
from ragshield.records import Vectors
from ragshield.stores.leftovers import decoded_surface, file_surface
from ragshield.stores.qdrant import Place, locked, open_qdrant, place_of
from ragshield.stores.qdrant_points import pickled_vectors
from ragshield.stores.sqlite_purge import SqlitePurge
from ragshield.vectors import unit_rows

_BYTES_A_SECOND = 200e6


class QdrantPurge:
    """Zero, page by page, what no point uses in the SQLite file of Qdrant's local mode.

    Each point is a pickle in a row of that file. Whether a delete overwrites it depends on
    how the SQLite of that Python was built (`secure_delete`), and copies of rows that moved
    between pages stay in any case. So the file is purged as any SQLite file is (see
    `sqlite_purge`), while the client's own lock keeps Qdrant clients out.
    """

    name: ClassVar[str] = "qdrant"
    version: ClassVar[int] = 1

    def describe(self, url: str) -> Mapping[str, str]:
        """Versions of SQLite and of Qdrant's client."""
        facts = {"store": "qdrant, local mode", "recipe": f"qdrant {self.version}"}
        with suppress(PackageNotFoundError):
            facts["qdrant-client"] = version("qdrant-client")
        return {**facts, "sqlite": sqlite3.sqlite_version}

    def files(self, url: str) -> tuple[Path, ...]:
        """The collection's files, and the list of collections."""
        place = place_of(url)
        own = (p for p in place.file.parent.rglob("*") if p.is_file())
        return tuple(sorted([*own, place.folder / "meta.json"]))

    def surfaces(self, url: str) -> tuple[Surface, ...]:
        """Each file as it lies there, and the points with their pickles read."""
        place = place_of(url)
        files = [file_surface(p, str(p.relative_to(place.folder))) for p in self.files(url)]
        return (*files, decoded_surface("points, read", partial(_read, url)))

    def untested(self, url: str) -> tuple[str, ...]:
        """Nothing: all of a collection lies in its folder."""
        place_of(url)
        return ()

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """As 32 and 64 bits, and as numbers of a pickle; each as given and at length 1."""
        forms: list[NDArray[np.uint8]] = []
        for rows in (np.ascontiguousarray(vectors, dtype=np.float32), unit_rows(vectors)):
            forms += [
                rows.view(np.uint8).reshape(len(rows), -1),
                rows.astype(np.float64).view(np.uint8).reshape(len(rows), -1),
                pickled_vectors(rows),
            ]
        return tuple(forms)

    def cost(self, url: str, n: int) -> Cost:
        """Reading the whole file, and zeroing little of it."""
        size = place_of(url).file.stat().st_size
        return Cost(0.1 + 2 * size / _BYTES_A_SECOND, 8192 * (n + 1), "in place")

    def purge(
        self,
        url: str,
        ids: Sequence[str],
        *,
        on_progress: Callable[[str], None] | None = None,
    ) -> Purged:
        """Delete what is still there, and zero what no point uses."""
        place = place_of(url)
        _check_legacy(url, place)
        with open_qdrant(url, writable=True) as store:
            n_deleted = store.delete(ids)  # type: ignore[attr-defined]
        with locked(url, place.folder):
            # Its points are never read as texts: only the pages of the file matter here.
            file = f"sqlite:{place.file.resolve()}#points?id=id&text=point"
            purged = SqlitePurge().purge(file, (), on_progress=on_progress)
        if n_deleted and purged.how == "nothing":
            return Purged("in place", n_deleted * 4096, purged.notes)
        return purged


def _check_legacy(url: str, place: Place) -> None:
    for path in place.file.parent.glob("storage.dbm*"):
        raise StoreError(
            f"{url}: {path.name} is the storage of a Qdrant client before 1.1.7, left behind when "
            "it was converted; it still holds every point of that time: remove it first"
        )


def _read(url: str) -> Iterator[bytes]:
    with open_qdrant(url) as store:
        for batch in store.batches(1000):
            lines = [
                json.dumps([p.id, p.source, dict(p.meta)], ensure_ascii=False, default=str)
                for p in batch.passages
            ]
            texts = [passage.text for passage in batch.passages]
            yield "\n".join([*lines, *texts]).encode("utf-8", "surrogatepass")
            if batch.vectors is not None:
                yield np.ascontiguousarray(batch.vectors).tobytes()
