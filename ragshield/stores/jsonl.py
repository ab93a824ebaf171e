"""A store in one JSON Lines file: `jsonl:FILE`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ragshield.errors import InputError, StoreError, UsageError
from ragshield.files import check_writable
from ragshield.protocols import Neighbours
from ragshield.records import Batch, Finding, Hit, Passage, Vector, Vectors
from ragshield.stores.exact import (
    check_addition,
    check_question_vector,
    check_size,
    refuse_existing,
)
from ragshield.stores.jsonl_contents import Contents, Directions, directions_of, without
from ragshield.stores.jsonl_lines import (
    Line,
    Stamp,
    objects_of,
    opened,
    stamp_of,
    value_of,
    write_without,
)
from ragshield.stores.keeping import is_keeping, keep, kept
from ragshield.vectors import unit_rows

_KNOWN = frozenset({"id", "text", "source", "meta", "metadata", "vector", "embedding"})


class JsonlStore:
    """Passages in a JSON Lines file, one object a line; search is exact cosine.

    A line is `{"id": ..., "text": ..., "source"?: ..., "meta"?: {...}, "vector"?: [...]}`;
    `metadata` and `embedding` are read too, and other keys count as metadata. Reading
    streams: only ids and where their lines are stay in memory, and the vectors from the
    first `search` on. Vectors are given as stored: a line without one in a file that has
    some gives a row of NaN, and so does `null` in a vector.
    """

    def __init__(self, url: str, path: Path) -> None:
        self._url = url
        self._path = path
        self._known: Contents | None = None
        self._searched: Directions | None = None
        self._sync()

    @property
    def url(self) -> str:
        """The URL it was opened with."""
        return self._url

    @property
    def dim(self) -> int | None:
        """Width of the vectors; None if no line has one."""
        return self._sync().dim

    def count(self) -> int:
        """Number of passages."""
        return len(self._sync().rows)

    def batches(self, size: int = 1024) -> Iterator[Batch]:
        """All passages in the file's order; lines appended meanwhile are left out."""
        check_size(size)
        known = self._sync()
        rows = islice(self._rows(), len(known.rows))
        while part := tuple(islice(rows, size)):
            yield self._batch(part, known.dim)

    def get(self, ids: Sequence[str]) -> Batch:
        """The passages with these ids that exist, in the order asked."""
        known = self._sync()
        return self._at([known.rows[i] for i in ids if i in known.rows], known)

    def search(self, vector: Vector, k: int) -> Neighbours:
        """The k most similar passages by cosine; ties in the file's order."""
        known = self._sync()
        if known.rows and known.dim is None:
            raise StoreError(
                f"{self._url} holds texts without vectors: nothing to search by; add a "
                "'vector' to each line, or load the texts with an encoder into another store"
            )
        question = check_question_vector(self._url, vector, k, known.dim)
        there = self._directions(known)
        similarity = np.clip(there.unit @ unit_rows(question), -1.0, 1.0)
        order = np.argsort(-similarity, kind="stable")[:k]
        found = self._at(there.rows[order].tolist(), known)
        if found.vectors is None:
            return Neighbours((), np.zeros((0, len(question)), dtype=np.float32))
        hits = (
            Hit(passage, float(alike))
            for passage, alike in zip(found.passages, similarity[order], strict=True)
        )
        return Neighbours(tuple(hits), found.vectors)

    def configuration_findings(self) -> list[Finding]:
        """None: there is no configuration."""
        return []

    def close(self) -> None:
        """Forget what was loaded."""
        self._searched = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _sync(self) -> Contents:
        """Check the whole file and note its ids, if it has changed since last time."""
        stamp = stamp_of(self._path)
        if self._known is not None and self._known.stamp == stamp:
            return self._known
        known, searched = kept(self._path) or (None, None)
        if known is None or known.stamp != stamp:
            known, searched = self._read(stamp)
        return self._note(known, searched)

    def _note(self, known: Contents, searched: Directions | None) -> Contents:
        self._known, self._searched = known, searched
        keep(self._path, (known, searched))
        return known

    def _read(self, stamp: Stamp) -> tuple[Contents, Directions | None]:
        rows: dict[str, int] = {}
        places: list[tuple[int, int, int]] = []
        has_vector: list[bool] = []
        vectors: list[tuple[int, Vector]] = []
        first: tuple[int, int] | None = None
        for line, passage, vector in self._rows():
            if passage.id in rows:
                raise InputError(
                    f"{self._path}, line {line.number}: id '{passage.id}' is on line "
                    f"{places[rows[passage.id]][0]} already; ids must be unique"
                )
            rows[passage.id] = len(places)
            places.append((line.number, line.start, line.start + len(line.content)))
            has_vector.append(vector is not None)
            if vector is None:
                continue
            width = len(vector)
            if first is None:
                first = (line.number, width)
            elif width != first[1]:
                raise InputError(
                    f"{self._path}, line {line.number}: vector has {width} dimensions, the one on "
                    f"line {first[0]} has {first[1]}; embed all with one encoder"
                )
            if is_keeping():
                vectors.append((rows[passage.id], vector))
        numbers, starts, ends = np.array(places, dtype=np.int64).reshape(-1, 3).T
        which = np.array(has_vector, dtype=bool)
        unpacked = None
        if self._path.suffix == ".gz":
            with opened(self._path) as file:
                unpacked = file.read()
        dim = None if first is None else first[1]
        known = Contents(stamp, rows, numbers, starts, ends, which, dim, unpacked)
        return known, directions_of(stamp, vectors) if vectors else None

    def _directions(self, known: Contents) -> Directions:
        if self._searched is None or self._searched.stamp != known.stamp:
            vectors = [
                (known.rows[passage.id], vector)
                for _, passage, vector in self._rows()
                if vector is not None and passage.id in known.rows
            ]
            searched = directions_of(known.stamp, vectors)
            if stamp_of(self._path) != known.stamp:
                raise InputError(f"{self._path} changed while it was read; read it again")
            self._note(known, searched)
            return searched
        return self._searched

    def _rows(self) -> Iterator[tuple[Line, Passage, Vector | None]]:
        for line, value in objects_of(self._path):
            where = f"{self._path}, line {line.number}"
            yield line, _passage(value, where), _vector(value, where)

    def _at(self, rows: Sequence[int], known: Contents) -> Batch:
        """The passages of some rows, read from their lines."""
        found: dict[int, tuple[Line, Passage, Vector | None]] = {}
        try:
            with opened(self._path) if known.unpacked is None else BytesIO(known.unpacked) as file:
                for row in sorted(set(rows)):
                    start, end = int(known.starts[row]), int(known.ends[row])
                    file.seek(start)
                    line = Line(int(known.numbers[row]), start, file.read(end - start))
                    where = f"{self._path}, line {line.number}"
                    value = value_of(self._path, line)
                    if value is None:
                        raise InputError(f"{where}: changed while it was read; read it again")
                    found[row] = (line, _passage(value, where), _vector(value, where))
        except OSError as error:
            raise StoreError(f"cannot read {self._path}: {error.strerror or error}") from error
        return self._batch([found[row] for row in rows], known.dim)

    def _batch(self, rows: Sequence[tuple[Line, Passage, Vector | None]], dim: int | None) -> Batch:
        vectors: Vectors | None = None
        if dim is not None:
            vectors = np.full((len(rows), dim), np.nan, dtype=np.float32)
            for i, (line, _, vector) in enumerate(rows):
                if vector is not None and len(vector) != dim:
                    raise InputError(
                        f"{self._path}, line {line.number}: changed while it was read; read it "
                        "again"
                    )
                if vector is not None:
                    vectors[i] = vector
        return Batch(tuple(passage for _, passage, _ in rows), vectors)


class MutableJsonlStore(JsonlStore):
    """A JSON Lines store that can be changed: each change rewrites the file, whole or not at all.

    Lines that stay are kept as they are written, character for character.
    """

    def add(self, batch: Batch) -> None:
        """Append passages with their vectors; all or nothing."""
        if not batch.passages:
            return
        known = self._sync()
        vectors = check_addition(batch, known.dim)
        refuse_existing([p.id for p in batch.passages if p.id in known.rows])
        new = [_line(p, row) for p, row in zip(batch.passages, vectors, strict=True)]
        self._rewrite(known, [], new)
        self._sync()

    def delete(self, ids: Iterable[str]) -> int:
        """Remove passages; returns how many there were."""
        known = self._sync()
        gone = sorted({known.rows[i] for i in ids if i in known.rows})
        if gone:
            stamp = self._rewrite(known, gone, ())
            self._note(*without(known, self._searched, gone, stamp))
        return len(gone)

    def _rewrite(self, known: Contents, gone: Sequence[int], new: Iterable[bytes]) -> Stamp:
        def changed() -> StoreError:
            return StoreError(f"{self._url} was changed by another program just now; try again")

        if stamp_of(self._path) != known.stamp:
            raise changed()
        check_writable(self._path)
        places = [(int(known.starts[row]), int(known.ends[row])) for row in gone]
        return write_without(self._path, places, new, unchanged=known.stamp, refuse=changed)


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


def _line(passage: Passage, vector: Vector) -> bytes:
    value: dict[str, Any] = {"id": passage.id, "text": passage.text}
    if passage.source is not None:
        value["source"] = passage.source
    if passage.meta:
        value["meta"] = dict(passage.meta)
    # The shortest decimals that are the same float32: half of what a double's take.
    value["vector"] = [float(str(number)) for number in vector]
    try:
        return json.dumps(value, ensure_ascii=False).encode("utf-8") + b"\n"
    except UnicodeEncodeError:  # a lone surrogate: only its escape can be written
        return json.dumps(value).encode("ascii") + b"\n"
    except TypeError as error:
        raise InputError(f"passage '{passage.id}': metadata is not JSON ({error})") from error
