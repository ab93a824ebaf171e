"""Passages to Chroma's rows and back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ragshield.errors import InputError
from ragshield.records import Passage, Vectors

_MAX_BYTES = 8_000_000
"""Of one write: a server refuses requests above 40 MB, and JSON numbers are long."""

_INT_RANGE = range(-(2**63), 2**63)


def passages_of(found: Mapping[str, Any]) -> tuple[Passage, ...]:
    """The passages in what Chroma's `get` gives, or in one row of what `query` gives.

    Metadata `source` becomes the passage's source if it is a string; everything else
    stays metadata. A row without a document has the text "".
    """
    ids = found["ids"]
    documents = found["documents"] or [None] * len(ids)
    metadatas = found["metadatas"] or [None] * len(ids)
    return tuple(map(_passage, ids, documents, metadatas))


def vectors_of(rows: Any) -> Vectors | None:
    """Chroma's embeddings as (n, dim) float32; None if no row has one.

    A row without an embedding among rows that have one is all NaN.
    """
    if rows is None or len(rows) == 0:
        return None
    width = next((len(row) for row in rows if row is not None), None)
    if width is None:
        return None
    missing = [math.nan] * width
    return np.array([missing if row is None else row for row in rows], dtype=np.float32)


def metadata_of(passage: Passage) -> dict[str, Any] | None:
    """What Chroma stores besides id, text and vector; None if there is nothing.

    A value of None means the same as no value, and is left out: Chroma cannot hold it.

    Raises:
        InputError: a key or value that Chroma would refuse, or drop or change silently.
    """
    meta: dict[str, Any] = {k: v for k, v in passage.meta.items() if v is not None}
    for key, value in meta.items():
        where = f"passage '{passage.id}': metadata '{key}'"
        if key.startswith("chroma:"):
            raise InputError(f"{where} begins with 'chroma:', which Chroma keeps to itself; rename")
        if isinstance(value, dict):
            raise InputError(f"{where} is an object; Chroma holds text, numbers and true or false")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{where} is {value}; Chroma cannot hold that, leave it out")
        if isinstance(value, int) and value not in _INT_RANGE:
            raise InputError(f"{where} is {value}; Chroma holds 64-bit integers, make it text")
        _check_unicode(value, where)
        _check_unicode(key, where)
    if passage.source is not None:
        if "source" in meta:
            raise InputError(
                f"passage '{passage.id}' has a source and also metadata 'source'; rename the latter"
            )
        _check_unicode(passage.source, f"passage '{passage.id}': source")
        meta["source"] = passage.source
    return meta or None


def check_texts(passages: Sequence[Passage]) -> None:
    """Refuse ids and texts that are no valid Unicode.

    Raises:
        InputError: a lone surrogate, which UTF-8 cannot hold.
    """
    for passage in passages:
        _check_unicode(passage.id, f"id {passage.id!r:.40}")
        _check_unicode(passage.text, f"passage '{passage.id}': text")


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8, so that a store can hold it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def write_chunks(passages: Sequence[Passage], dim: int, n_max: int) -> Iterator[slice]:
    """Slices of at most `n_max` passages and about 8 MB each."""
    start, size = 0, 0
    for i, passage in enumerate(passages):
        own = 4 * len(passage.text) + 24 * dim
        if i > start and (i - start >= n_max or size + own > _MAX_BYTES):
            yield slice(start, i)
            start, size = i, 0
        size += own
    if start < len(passages):
        yield slice(start, len(passages))


def _passage(passage_id: str, text: str | None, metadata: Mapping[str, Any] | None) -> Passage:
    meta = dict(metadata or {})
    source = meta.pop("source") if isinstance(meta.get("source"), str) else None
    return Passage(passage_id, text or "", source, meta)


def _check_unicode(value: object, where: str) -> None:
    if isinstance(value, str) and not is_unicode(value):
        raise InputError(
            f"{where} holds a lone surrogate, which is no valid Unicode; "
            "decode the original bytes again, with errors='replace'"
        )
