"""FAISS in a folder: `faiss:FOLDER` or `faiss:FOLDER#NAME`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError, StoreError, UsageError
from ragshield.files import check_writable
from ragshield.protocols import Neighbours
from ragshield.records import Batch, Finding, Hit, Vector, Vectors
from ragshield.stores.exact import (
    check_addition,
    check_question_vector,
    check_size,
    healthy,
    refuse_existing,
    search_exactly,
)
from ragshield.stores.faiss_files import Pair, Stamp, finish, pair_of, replace_pair
from ragshield.stores.faiss_index import (
    is_positional,
    kept,
    library,
    nearest,
    read_index,
    without,
    write_index,
)
from ragshield.stores.faiss_passages import Docstore, Lines, Passages
from ragshield.stores.leftovers import alone_in, refuse_writers
from ragshield.vectors import cosines


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A store as it was read.

    Attributes:
        stamps: of the files it was read from.
        index: FAISS's own object.
        all_labels: of the index, in its order.
        beside: what lies beside it.
        batch: passages that can be retrieved, with their vectors, by label.
        labels: (n,) int64, theirs.
        position: the row of each id.
        usable: (n,) bool, which rows have a direction.
        is_unit: whether all of those have length 1.
    """

    stamps: tuple[Stamp, Stamp]
    index: Any
    all_labels: NDArray[np.int64]
    beside: Passages
    batch: Batch
    labels: NDArray[np.int64]
    position: dict[str, int]
    usable: NDArray[np.bool_]
    is_unit: bool

    @property
    def orphans(self) -> NDArray[np.int64]:
        """Labels of vectors without a passage: what a half-done deletion leaves."""
        found: NDArray[np.int64] = np.setdiff1d(self.all_labels, self.labels)
        return found


class FaissStore:
    """A FAISS index with its passages; Flat, IVF-Flat and HNSW-Flat, with or without IDMap.

    The passages come from `index.pkl` as LangChain's `FAISS.save_local` writes it, which
    is read without running anything that it names, or from `index.jsonl`, one passage a
    line, line i for vector i. A vector without a passage, or a passage without a vector,
    cannot be retrieved and counts as not there. Search is FAISS's own, so an IVF or HNSW
    index finds what it finds for your program; where it finds fewer than asked for, all
    vectors are compared.
    """

    def __init__(self, url: str, pair: Pair) -> None:
        self._url = url
        self._pair = pair
        self._lock = threading.RLock()
        self._loaded: Loaded | None = None
        self._load()

    @property
    def url(self) -> str:
        """The URL it was opened with."""
        return self._url

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None while it is empty."""
        loaded = self._load()
        return int(loaded.index.d) if len(loaded.batch) else None

    def count(self) -> int:
        """Number of passages."""
        return len(self._load().batch)

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        """All passages in the order of their vectors, as they were when first asked for."""
        check_size(size)
        batch = self._load().batch
        for start in range(0, len(batch), size):
            yield _rows(batch, range(start, min(start + size, len(batch))))

    def get(self, ids: Sequence[str]) -> Batch:
        """The passages with these ids that exist, in the order asked."""
        loaded = self._load()
        return _rows(loaded.batch, [loaded.position[i] for i in ids if i in loaded.position])

    def search(self, vector: Vector, k: int) -> Neighbours:
        """The k nearest passages as the index finds them.

        Where all vectors have length 1 they are ordered by similarity, ties in stored
        order; with other vectors the index's order stays (by distance or dot product).
        """
        with self._lock:  # an index is not made to be searched from many threads
            loaded = self._load()
            question = check_question_vector(self._url, vector, k, self.dim)
            n_usable, n_all = int(loaded.usable.sum()), int(loaded.index.ntotal)
            labels = nearest(loaded.index, question, min(k + n_all - n_usable, n_all))
        batch = loaded.batch
        if batch.vectors is None:
            return Neighbours((), np.zeros((0, len(question)), dtype=np.float32))
        at = np.minimum(np.searchsorted(loaded.labels, labels), len(loaded.labels) - 1)
        rows = at[loaded.labels[at] == labels]
        rows = rows[loaded.usable[rows]]
        if len(rows) < min(k, n_usable):
            return search_exactly(batch.passages, batch.vectors, question, k)
        similarity = cosines(batch.vectors[rows], question)
        if loaded.is_unit:
            order = np.lexsort((rows, -similarity))
            rows, similarity = rows[order], similarity[order]
        rows, similarity = rows[:k], similarity[:k]
        hits = (Hit(batch.passages[i], float(s)) for i, s in zip(rows, similarity, strict=True))
        return Neighbours(tuple(hits), batch.vectors[rows])

    def configuration_findings(self) -> list[Finding]:
        """None: there is no configuration."""
        return []

    def close(self) -> None:
        """Forget what was loaded."""
        with self._lock:
            self._loaded = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _load(self) -> Loaded:
        with self._lock:
            if self._loaded is None or self._loaded.stamps != self._pair.stamps():
                self._loaded = load(self._url, self._pair)
            return self._loaded


class MutableFaissStore(FaissStore):
    """A FAISS index that can be changed: each change writes both files anew, as one.

    A deletion leaves nothing in the files; how an HNSW graph loses nodes is told in
    `faiss_index.without`.
    """

    def add(self, batch: Batch) -> None:
        """Insert passages with their vectors; all or nothing."""
        if not batch.passages:
            return
        with self._changing() as loaded:
            vectors = check_addition(batch, int(loaded.index.d))
            ids = [passage.id for passage in batch.passages]
            refuse_existing([i for i in ids if i in loaded.position])
            positional = is_positional(loaded.index, self._url)
            start = loaded.index.ntotal
            if not positional and start:
                start = int(loaded.all_labels.max()) + 1
            labels = np.arange(start, start + len(batch), dtype=np.int64)
            beside = loaded.beside.plus(dict(zip(labels.tolist(), batch.passages, strict=True)))
            if positional:
                loaded.index.add(vectors)
            else:
                loaded.index.add_with_ids(vectors, labels)
            self._write(loaded, loaded.index, beside)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove passages; returns how many there were."""
        with self._changing() as loaded:
            gone = [i for i in dict.fromkeys(ids) if i in loaded.position]
            if gone:
                rows = [loaded.position[i] for i in gone]
                self._write(
                    loaded, *reduced(loaded, loaded.labels[rows], frozenset(gone), self._url)
                )
            return len(gone)

    def _write(self, loaded: Loaded, index: Any, beside: Passages) -> None:
        replace_pair(
            self._pair,
            lambda path: write_index(index, path),
            beside.write,
            unless_changed=loaded.stamps,
        )

    @contextmanager
    def _changing(self) -> Iterator[Loaded]:
        """The store as it is now, while no other change of ragshield's is under way."""
        with self._lock, alone_in(self._pair.folder, self._url):
            for path in (self._pair.index, self._pair.passages):
                refuse_writers(path, self._url)
            finish(self._pair)
            try:
                yield self._load()
            finally:
                self._loaded = None  # its index may be half changed


def load(url: str, pair: Pair) -> Loaded:
    """Read both files.

    Raises:
        StoreError: one is missing, damaged or of a kind that cannot be read.
        InputError: an id is there twice.
    """
    stamps = pair.stamps()
    index = read_index(pair.current(pair.index), url)
    held = kept(index, url)
    path = pair.current(pair.passages)
    beside: Passages = (
        Docstore.read(path, url) if pair.ending == "pkl" else Lines.read(path, url, held.labels)
    )
    rows = [i for i in np.argsort(held.labels).tolist() if int(held.labels[i]) in beside.labels]
    labels, vectors = held.labels[rows], held.vectors
    if rows != list(range(len(vectors))):  # else another copy would only take memory
        vectors = vectors[rows]
    passages = tuple(beside.labels[label] for label in labels.tolist())
    position: dict[str, int] = {}
    for i, passage in enumerate(passages):
        if passage.id in position:
            raise InputError(f"{url}: id '{passage.id}' belongs to two vectors; ids must be unique")
        position[passage.id] = i
    usable = healthy(vectors)
    lengths = np.linalg.norm(vectors[usable], axis=1)
    return Loaded(
        stamps=stamps,
        index=index,
        all_labels=held.labels,
        beside=beside,
        batch=Batch(passages, vectors if len(passages) else None),
        labels=labels,
        position=position,
        usable=usable,
        is_unit=bool((np.abs(lengths - 1) < 1e-3).all()),
    )


def reduced(
    loaded: Loaded, gone: NDArray[np.int64], ids: frozenset[str], url: str
) -> tuple[Any, Passages]:
    """Index and passages without some labels, and without unlabelled passages of these ids.

    The loaded index may be changed.
    """
    moved = is_positional(loaded.index, url)
    stay = loaded.all_labels[~np.isin(loaded.all_labels, gone)].tolist()
    beside = loaded.beside.without(ids, frozenset(gone.tolist()), stay, moved=moved)
    return without(loaded.index, gone, url), beside


def open_faiss(
    url: str, *, writable: bool = False, trust_collection_config: bool = False
) -> FaissStore:
    """Open `faiss:FOLDER`: an index with LangChain's docstore or JSON lines beside it.

    Raises:
        StoreError: not there, damaged, or an index that compresses its vectors.
        MissingExtraError: faiss is not installed.
    """
    del trust_collection_config  # the pickle is read without running anything it names
    library()
    pair = pair_of(url)
    if not writable:
        return FaissStore(url, pair)
    check_writable(pair.index)
    check_writable(pair.passages)
    return MutableFaissStore(url, pair)


def create_faiss(
    folder: str | Path,
    batches: Batch | Iterable[Batch],
    *,
    kind: str = "Flat",
    name: str = "index",
    lines: bool = False,
    replace: bool = False,
) -> MutableFaissStore:
    """Make a store as LangChain's `FAISS.save_local` does; compares by distance (L2).

    Args:
        folder: where to; made if it is not there.
        batches: what to fill it with; all are read before the index is made.
        kind: as FAISS's `index_factory` takes it: `Flat`, `HNSW32`, `IVF64,Flat`,
            `IDMap,Flat` (not with LangChain).
        name: of both files, without ending.
        lines: keep passages in `NAME.jsonl`, not in LangChain's `NAME.pkl`.
        replace: write over a store of this name.

    Raises:
        StoreError: it exists and `replace` is off.
        InputError: no passages, or unusable ones.
    """
    faiss, folder = library(), Path(folder).expanduser()
    url = f"faiss:{folder}#{name}"
    pair = Pair(folder, name, "jsonl" if lines else "pkl")
    if not replace and (pair.index.exists() or pair.passages.exists()):
        raise StoreError(f"{url} exists already; pass replace=True to make it anew")
    parts = [batches] if isinstance(batches, Batch) else list(batches)
    passages = tuple(passage for part in parts for passage in part.passages)
    if not passages or any(part.vectors is None for part in parts):
        raise InputError(f"{url}: an index is made of at least one passage, each with a vector")
    vectors: Vectors = np.vstack([part.vectors for part in parts if part.vectors is not None])
    vectors = check_addition(Batch(passages, vectors), None)
    try:
        index = faiss.index_factory(vectors.shape[1], kind)
    except RuntimeError as error:
        raise UsageError(
            f"faiss knows no index '{kind}'; write Flat, HNSW32 or IVF64,Flat"
        ) from error
    labels = np.arange(len(passages), dtype=np.int64)
    index.train(vectors)
    if kind.startswith("IDMap"):
        index.add_with_ids(vectors, labels)
    else:
        index.add(vectors)
    empty: Passages = Lines([], [], []) if lines else Docstore.empty(url)
    beside = empty.plus(dict(zip(labels.tolist(), passages, strict=True)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_index(index, pair.index)
        with pair.passages.open("wb") as file:
            beside.write(file)
    except OSError as error:
        raise StoreError(f"cannot make {folder}: {error.strerror or error}") from error
    return MutableFaissStore(url, pair)


def _rows(batch: Batch, rows: Sequence[int]) -> Batch:
    vectors = None if batch.vectors is None else batch.vectors[list(rows)]
    return Batch(tuple(batch.passages[i] for i in rows), vectors)
