"""One table of passages in SQLite: which column is what, and rows to passages and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ragshield.errors import InputError, StoreError, UsageError
from ragshield.records import MetaValue, Passage, Vector

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "passage_id", "doc_id", "document_id", "chunk_id", "uuid"),
    "text": ("text", "page_content", "content", "document", "body", "passage", "chunk"),
    "source": ("source", "url", "uri", "path", "file", "origin"),
    "metadata": ("metadata", "meta", "metadata_json", "metadatas", "cmetadata"),
    "vector": ("vector", "embedding", "embeddings", "text_embedding", "emb"),
}
"""What each column is usually called, the likeliest first; compared without case."""

DTYPES: Final[Mapping[str, Any]] = {"float32": "<f4", "float64": "<f8", "float16": "<f2"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of passages and the names of its columns.

    Attributes:
        name: of the table.
        id: column that names a passage; unique.
        text: column with its text.
        source: column that says who it came from; None if there is none.
        metadata: column with a JSON object; None if there is none.
        vector: column with the numbers; None if there is none.
        others: further columns that can be written: scalars there count as metadata.
        order: what rows are ordered and paged by: the row number, or the primary key of
            a table without one.
        dtype: how numbers lie in a BLOB; a TEXT is read as a JSON list.
    """

    name: str
    id: str
    text: str
    source: str | None
    metadata: str | None
    vector: str | None
    others: tuple[str, ...]
    order: str
    dtype: str = "float32"

    def columns(self) -> tuple[str, ...]:
        """What a row is read by: order, id, text, source, metadata, vector, others."""
        roles = (self.source, self.metadata, self.vector)
        optional = ["NULL" if column is None else quoted(column) for column in roles]
        own = [quoted(self.order), quoted(self.id), quoted(self.text)]
        return (*own, *optional, *map(quoted, self.others))

    def passage(self, row: Sequence[Any]) -> Passage:
        """The passage of a row that was read by `columns`.

        Raises:
            InputError: its id, text, source or metadata is of an impossible kind.
        """
        passage_id, text, source, metadata = row[1:5]
        if passage_id is None or isinstance(passage_id, bytes) or passage_id == "":
            raise InputError(f"table '{self.name}': a row's id is {passage_id!r:.40}; ids are text")
        where = f"table '{self.name}', row '{passage_id}'"
        if isinstance(text, bytes):
            raise InputError(f"{where}: column '{self.text}' holds bytes, not text")
        meta: dict[str, MetaValue] = {}
        for column, value in zip(self.others, row[6:], strict=True):
            if isinstance(value, str | int | float):
                meta[column] = value
        return Passage(
            id=str(passage_id),
            text="" if text is None else str(text),
            source=None if source is None else str(source),
            meta={**meta, **_metadata(metadata, where)},
        )

    def vector_of(self, row: Sequence[Any]) -> Vector | None:
        """The numbers of a row, (dim,) float32; None where it has none."""
        return None if self.vector is None else self.decoded(row[5], str(row[1]))

    def decoded(self, value: Any, passage_id: str) -> Vector | None:
        """What the vector column holds as numbers, (dim,) float32.

        Raises:
            InputError: neither bytes of whole numbers nor a JSON list of numbers.
        """
        if value is None or value in (b"", ""):
            return None
        where = f"table '{self.name}', row '{passage_id}': column '{self.vector}'"
        if isinstance(value, bytes) and not value.startswith(b"["):
            return self._from_bytes(value, where)
        try:
            numbers = json.loads(value)
            row: Vector = np.array(numbers, dtype=np.float64).astype(np.float32)
        except (TypeError, ValueError):
            if isinstance(value, bytes):  # numbers that happen to begin like a list
                return self._from_bytes(value, where)
            raise InputError(f"{where} is {value!r:.40}; expected numbers") from None
        if row.ndim != 1 or not row.size:
            raise InputError(f"{where} is {value!r:.40}; expected a flat list of numbers")
        return row

    def values(self, passage: Passage, vector: Vector) -> tuple[Any, ...]:
        """A row to insert, in the order of `written`.

        Raises:
            InputError: text that SQLite cannot hold, or metadata without a place.
        """
        where = f"passage '{passage.id}'"
        meta = dict(passage.meta)
        others = [meta.pop(column, None) for column in self.others]
        found: list[Any] = [passage.id, passage.text]
        if self.source is not None:
            found.append(passage.source)
        elif passage.source is not None:
            raise InputError(f"{where} has a source; table '{self.name}' has no column for it")
        if self.metadata is not None:
            found.append(_json(meta, where))
        elif any(value is not None for value in meta.values()):
            raise InputError(
                f"{where}: metadata '{min(meta)}' has no place; table '{self.name}' has neither "
                "a column of that name nor one for metadata"
            )
        if self.vector is not None:
            found.append(vector.astype(DTYPES[self.dtype]).tobytes())
        for name, value in zip(("id", "text", "source"), found, strict=False):
            check_unicode(value, f"{where}: {name}")
        for column, value in zip(self.others, others, strict=True):
            check_unicode(value, f"{where}: metadata '{column}'")
        return (*found, *others)

    def written(self) -> tuple[str, ...]:
        """Names of the columns that `values` fills."""
        optional = (self.source, self.metadata, self.vector)
        return (self.id, self.text, *(c for c in optional if c is not None), *self.others)

    def _from_bytes(self, value: bytes, where: str) -> Vector:
        dtype: np.dtype[Any] = np.dtype(DTYPES[self.dtype])
        if len(value) % dtype.itemsize:
            raise InputError(
                f"{where} holds {len(value)} bytes, no whole number of {self.dtype}; say what "
                f"it holds with ?dtype= ({', '.join(DTYPES)})"
            )
        numbers: NDArray[Any] = np.frombuffer(value, dtype=dtype)
        return numbers.astype(np.float32)


def find_table(
    database: sqlite3.Connection, url: str, name: str, given: Mapping[str, str]
) -> Table:
    """Look up a table and which of its columns is what.

    Args:
        database: an open connection.
        url: what error messages name.
        name: of the table.
        given: columns named by the caller: id, text, source, metadata, vector, dtype.

    Raises:
        StoreError: no such table, or a column cannot be told; the message lists them.
        UsageError: `given` names what is not there or not allowed.
    """
    unknown = sorted(set(given) - {*NAMES, "dtype"})
    if unknown:
        raise UsageError(
            f"{url}: '{unknown[0]}' is no setting; there are {', '.join(NAMES)}, dtype"
        )
    if given.get("dtype", "float32") not in DTYPES:
        raise UsageError(f"{url}: dtype is '{given['dtype']}'; it may be {', '.join(DTYPES)}")
    _check_kind(database, url, name)
    # hidden: 0 = plain, 1 = of a virtual table, 2 and 3 = generated.
    described = database.execute(
        "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?)", (name,)
    ).fetchall()
    columns = [row[0] for row in described]
    found = {role: _column(role, columns, given, url) for role in NAMES}
    keys = [row[0] for row in described if row[2]]
    if found["id"] is None and len(keys) == 1 and keys[0] not in found.values():
        found["id"] = keys[0]
    for role in ("id", "text"):
        if found[role] is None:
            raise StoreError(
                f"{url}: no column of '{name}' is known to hold the {role} (there are: "
                f"{', '.join(columns)}); name it: ...#{name}?{role}=COLUMN"
            )
    taken = [column for column in found.values() if column is not None]
    if len(set(taken)) < len(taken):
        raise UsageError(f"{url}: one column is named for two things ({', '.join(taken)})")
    # A key that is only the row's number says nothing about the passage.
    number = keys if len(keys) == 1 and found["id"] not in keys else []
    plain = [row[0] for row in described if row[3] == 0 and row[0] not in number]
    order = _row_number(database, name, columns) or (keys[0] if len(keys) == 1 else None)
    if order is None:
        raise StoreError(f"{url}: '{name}' has no row numbers and no single key to order it by")
    table = Table(
        name=name,
        id=str(found["id"]),
        text=str(found["text"]),
        source=found["source"],
        metadata=found["metadata"],
        vector=found["vector"],
        others=tuple(c for c in plain if c not in taken and c != order),
        order=order,
        dtype=given.get("dtype", "float32"),
    )
    _check_ids(database, url, table)
    return table


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def check_unicode(value: Any, where: str) -> None:
    """Refuse what is no text that UTF-8 can hold.

    Raises:
        InputError: a lone surrogate.
    """
    if isinstance(value, str) and not is_unicode(value):
        raise InputError(f"{where} holds a lone surrogate (broken text); SQLite cannot hold it")


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _check_kind(database: sqlite3.Connection, url: str, name: str) -> None:
    tables = dict(
        database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
    )
    listing = ", ".join(sorted(tables)[:20]) or "none"
    if not name:
        raise StoreError(f"{url} names no table; add #TABLE (there are: {listing})")
    if name not in tables:
        raise StoreError(f"{url}: no table '{name}' (there are: {listing})")
    sql = str(tables[name]).lstrip().upper()
    if not sql.startswith("CREATE TABLE"):
        what = "a virtual table" if sql.startswith("CREATE VIRTUAL") else "a view"
        raise StoreError(f"{url}: '{name}' is {what}; name the table that the texts lie in")


def _column(role: str, columns: list[str], given: Mapping[str, str], url: str) -> str | None:
    by_lower = {column.lower(): column for column in columns}
    if role in given:
        if given[role].lower() not in by_lower:
            raise UsageError(
                f"{url}: there is no column '{given[role]}' (there are: {', '.join(columns)})"
            )
        return by_lower[given[role].lower()]
    taken = {given[other].lower() for other in given if other in NAMES}
    return next((by_lower[n] for n in NAMES[role] if n in by_lower and n not in taken), None)


def _row_number(database: sqlite3.Connection, name: str, columns: list[str]) -> str | None:
    """A name of the row number that no column hides; None for a table without one."""
    taken = {column.lower() for column in columns}
    for candidate in ("rowid", "_rowid_", "oid"):
        if candidate in taken:
            continue
        try:
            # Without quotes: SQLite reads an unknown name in quotes as a text.
            database.execute(f"SELECT {candidate} FROM {quoted(name)} LIMIT 1")
        except sqlite3.OperationalError:
            return None
        return candidate
    return None


def _check_ids(database: sqlite3.Connection, url: str, table: Table) -> None:
    column, name = quoted(table.id), quoted(table.name)
    unique = database.execute(
        'SELECT 1 FROM pragma_table_xinfo(?1) WHERE name = ?2 AND pk = 1 AND "notnull" UNION '
        'SELECT 1 FROM pragma_index_list(?1) AS list WHERE list."unique" AND NOT list.partial '
        "AND (SELECT group_concat(name) FROM pragma_index_info(list.name)) = ?2",
        (table.name, table.id),
    ).fetchone()
    if unique is None:
        twice = database.execute(
            f"SELECT {column}, count(*) FROM {name} GROUP BY {column} HAVING count(*) > 1 LIMIT 1"
        ).fetchone()
        if twice is not None:
            raise InputError(
                f"{url}: id {twice[0]!r:.60} is on {twice[1]} rows of '{table.name}'; ids must be "
                "unique, or name another column with ?id="
            )


def _metadata(value: Any, where: str) -> dict[str, Any]:
    if value is None or value in ("", b""):
        return {}
    try:
        found = json.loads(value)
    except (TypeError, ValueError):
        found = None
    if found is None and value in ("null", b"null"):
        return {}
    if not isinstance(found, dict):
        raise InputError(f"{where}: metadata is {value!r:.40}; it must be a JSON object")
    return found


def _json(meta: Mapping[str, Any], where: str) -> str:
    try:
        text = json.dumps(meta, ensure_ascii=False)
        return text if is_unicode(text) else json.dumps(meta)
    except TypeError as error:
        raise InputError(f"{where}: metadata is not JSON ({error})") from error
