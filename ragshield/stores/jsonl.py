"""A store in one JSON Lines file: `jsonl:FILE`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ragshield.errors import InputError, StoreError, UsageError
from ragshield.files import check_writable, read_jsonl, writing
from ragshield.protocols import Neighbours
from ragshield.records import Batch, Finding, Passage, Vector, Vectors
from ragshield.stores.exact import (
    check_addition,
    check_question_vector,
    check_size,
    refuse_existing,
    search_exactly,
)

_KNOWN = frozenset({"id", "text", "source", "meta", "metadata", "vector", "embedding"})


class JsonlStore:
    """Passages in a JSON Lines file, one object a line; search is exact cosine.

    A line is `{"id": ..., "text": ..., "source"?: ..., "meta"?: {...}, "vector"?: [...]}`;
    `metadata` and `embedding` are read too, and other keys count as metadata. Reading
    streams: only ids stay in memory until the first `get` or `search`, which load the
    file. Vectors are given as stored: a line without one in a file that has some gives
    a row of NaN, and so does `null` in a vector.
    """

    def __init__(self, url: str, path: Path) -> None:
        self._url = url
        self._path = path
        self._stamp = (-1, -1)
        self._lines: dict[str, int] = {}
        self._dim: int | None = None
        self._loaded: Batch | None = None
        self._sync()

    @property
    def url(self) -> str:
        """The URL it was opened with."""
        return self._url

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None if no line has one."""
        self._sync()
        return self._dim

    def count(self) -> int:
        """Number of passages."""
        self._sync()
        return len(self._lines)

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        """All passages in the file's order; lines appended meanwhile are left out."""
        check_size(size)
        self._sync()
        rows = islice(self._rows(), len(self._lines))
        while part := tuple(islice(rows, size)):
            yield self._batch(part)

    def get(self, ids: Sequence[str]) -> Batch:
        """The passages with these ids that exist, in the order asked."""
        batch = self._load()
        position = {passage.id: i for i, passage in enumerate(batch.passages)}
        rows = [position[passage_id] for passage_id in ids if passage_id in position]
        vectors = None if batch.vectors is None else batch.vectors[rows]
        return Batch(tuple(batch.passages[i] for i in rows), vectors)

    def search(self, vector: Vector, k: int) -> Neighbours:
        """The k most similar passages by cosine; ties in the file's order."""
        batch = self._load()
        if batch.passages and batch.vectors is None:
            raise StoreError(
                f"{self._url} holds texts without vectors: nothing to search by; add a "
                "'vector' to each line, or load the texts with an encoder into another store"
            )
        question = check_question_vector(self._url, vector, k, self._dim)
        if batch.vectors is None:
            return Neighbours((), np.zeros((0, len(question)), dtype=np.float32))
        return search_exactly(batch.passages, batch.vectors, question, k)

    def configuration_findings(self) -> list[Finding]:
        """None: there is no configuration."""
        return []

    def close(self) -> None:
        """Forget what was loaded."""
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

    def _sync(self) -> None:
        """Check the whole file and note its ids, if it has changed since last time."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        lines: dict[str, int] = {}
        first_vector: tuple[int, int] | None = None
        for number, passage, vector in self._rows():
            if passage.id in lines:
                raise InputError(
                    f"{self._path}, line {number}: id '{passage.id}' is on line "
                    f"{lines[passage.id]} already; ids must be unique"
                )
            lines[passage.id] = number
            if vector is None:
                continue
            width = len(vector)
            if first_vector is None:
                first_vector = (number, width)
            elif width != first_vector[1]:
                raise InputError(
                    f"{self._path}, line {number}: vector has {width} dimensions, the one on "
                    f"line {first_vector[0]} has {first_vector[1]}; embed all with one encoder"
                )
        self._lines = lines
        self._dim = None if first_vector is None else first_vector[1]
        self._stamp, self._loaded = stamp, None

    def _rows(self) -> Iterator[tuple[int, Passage, Vector | None]]:
        for number, value in read_jsonl(self._path):
            where = f"{self._path}, line {number}"
            yield number, _passage(value, where), _vector(value, where)

    def _batch(self, rows: Sequence[tuple[int, Passage, Vector | None]]) -> Batch:
        vectors: Vectors | None = None
        if self._dim is not None:
            vectors = np.full((len(rows), self._dim), np.nan, dtype=np.float32)
            for i, (number, _, vector) in enumerate(rows):
                if vector is not None and len(vector) != self._dim:
                    raise InputError(
                        f"{self._path}, line {number}: changed while it was read; read it again"
                    )
                if vector is not None:
                    vectors[i] = vector
        return Batch(tuple(passage for _, passage, _ in rows), vectors)

    def _load(self) -> Batch:
        self._sync()
        if self._loaded is None:
            self._loaded = self._batch(tuple(self._rows()))
        return self._loaded


class MutableJsonlStore(JsonlStore):
    """A JSON Lines store that can be changed: each change rewrites the file, whole or not at all.

    Lines that stay are kept as they are written, character for character.
    """

    def add(self, batch: Batch) -> None:
        """Append passages with their vectors; all or nothing."""
        if not batch.passages:
            return
        self._sync()
        vectors = check_addition(batch, self._dim)
        refuse_existing([p.id for p in batch.passages if p.id in self._lines])
        new = [_line(p, row) for p, row in zip(batch.passages, vectors, strict=True)]
        self._rewrite(lambda _: True, new)

    def delete(self, ids: Iterable[str]) -> int:
        """Remove passages; returns how many there were."""
        self._sync()
        gone = set(ids) & set(self._lines)
        if gone:
            numbers = {self._lines[passage_id] for passage_id in gone}
            self._rewrite(lambda number: number not in numbers, ())
        return len(gone)

    def _rewrite(self, keep: Callable[[int], bool], new: Iterable[str]) -> None:
        if _stamp(self._path) != self._stamp:
            raise StoreError(f"{self._url} was changed by another program just now; try again")
        with writing(self._path) as file:
            with self._path.open(encoding="utf-8") as old:
                for number, line in enumerate(old, start=1):
                    if keep(number):
                        file.write(line if line.endswith("\n") else f"{line}\n")
            for line in new:
                file.write(line)
        self._sync()


def open_jsonl(
    url: str, *, writable: bool = False, trust_collection_config: bool = False
) -> JsonlStore:
    """Open `jsonl:FILE`: one passage a line, with or without vectors.

    Raises:
        StoreError: the file does not exist, or is gzipped and asked to be writable.
        InputError: a line is no passage; the message names it.
    """
    del trust_collection_config  # nothing is persisted that could be untrusted
    name = url.removeprefix("jsonl:")
    if not name:
        raise UsageError("'jsonl:' names no file; write jsonl:FILE, for example jsonl:docs.jsonl")
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise StoreError(f"{url}: {path} {what}; name a JSON Lines file (an empty one will do)")
    if not writable:
        return JsonlStore(url, path)
    if path.suffix == ".gz":
        raise StoreError(f"{url} is gzipped and can only be read; gunzip it to change it")
    check_writable(path)
    return MutableJsonlStore(url, path)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    return found.st_mtime_ns, found.st_size


def _passage(value: Mapping[str, Any], where: str) -> Passage:
    passage_id = value.get("id")
    if isinstance(passage_id, int) and not isinstance(passage_id, bool):
        passage_id = str(passage_id)
    if not isinstance(passage_id, str) or not passage_id:
        raise InputError(f"{where}: 'id' is {passage_id!r:.40}; give every line a unique string")
    text = value.get("text")
    if not isinstance(text, str):
        raise InputError(f"{where}: 'text' is {text!r:.40}; give every line a text")
    source = value.get("source")
    if source is not None and not isinstance(source, str):
        raise InputError(f"{where}: 'source' is {source!r:.40}; it must be a string or absent")
    meta = value.get("meta", value.get("metadata"))
    if meta is not None and not isinstance(meta, dict):
        raise InputError(f"{where}: 'meta' is {meta!r:.40}; it must be an object or absent")
    others = {key: value[key] for key in value if key not in _KNOWN}
    return Passage(passage_id, text, source, {**others, **(meta or {})})


def _vector(value: Mapping[str, Any], where: str) -> Vector | None:
    numbers = value.get("vector", value.get("embedding"))
    if numbers is None:
        return None
    if not isinstance(numbers, list) or not numbers:
        raise InputError(f"{where}: 'vector' is {numbers!r:.40}; it must be a list of numbers")
    try:
        row: Vector = np.array(numbers, dtype=np.float64).astype(np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: 'vector' cannot be read as numbers ({error})") from error
    if row.ndim != 1:
        raise InputError(f"{where}: 'vector' is nested; it must be a flat list of numbers")
    return row


def _line(passage: Passage, vector: Vector) -> str:
    value: dict[str, Any] = {"id": passage.id, "text": passage.text}
    if passage.source is not None:
        value["source"] = passage.source
    if passage.meta:
        value["meta"] = dict(passage.meta)
    value["vector"] = [float(number) for number in vector]
    try:
        line = json.dumps(value, ensure_ascii=False)
        line.encode("utf-8")
    except UnicodeEncodeError:  # a lone surrogate: only its escape can be written
        line = json.dumps(value)
    except TypeError as error:
        raise InputError(f"passage '{passage.id}': metadata is not JSON ({error})") from error
    return f"{line}\n"
