"""LanceDB loses the bytes of deleted rows: only touched fragments are written anew."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, RagshieldError, StoreError
from ragshield.protocols import Cost, Purged, Surface
from ragshield.records import Vectors
from ragshield.stores.lancedb import Place, open_dataset, open_lancedb, place_of
from ragshield.stores.lancedb_surfaces import table_files, table_surfaces, vector_forms

if TYPE_CHECKING:
    from lance import LanceDataset

_BYTES_A_SECOND = 60e6
"""Of writing fragments anew, decoding and encoding included, on one core."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LancePurge:
    """Write the fragments that held deleted rows anew, and drop every older version.

    A delete marks rows in a file beside the data; `optimize()` leaves a fragment alone
    unless more than a tenth of it is marked (measured on lancedb 0.40: every vector of a
    smaller deletion stays on disk for ever). So the fragments with marks, and only those,
    are compacted with a threshold of nothing; Lance takes the dropped rows out of the
    table's indexes by the same commit, without training them anew, so that they rank live
    rows as before (but for HNSW, whose graph Lance builds anew). Then all older versions
    are removed, with files that an interrupted write left behind. Each step is one commit
    of Lance: killed between or within them, the table stays whole, and the next call goes
    on. Lance locks nothing: a program that still reads an older version meanwhile loses the
    files under it and has to open the table again.
    """

    name: ClassVar[str] = "lancedb"
    version: ClassVar[int] = 1

    def describe(self, url: str) -> Mapping[str, str]:
        """Versions of Lance and of the table's file format."""
        facts = {"store": "lancedb", "recipe": f"lancedb {self.version}"}
        for package in ("pylance", "lancedb"):
            try:
                facts[package] = version(package)
            except PackageNotFoundError:
                continue
        facts["file format"] = str(open_dataset(url, place_of(url)).data_storage_version)
        return facts

    def files(self, url: str) -> tuple[Path, ...]:
        """Every file of the table."""
        return table_files(place_of(url))

    def surfaces(self, url: str) -> tuple[Surface, ...]:
        """The table's folders as they lie there, and the columns inside its Lance files."""
        return table_surfaces(url, place_of(url))

    def untested(self, url: str) -> tuple[str, ...]:
        """Other tables that may share its files: nothing where there are none."""
        dataset = open_dataset(url, place_of(url))
        return tuple(f"branch '{name}' of the table" for name in sorted(dataset.branches.list()))

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """As given, at length 1, in 16 bits and in 64."""
        return vector_forms(vectors)

    def cost(self, url: str, n: int) -> Cost:
        """The largest fragments, as many as rows are deleted, and all indexes."""
        place = place_of(url)
        data = sorted((p.stat().st_size for p in place.path.glob("data/*")), reverse=True)
        index = sum(p.stat().st_size for p in place.path.glob("_indices/*/*"))
        n_bytes = sum(data[:n]) + index
        how = f"in place: at most {min(n, len(data))} of {len(data)} data files are written anew"
        if n >= len(data):
            how = "copy: every data file may hold a deleted row, and files are written whole"
        return Cost(0.3 + n_bytes / _BYTES_A_SECOND, n_bytes, how)

    def purge(
        self,
        url: str,
        ids: Sequence[str],
        *,
        on_progress: Callable[[str], None] | None = None,
    ) -> Purged:
        """Write touched fragments anew, then remove every older version."""
        tell = on_progress or (lambda _: None)
        place = place_of(url)
        _check(url, place, open_dataset(url, place))
        with open_lancedb(url, writable=True) as store:
            store.delete(ids)  # type: ignore[attr-defined]
        before = {path: path.stat().st_size for path in table_files(place)}
        dataset = open_dataset(url, place)
        marked, whole = _fragments(dataset)
        with _translated(url):
            if marked:
                tell(f"writing {len(marked)} of {len(marked) + len(whole)} fragments anew")
                rows = max(f.count_rows() for f in dataset.get_fragments() if f.num_deletions)
                dataset.optimize.compact_files(
                    # Neither cut what is one file into many nor merge all into one.
                    target_rows_per_fragment=max(rows, 1),
                    materialize_deletions=True,
                    materialize_deletions_threshold=0.0,
                    defer_index_remap=False,
                    excluded_fragment_ids=whole,
                )
            tell("removing older versions")
            dataset = open_dataset(url, place)
            dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
            _remove_strays(open_dataset(url, place), place)
        _confirm(url, place, ids)
        after = {path: path.stat().st_size for path in table_files(place)}
        if after == before:
            return Purged("nothing", 0)
        n_bytes = sum(size for path, size in after.items() if path not in before)
        return Purged(
            "in place" if whole or not marked else "copy",
            n_bytes,
            _notes(dataset) if marked else (),
        )


def _fragments(dataset: LanceDataset) -> tuple[list[int], list[int]]:
    """Ids of the fragments that hold deleted rows, and of the others."""
    marked: list[int] = []
    whole: list[int] = []
    for fragment in dataset.get_fragments():
        (marked if fragment.num_deletions else whole).append(fragment.fragment_id)
    return marked, whole


def _notes(dataset: LanceDataset) -> tuple[str, ...]:
    graphs = [i.name for i in dataset.describe_indices() if "HNSW" in i.index_type.upper()]
    return tuple(
        f"Lance built the graph of index '{name}' (HNSW) anew: an approximate search through it "
        "may rank a few live rows otherwise than before"
        for name in graphs
    )


def _check(url: str, place: Place, dataset: LanceDataset) -> None:
    for folder in (place.path, *(p for p in place.path.iterdir() if p.is_dir())):
        if not os.access(folder, os.W_OK):
            raise StoreError(f"{url}: no permission to change {folder}")
    if tags := sorted(dataset.tags.list()):
        raise StoreError(
            f"{url}: the tag '{tags[0]}' keeps an old version with all its rows; delete it first "
            f"(table.tags.delete('{tags[0]}')), or nothing can be erased"
        )
    if branches := sorted(dataset.branches.list()):
        raise StoreError(
            f"{url}: the branch '{branches[0]}' keeps rows of its own; delete it first, or "
            "nothing can be erased"
        )


def _remove_strays(dataset: LanceDataset, place: Place) -> None:
    """Remove data and index files that no version knows: left by a write that was killed."""
    known = {str(path) for path in dataset.tracked_files().read_all()["path"].to_pylist()}
    for pattern in ("data/*", "_deletions/*", "_transactions/*", "_indices/*/*"):
        for path in place.path.glob(pattern):
            if path.is_file() and str(path.relative_to(place.path)) not in known:
                path.unlink(missing_ok=True)


def _confirm(url: str, place: Place, ids: Sequence[str]) -> None:
    """Look again, with fresh eyes.

    Raises:
        IncompleteError: something else wrote to the table meanwhile.
    """
    dataset = open_dataset(url, place)
    with open_lancedb(url) as store:
        left = len(store.get(ids).passages)
    if left or _fragments(dataset)[0] or len(dataset.versions()) > 1:
        raise IncompleteError(
            f"{url}: something else wrote to the table while it was purged; stop it, and do "
            "this again"
        )
    n_rows = dataset.count_rows()
    for index in dataset.describe_indices():
        if index.num_rows_indexed > n_rows:
            raise IncompleteError(
                f"{url}: index '{index.name}' still knows {index.num_rows_indexed - n_rows} rows "
                "that were deleted; drop it, purge again, and create it anew"
            )


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except RagshieldError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        full = getattr(error, "errno", None) in _FULL or any(
            os.strerror(number) in str(error) for number in _FULL
        )
        what = "the disk is full" if full else "purging did not finish"
        raise IncompleteError(
            f"{url}: {what} ({reason:.200}); every live row is there, do this again"
        ) from error
