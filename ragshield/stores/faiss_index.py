"""FAISS indexes whose vectors can be read back: what they hold, and the same without some.

Flat, IVF-Flat and HNSW-Flat, each with or without labels of its own (IDMap). Anything
that keeps vectors compressed cannot give them back and is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import IncompleteError, MissingExtraError, StoreError
from ragshield.records import Vector, Vectors
from ragshield.stores.faiss_graph import remove_nodes

MOST_MENDED = 0.25
"""Share of an HNSW graph's nodes above which it is built anew, which is quicker then."""


class Kept(NamedTuple):
    """What an index holds, in the order of its labels as far as it has an order.

    Attributes:
        labels: (n,) int64, what its search gives for a vector.
        vectors: (n, dim) float32.
    """

    labels: NDArray[np.int64]
    vectors: Vectors


def library() -> Any:
    """The module faiss.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError("faiss: needs faiss-cpu: pip install 'ragshield[faiss]'") from error
    return faiss


def read_index(path: Path, url: str) -> Any:
    """Read an index file.

    Raises:
        StoreError: it cannot be read, or is of a kind that compresses vectors.
    """
    faiss = library()
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        cause = str(error).strip().splitlines()[-1]
        raise StoreError(
            f"{url}: {path.name} is damaged or no FAISS index ({cause:.120})"
        ) from error
    inner(index, url)
    return index


def write_index(index: Any, path: Path) -> None:
    """Write an index file.

    Raises:
        IncompleteError: the disk is full or refuses.
    """
    try:
        library().write_index(index, str(path))
    except RuntimeError as error:
        cause = str(error).strip().splitlines()[-1]
        raise IncompleteError(f"cannot write {path} ({cause:.120})") from error


def inner(index: Any, url: str) -> Any:
    """The index itself, below labels of its own.

    Raises:
        StoreError: of a kind that cannot give its vectors back.
    """
    faiss = library()
    found = index
    if isinstance(index, faiss.IndexIDMap | faiss.IndexIDMap2):
        found = faiss.downcast_index(index.index)
    readable = (faiss.IndexFlat, faiss.IndexIVFFlat, faiss.IndexHNSWFlat)
    # A subclass may pack vectors otherwise (IndexIVFFlatDedup, IndexFlatPanorama).
    names = {"IndexFlat", "IndexFlatL2", "IndexFlatIP", "IndexIVFFlat", "IndexHNSWFlat"}
    if not isinstance(found, readable) or type(found).__name__ not in names:
        raise StoreError(
            f"{url}: the index is a {type(found).__name__}, whose vectors cannot be read back "
            "one by one; Flat, IVF-Flat and HNSW-Flat can, with or without IDMap"
        )
    return found


def kind_of(index: Any, url: str) -> str:
    """`Flat`, `IVFFlat` or `HNSWFlat`, with `IDMap, ` before it where labels are its own."""
    name = type(inner(index, url)).__name__.removeprefix("Index")
    name = "Flat" if name.startswith("Flat") else name
    return name if inner(index, url) is index else f"IDMap, {name}"


def kept(index: Any, url: str) -> Kept:
    """Labels and vectors, in order of insertion; those of an IVF index by label."""
    faiss = library()
    core = inner(index, url)
    if isinstance(core, faiss.IndexIVFFlat):
        labels, vectors = _of_lists(core)
    else:
        labels = np.arange(core.ntotal, dtype=np.int64)
        vectors = core.reconstruct_n(0, core.ntotal) if core.ntotal else _no_rows(core.d)
    if core is not index:
        own = faiss.vector_to_array(index.id_map).astype(np.int64)
        labels = own[labels]
    return Kept(labels, np.ascontiguousarray(vectors, dtype=np.float32))


def is_positional(index: Any, url: str) -> bool:
    """Whether labels are positions, so that those behind a removed one move up."""
    core = inner(index, url)
    if core is not index:
        return False
    labels = np.sort(kept(index, url).labels)
    return bool((labels == np.arange(len(labels))).all())


def without(index: Any, gone: NDArray[np.int64], url: str) -> Any:
    """The index without the vectors of some labels.

    A flat index takes them out. An IVF index keeps its centroids and the order within
    its lists; labels that are positions move up, as in a flat one. An HNSW graph is
    mended around them; where more than a quarter goes (`MOST_MENDED`), it is built anew
    from the others, in their order and with the same parameters.

    Args:
        index: may be changed.
        gone: labels to take out.
        url: for error messages.
    """
    faiss = library()
    core = inner(index, url)
    if isinstance(core, faiss.IndexHNSWFlat):
        held = kept(index, url)
        out = np.isin(held.labels, gone)
        if out.sum() <= MOST_MENDED * len(out):
            remove_nodes(faiss, core, np.flatnonzero(out))
            if core is not index:
                _relabel(index, held.labels[~out])
            return index
        new = _empty_hnsw(core)
        if core is index:
            if not out.all():
                new.add(held.vectors[~out])
            return new
        wrapped = type(index)(new)
        new.this.disown()
        wrapped.own_fields = True
        if not out.all():
            wrapped.add_with_ids(held.vectors[~out], held.labels[~out])
        return wrapped
    if core is index and isinstance(core, faiss.IndexIVFFlat) and is_positional(index, url):
        _shorten_lists(core, gone)
        return index
    index.remove_ids(faiss.IDSelectorBatch(np.ascontiguousarray(gone, dtype=np.int64)))
    return index


def nearest(index: Any, question: Vector, k: int) -> NDArray[np.int64]:
    """Labels of the nearest vectors, as the index's own search gives them, best first."""
    _, labels = index.search(question.reshape(1, -1), k)
    found: NDArray[np.int64] = labels[0][labels[0] >= 0].astype(np.int64)
    return found


def _relabel(index: Any, labels: NDArray[np.int64]) -> None:
    faiss = library()
    faiss.copy_array_to_vector(np.ascontiguousarray(labels, dtype=np.int64), index.id_map)
    if isinstance(index, faiss.IndexIDMap2):
        index.construct_rev_map()
    index.ntotal = len(labels)


def _empty_hnsw(core: Any) -> Any:
    faiss = library()
    new = faiss.IndexHNSWFlat(core.d, core.hnsw.nb_neighbors(1), core.metric_type)
    new.metric_arg = core.metric_arg
    for name in ("efConstruction", "efSearch", "check_relative_distance", "search_bounded_queue"):
        setattr(new.hnsw, name, getattr(core.hnsw, name))
    new.keep_max_size_level0 = core.keep_max_size_level0
    return new


def _of_lists(core: Any) -> tuple[NDArray[np.int64], Vectors]:
    labels, vectors = [np.zeros(0, dtype=np.int64)], [_no_rows(core.d)]
    for number in range(core.nlist):
        ids, codes = _list(core, number)
        labels.append(ids)
        vectors.append(codes.view(np.float32).reshape(len(ids), core.d))
    all_labels = np.concatenate(labels)
    order = np.argsort(all_labels, kind="stable")
    return all_labels[order], np.concatenate(vectors)[order]


def _list(core: Any, number: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """A copy of one list: labels (n,) and bytes of its vectors (n, 4 * dim)."""
    faiss = library()
    lists = core.invlists
    n, width = lists.list_size(number), lists.code_size
    if not n:
        return np.zeros(0, dtype=np.int64), np.zeros((0, width), dtype=np.uint8)
    ids_at, codes_at = lists.get_ids(number), lists.get_codes(number)
    try:
        ids = faiss.rev_swig_ptr(ids_at, n).copy()
        codes = faiss.rev_swig_ptr(codes_at, n * width).reshape(n, width).copy()
    finally:
        lists.release_ids(number, ids_at)
        lists.release_codes(number, codes_at)
    return ids, codes


def _shorten_lists(core: Any, gone: NDArray[np.int64]) -> None:
    faiss = library()
    stay = np.ones(core.ntotal, dtype=bool)
    stay[gone] = False
    moved = np.cumsum(stay) - 1
    kind = core.direct_map.type
    core.set_direct_map_type(faiss.DirectMap.NoMap)
    new = faiss.ArrayInvertedLists(core.nlist, core.invlists.code_size)
    for number in range(core.nlist):
        ids, codes = _list(core, number)
        left = stay[ids]
        if left.any():
            new_ids = np.ascontiguousarray(moved[ids[left]], dtype=np.int64)
            rows = np.ascontiguousarray(codes[left])
            n = len(new_ids)
            new.add_entries(number, n, faiss.swig_ptr(new_ids), faiss.swig_ptr(rows))
    core.replace_invlists(new, True)
    new.this.disown()
    core.ntotal = int(stay.sum())
    core.set_direct_map_type(kind)


def _no_rows(dim: int) -> Vectors:
    return np.zeros((0, dim), dtype=np.float32)
