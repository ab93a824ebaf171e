"""LanceDB: `lancedb:FOLDER#TABLE`, a table in a local folder.

Tables are read and written with Lance itself (pylance), which LanceDB is built on.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from ragshield.errors import InputError, MissingExtraError, StoreError, UsageError
from ragshield.protocols import Neighbours
from ragshield.records import Batch, Finding, Hit, Vector
from ragshield.stores.columns import Columns, split_options
from ragshield.stores.exact import (
    check_addition,
    check_question_vector,
    check_size,
    healthy,
    refuse_existing,
)
from ragshield.stores.lancedb_rows import columns_of, from_arrow, new_table, to_arrow, vectors_of
from ragshield.vectors import cosines

if TYPE_CHECKING:
    from lance import LanceDataset

_PAGE = 1024


class Place(NamedTuple):
    """What a URL names: the database's folder, the table, and options."""

    folder: Path
    table: str
    options: Mapping[str, str]

    @property
    def path(self) -> Path:
        """The table's own folder."""
        return self.folder / f"{self.table}.lance"


class _Order(NamedTuple):
    """All rows of one version, sorted by id."""

    version: int
    ids: list[str]
    offsets: list[int]
    row_ids: list[int]
    position: dict[str, int]


class LanceStore:
    """A LanceDB table, for reading only.

    Rows are given in the order of their ids: Lance moves rows whenever it compacts. Search
    is exact cosine over all rows, whatever index the table has. The columns are recognised
    as LanceDB, LangChain and LlamaIndex name them, or named in the URL:
    `lancedb:FOLDER#TABLE?id=key&text=body&vector=emb`. Vectors of 16 or 64 bits are given
    as float32.
    """

    def __init__(self, url: str, place: Place) -> None:
        self._url = url
        self._place = place
        self._order: _Order | None = None
        self._columns: Columns = columns_of(url, self._open().schema, place.options)

    @property
    def url(self) -> str:
        """The URL it was opened with."""
        return self._url

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None while it is empty."""
        dataset = self._open()
        return self._width(dataset) if dataset.count_rows() else None

    def count(self) -> int:
        """Number of passages."""
        return int(self._open().count_rows())

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        """All passages of the version that is the newest now, in the order of their ids."""
        check_size(size)
        dataset = self._open()
        order = self._ordered(dataset)
        step = min(size, _PAGE)
        for start in range(0, len(order.ids), step):
            yield self._take(dataset, order.offsets[start : start + step])

    def get(self, ids: Sequence[str]) -> Batch:
        """The passages with these ids that exist, in the order asked."""
        dataset = self._open()
        order = self._ordered(dataset)
        wanted = [order.offsets[order.position[i]] for i in ids if i in order.position]
        return self._take(dataset, wanted)

    def search(self, vector: Vector, k: int) -> Neighbours:
        """The k most similar passages by cosine, all rows compared."""
        dataset = self._open()
        question = check_question_vector(self._url, vector, k, self.dim)
        nearest = {
            "column": self._columns.vector,
            "q": question,
            "k": min(k, dataset.count_rows()),
            "metric": "cosine",
            "use_index": False,
        }
        with translated(self._url):
            scanner = dataset.scanner(
                columns=self._read_columns(), nearest=nearest, disable_scoring_autoprojection=True
            )
            batch = from_arrow(scanner.to_table(), self._columns)
        vectors = (
            np.zeros((0, len(question)), np.float32) if batch.vectors is None else batch.vectors
        )
        rows = np.flatnonzero(healthy(vectors))
        similarity = cosines(vectors[rows], question)
        order = np.argsort(-similarity, kind="stable")
        hits = tuple(Hit(batch.passages[rows[i]], float(similarity[i])) for i in order)
        return Neighbours(hits, vectors[rows[order]])

    def configuration_findings(self) -> list[Finding]:
        """None: Lance stores nothing that runs."""
        return []

    def close(self) -> None:
        """Forget the order of the ids."""
        self._order = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> LanceDataset:
        return open_dataset(self._url, self._place)

    def _width(self, dataset: LanceDataset) -> int | None:
        if self._columns.vector is None:
            return None
        kind = dataset.schema.field(self._columns.vector).type
        if hasattr(kind, "list_size") and kind.list_size > 0:
            return int(kind.list_size)
        with translated(self._url):
            table = dataset.to_table(columns=[self._columns.vector], limit=1)
        vectors = vectors_of(table, self._columns.vector)
        return None if vectors is None else int(vectors.shape[1])

    def _read_columns(self) -> list[str]:
        c = self._columns
        named = (c.id, c.text, c.vector, c.source, c.metadata, *c.others)
        return [name for name in named if name is not None]

    def _ordered(self, dataset: LanceDataset) -> _Order:
        version = int(dataset.version)
        if self._order is None or self._order.version != version:
            with translated(self._url):
                table = dataset.to_table(
                    columns=[self._columns.id], with_row_id=True, scan_in_order=True
                )
            ids = [str(value) for value in table[self._columns.id].to_pylist()]
            row_ids = table["_rowid"].to_pylist()
            offsets = sorted(range(len(ids)), key=ids.__getitem__)
            in_order = [ids[i] for i in offsets]
            position = {passage_id: i for i, passage_id in reversed(list(enumerate(in_order)))}
            self._order = _Order(
                version, in_order, offsets, [row_ids[i] for i in offsets], position
            )
        return self._order

    def _take(self, dataset: LanceDataset, offsets: Sequence[int]) -> Batch:
        if not offsets:
            width = self._width(dataset) if dataset.count_rows() else None
            return Batch((), None if width is None else np.zeros((0, width), dtype=np.float32))
        with translated(self._url):
            return from_arrow(dataset.take(offsets, columns=self._read_columns()), self._columns)


class MutableLanceStore(LanceStore):
    """A LanceDB table that can be changed; each change is one version, whole or not at all."""

    def add(self, batch: Batch) -> None:
        """Append passages with their vectors; all or nothing."""
        if not batch.passages:
            return
        dataset = self._open()
        vectors = check_addition(batch, self._width(dataset))
        known = self._ordered(dataset).position
        refuse_existing([p.id for p in batch.passages if p.id in known])
        table = to_arrow(batch.passages, vectors, dataset.schema, self._columns)
        with translated(self._url):
            dataset.insert(table, mode="append")

    def delete(self, ids: Iterable[str]) -> int:
        """Remove passages; returns how many there were."""
        dataset = self._open()
        order = self._ordered(dataset)
        gone = set(ids) & set(order.position)
        # By row, not by id: Lance writes the condition into its log of transactions.
        rows = [row for i, row in zip(order.ids, order.row_ids, strict=True) if i in gone]
        if rows:
            with translated(self._url):
                dataset.delete(f"_rowid IN ({','.join(map(str, rows))})")
        return len(gone)


def open_lancedb(
    url: str, *, writable: bool = False, trust_collection_config: bool = False
) -> LanceStore:
    """Open `lancedb:FOLDER#TABLE`: a LanceDB table in a local folder.

    Raises:
        StoreError: no such folder or table, or no column is recognisable.
        MissingExtraError: pylance is not installed.
    """
    del trust_collection_config  # nothing is persisted that could be untrusted
    place = place_of(url)
    if not writable:
        return LanceStore(url, place)
    store = MutableLanceStore(url, place)
    if not os.access(place.path, os.W_OK):
        raise StoreError(f"{url}: no permission to change {place.path}")
    return store


def create_lancedb(folder: str | Path, table: str, batch: Batch) -> MutableLanceStore:
    """Make a table, and the database's folder if there is none.

    Its columns are id, text, vector, source, and metadata as JSON text.

    Raises:
        InputError: the batch is empty or has no vectors.
        StoreError: the table exists.
    """
    place = Place(Path(folder).expanduser(), table, {})
    url = f"lancedb:{place.folder}#{table}"
    vectors = check_addition(batch, None)
    if place.path.exists():
        raise StoreError(f"{url} exists already; choose another name")
    with translated(url):
        place.folder.mkdir(parents=True, exist_ok=True)
        _lance().write_dataset(new_table(batch.passages, vectors), str(place.path))
    return MutableLanceStore(url, place)


def place_of(url: str) -> Place:
    """What a URL names.

    Raises:
        UsageError: it names no folder or no table, or an unknown option.
        StoreError: there is no such folder or table.
    """
    path, _, name = url.removeprefix("lancedb:").partition("#")
    table, options = split_options(name, url)
    if not path:
        raise UsageError(f"store URL '{url}' names no folder; write lancedb:FOLDER#TABLE")
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise StoreError(f"{url}: no folder {folder}; name the folder of a LanceDB database")
    tables = sorted(p.name.removesuffix(".lance") for p in folder.glob("*.lance") if p.is_dir())
    if not table and len(tables) == 1:
        table = tables[0]
    if table not in tables:
        near = difflib.get_close_matches(table, tables, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f" (there are: {', '.join(tables)})"
        raise StoreError(f"{url}: no table '{table}' in {folder}{hint if tables else ''}")
    return Place(folder, table, options)


def open_dataset(url: str, place: Place) -> LanceDataset:
    """The table as it is now."""
    lance = _lance()
    with translated(url):
        dataset: LanceDataset = lance.dataset(str(place.path))
    return dataset


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Lance's errors as a `StoreError` of one line."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise StoreError(f"{url}: {str(error).strip().splitlines()[0]:.300}") from error


def _lance() -> Any:
    try:
        import lance
    except ImportError as error:
        raise MissingExtraError(
            "lancedb: needs pylance: pip install 'ragshield[lancedb]'"
        ) from error
    return lance
