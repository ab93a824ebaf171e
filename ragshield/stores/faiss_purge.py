"""FAISS loses deleted passages: both files are written anew without them, as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, StoreError
from ragshield.protocols import Cost, Purged, Surface
from ragshield.records import Vectors
from ragshield.stores.faiss import Loaded, load, reduced
from ragshield.stores.faiss_files import Pair, finish, is_writable, pair_of, replace_pair
from ragshield.stores.faiss_index import MOST_MENDED, kind_of, read_index, write_index
from ragshield.stores.leftovers import (
    alone_in,
    file_surface,
    leftovers,
    own_leftovers,
    refuse_writers,
    sync_folder,
)
from ragshield.vectors import unit_rows

_BYTES_A_SECOND = 250e6
_PICKLED_A_SECOND = 12e6
_MENDED_S = 0.008
"""Of mending an HNSW graph around one removed node: some 40 lists of links."""
_HNSW_LINKS_A_SECOND = 2e9
"""Rows x dimensions x construction depth that are compared in a second, on two cores."""


class FaissPurge:
    """Write the index and its passages anew without what was deleted; replace both as one.

    A flat or IVF index takes vectors out and is whole again. HNSW cannot: what FAISS
    offers is to search around them, and programs that "delete" drop only the passage and
    leave the vector in the file. So vectors without a passage are taken out too, and
    their nodes out of the graph: links between live rows stay, and those that led to a
    removed node are mended (`faiss_graph`). Where more than a quarter goes, the graph is
    built anew from the vectors that stay, in their order and with the same parameters.
    Either way its search is approximate and may rank a few live rows otherwise than
    before; measured on 10,000 rows, all of 200 top tens stayed after one deletion, 94 %
    after 1 %, and 27 % where the graph was built anew. Programs that have the store
    loaded go on with what they loaded, and write it back if they save: restart them.
    """

    name: ClassVar[str] = "faiss"
    version: ClassVar[int] = 1

    def describe(self, url: str) -> Mapping[str, str]:
        """FAISS's version, the kind of index and of what lies beside it."""
        pair = pair_of(url)
        index = read_index(pair.current(pair.index), url)
        facts = {"store": "faiss", "recipe": f"faiss {self.version}"}
        try:
            facts["faiss-cpu"] = version("faiss-cpu")
        except PackageNotFoundError:
            facts["faiss-cpu"] = "unknown"
        passages = "LangChain docstore" if pair.ending == "pkl" else "JSON lines"
        return {**facts, "index": kind_of(index, url), "passages": passages}

    def files(self, url: str) -> tuple[Path, ...]:
        """Both files, and new forms of them that wait or were left by a killed purge."""
        pair = pair_of(url)
        own = (pair.index, pair.passages)
        found = (*own, *map(pair.new, own), pair.marker)
        return tuple(sorted(path for path in found if path.is_file()))

    def surfaces(self, url: str) -> tuple[Surface, ...]:
        """Its files as they lie there: neither format hides texts or vectors."""
        files = (*self.files(url), *_beside(pair_of(url)))
        return tuple(file_surface(path, path.name) for path in dict.fromkeys(files))

    def untested(self, url: str) -> tuple[str, ...]:
        """What running programs hold: FAISS reads an index whole, and never looks again."""
        return (
            "memory of programs that have the index loaded: until they restart, they answer from "
            "it, and write it back if they save",
        )

    def forms(self, vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
        """As given, and at length 1, as LangChain's `normalize_L2` keeps them."""
        given = np.ascontiguousarray(vectors, dtype="<f4")
        unit = np.ascontiguousarray(unit_rows(given), dtype="<f4")
        return tuple(rows.view(np.uint8).reshape(len(vectors), -1) for rows in (given, unit))

    def cost(self, url: str, n: int) -> Cost:
        """Both files written once; for HNSW, its graph mended or built once more."""
        pair = pair_of(url)
        index = read_index(pair.current(pair.index), url)
        sizes = [pair.current(path).stat().st_size for path in (pair.index, pair.passages)]
        seconds = 0.1 + sizes[0] / _BYTES_A_SECOND + sizes[1] / _PICKLED_A_SECOND
        how = "copy: FAISS writes an index whole, and a pickle can only be written whole"
        if "HNSW" in (kind := kind_of(index, url)):
            mended = n <= MOST_MENDED * index.ntotal
            anew = hnsw_seconds(int(index.ntotal), int(index.d))
            seconds += n * _MENDED_S if mended else anew
            how += f"; {kind}: the graph is {'mended' if mended else 'built anew'}"
        return Cost(seconds, sum(sizes), how)

    def purge(
        self,
        url: str,
        ids: Sequence[str],
        *,
        on_progress: Callable[[str], None] | None = None,
    ) -> Purged:
        """Take out what is left of `ids`, and vectors that no passage belongs to."""
        tell = on_progress or (lambda _: None)
        pair = pair_of(url)
        if not is_writable(pair):
            raise StoreError(f"{url}: no permission to write {pair.folder}")
        with alone_in(pair.folder, url):
            for path in (pair.index, pair.passages):
                refuse_writers(path, url)
            tell("finishing what was left undone")
            mended = finish(pair)
            mended |= _remove_strays(pair)
            tell("reading the index")
            loaded = load(url, pair)
            wanted = frozenset(ids)
            rows = [row for i in wanted if (row := loaded.position.get(i)) is not None]
            gone = np.concatenate([loaded.labels[rows], loaded.orphans])
            hidden = wanted.intersection(loaded.beside.unlabelled)
            notes = _notes(loaded, hidden, pair, url)
            if not len(gone) and not hidden:
                return Purged("in place" if mended else "nothing", 0, notes)
            tell(f"writing the store without {len(gone)} vectors")
            index, beside = reduced(loaded, gone, wanted, url)
            n_bytes = replace_pair(
                pair,
                lambda path: write_index(index, path),
                beside.write,
                unless_changed=loaded.stamps,
            )
        if "HNSW" in kind_of(index, url):
            mended = len(gone) <= MOST_MENDED * len(loaded.all_labels)
            what = "was mended around removed nodes" if mended else "was built anew"
            notes = (*notes, f"the HNSW graph {what}: a few live rows may rank otherwise")
        return Purged("copy", n_bytes, notes)


def hnsw_seconds(n: int, dim: int) -> float:
    """Roughly how long building an HNSW graph takes."""
    return float(n * max(np.log2(max(n, 2)), 1) * dim * 40 / _HNSW_LINKS_A_SECOND)


def _notes(loaded: Loaded, hidden: frozenset[str], pair: Pair, url: str) -> tuple[str, ...]:
    notes = []
    if n_orphans := len(loaded.orphans):
        notes.append(f"{n_orphans} vectors belonged to no passage; taken out")
    if n_left := len(loaded.beside.unlabelled) - len(hidden):
        notes.append(f"{n_left} passages have no vector, so no search finds them; they were left")
    for path in _beside(pair):
        notes.append(f"{path.name} lies beside the store and was left; delete it yourself")
    return tuple(notes)


def _beside(pair: Pair) -> tuple[Path, ...]:
    return (*leftovers(pair.index), *leftovers(pair.passages))


def _remove_strays(pair: Pair) -> bool:
    """Half-written files of killed writes of ours; whether there were any."""
    strays = [
        stray for path in (pair.index, pair.passages, pair.marker) for stray in own_leftovers(path)
    ]
    try:
        for stray in strays:
            stray.unlink()
        if strays:
            sync_folder(pair.folder)
    except OSError as error:
        raise IncompleteError(f"cannot remove {strays[0]}: {error.strerror or error}") from error
    return bool(strays)
