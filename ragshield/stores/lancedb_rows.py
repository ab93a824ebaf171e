"""Passages to rows of a Lance table and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ragshield.errors import InputError
from ragshield.records import Batch, Passage, Vectors
from ragshield.stores.columns import Columns, as_json, choose_columns

if TYPE_CHECKING:
    import pyarrow as pa


def columns_of(url: str, schema: pa.Schema, asked: Mapping[str, str]) -> Columns:
    """Which column holds what.

    Raises:
        StoreError: there is none for ids or texts, or several could hold the vectors.
    """
    import pyarrow.types as kinds

    def holds_vectors(field: pa.Field) -> bool:
        kind = field.type
        if not (kinds.is_fixed_size_list(kind) or kinds.is_list(kind)):
            return False
        return bool(kinds.is_floating(kind.value_type))

    vectors = [field.name for field in schema if holds_vectors(field)]
    chosen = choose_columns(url, schema.names, vectors=vectors, asked=asked)
    inside: frozenset[str] = frozenset()
    if chosen.metadata and kinds.is_struct(schema.field(chosen.metadata).type):
        kind = schema.field(chosen.metadata).type
        inside = frozenset(kind.field(i).name for i in range(kind.num_fields))
    return Columns(
        chosen.id,
        chosen.text,
        chosen.vector,
        chosen.source,
        chosen.metadata,
        chosen.others,
        inside,
    )


def from_arrow(table: pa.Table, columns: Columns) -> Batch:
    """The passages and vectors of a table's rows."""
    rows = table.drop_columns([columns.vector]) if columns.vector else table
    passages = tuple(columns.passage(_without_none(row, columns)) for row in rows.to_pylist())
    return Batch(passages, vectors_of(table, columns.vector))


def vectors_of(table: pa.Table, name: str | None) -> Vectors | None:
    """A column of lists as (n, dim) float32; a row without a vector is all NaN."""
    if name is None or table.num_rows == 0:
        return None
    column = table[name].combine_chunks()
    size = getattr(column.type, "list_size", None)
    if size is not None and column.null_count == 0:
        values = column.flatten().to_numpy(zero_copy_only=False)
        return np.ascontiguousarray(values.reshape(-1, size), dtype=np.float32)
    lists = column.to_pylist()
    width = next((len(row) for row in lists if row is not None), None)
    if width is None:
        return None
    missing = [float("nan")] * width
    return np.array([missing if row is None else row for row in lists], dtype=np.float32)


def to_arrow(
    passages: Sequence[Passage], vectors: Vectors, schema: pa.Schema, columns: Columns
) -> pa.Table:
    """Rows to append to a table of this schema.

    Raises:
        InputError: something that the table cannot hold; the message names the passage.
    """
    import pyarrow as pa

    rows = [_row(passage, schema, columns) for passage in passages]
    arrays = []
    for field in schema:
        if field.name == columns.vector:
            arrays.append(_lists(vectors, field.type))
            continue
        try:
            arrays.append(pa.array([row.get(field.name) for row in rows], type=field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise InputError(
                f"column '{field.name}' of the table holds {field.type}: {error!s:.200}"
            ) from error
    return pa.Table.from_arrays(arrays, schema=schema)


def new_table(passages: Sequence[Passage], vectors: Vectors) -> pa.Table:
    """Rows of a new table: id, text, vector, source, and metadata as JSON text."""
    import pyarrow as pa

    fields = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("vector", pa.list_(pa.float32(), vectors.shape[1])),
        pa.field("source", pa.string()),
        pa.field("metadata", pa.string()),
    ]
    columns = Columns("id", "text", "vector", "source", "metadata")
    return to_arrow(passages, vectors, pa.schema(fields), columns)


def _lists(vectors: Vectors, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    values = pa.array(vectors.ravel(), type=pa.float32()).cast(kind.value_type)
    if hasattr(kind, "list_size"):
        return pa.FixedSizeListArray.from_arrays(values, type=kind)
    ends = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends), values).cast(kind)


def _row(passage: Passage, schema: pa.Schema, columns: Columns) -> dict[str, Any]:
    import pyarrow.types as kinds

    row = columns.row(passage)
    if kinds.is_integer(schema.field(columns.id).type):
        if not passage.id.lstrip("-").isdigit():
            raise InputError(f"id '{passage.id}': the table's ids are whole numbers")
        row[columns.id] = int(passage.id)
    name = columns.metadata
    if name is None:
        return row
    meta = row[name]
    if not columns.inside:
        row[name] = as_json(meta, passage.id) if meta else None
        return row
    if unknown := sorted(set(meta) - columns.inside):
        raise InputError(
            f"passage '{passage.id}': the table's column '{name}' has no field '{unknown[0]}' "
            f"(it has: {', '.join(sorted(columns.inside))})"
        )
    row[name] = meta or None
    return row


def _without_none(row: dict[str, Any], columns: Columns) -> dict[str, Any]:
    """A struct has every field in every row; those that are null were never given."""
    if columns.metadata and columns.inside and row[columns.metadata] is not None:
        meta = row[columns.metadata]
        row[columns.metadata] = {key: value for key, value in meta.items() if value is not None}
    return row
