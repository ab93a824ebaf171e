"""The bytes that a text, an id or a vector may be kept as."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ragshield.records import MetaValue, Vectors

What: TypeAlias = Literal["text", "vector", "id", "metadata"]
"""What a needle is made of."""

TEXT_BYTES = 24
"""The shortest stretch of a text that counts as a piece of it."""

VECTOR_BYTES = 48
"""The shortest stretch of a vector that counts: twelve float32 numbers in a row."""

DECIMAL_BYTES = 192
"""The shortest stretch of a vector written in decimals: some ten numbers."""

SHORTEST = 8
"""Nothing shorter than so many bytes is looked for: it could be anything's."""

MAX_DECIMALS = 96
"""How many numbers of a vector are looked for as decimals: its first ones."""


class Form(NamedTuple):
    """One way in which something may lie on a disk.

    Attributes:
        content: the bytes.
        least: the shortest stretch of them that counts; all of them where they are fewer.
    """

    content: bytes
    least: int


def text_forms(text: str) -> Iterator[Form]:
    """A text as UTF-8, as UTF-16, and as JSON writes it, where that differs."""
    plain = text.encode("utf-8", "surrogatepass")
    yield Form(plain, TEXT_BYTES)
    yield Form(text.encode("utf-16-le", "surrogatepass"), 2 * TEXT_BYTES)
    escaped = json.dumps(text)[1:-1]
    if escaped != text:
        # A letter can take six characters, and seven where JSON stands in JSON.
        n = 1 if text.isascii() else 3
        yield Form(escaped.encode("ascii"), n * TEXT_BYTES)
        yield Form(json.dumps(escaped)[1:-1].encode("ascii"), (n + n // 2) * TEXT_BYTES)


def word_forms(value: MetaValue) -> Iterator[Form]:
    """An id or a value of metadata, found only as a whole; nothing for what is no text."""
    if isinstance(value, str):
        content = value.encode("utf-8", "surrogatepass")
        yield Form(content, len(content))


def binary_forms(vectors: Vectors) -> tuple[NDArray[np.uint8], ...]:
    """Every way in which some store is known to keep vectors as bytes.

    As given and at length 1 (in float32 and in float64 arithmetic), as float32, float16
    and float64 of either byte order, and as the list of floats that pickle writes.

    Args:
        vectors: (n, dim) float32.

    Returns:
        Arrays (n, width) of bytes, one per form, none twice.
    """
    given = np.ascontiguousarray(vectors, dtype="<f4")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        units = list(_at_length_one(given))
        forms = [given, *units]
        forms += [array.astype("<f2") for array in (given, units[0])]
        forms += [array.astype(">f4") for array in (given, units[0])]
        forms += [array.astype("<f8") for array in (given, units[0])]
    found = [_bytes_of(form) for form in forms]
    found += [_pickled(array) for array in (given, units[0])]
    return unlike(found)


def decimal_forms(vectors: Vectors) -> Iterator[tuple[int, Form]]:
    """Vectors as JSON and CSV write them: the row and the form, several a row."""
    for row, vector in enumerate(vectors[:, :MAX_DECIMALS]):
        # What numpy calls a float32 and what Python does: 0.1 and 0.10000000149011612.
        for numbers in ([repr(float(x)) for x in vector], [repr(float(str(x))) for x in vector]):
            for separator in (", ", ","):
                yield row, Form(separator.join(numbers).encode("ascii"), DECIMAL_BYTES)


def unlike(forms: list[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], ...]:
    """The forms without those that are the same as an earlier one."""
    kept: list[NDArray[np.uint8]] = []
    for form in forms:
        if not any(form.shape == other.shape and np.array_equal(form, other) for other in kept):
            kept.append(form)
    return tuple(kept)


def _at_length_one(given: Vectors) -> Iterator[Vectors]:
    """Unit rows as different libraries round them: first in float64, then in float32.

    They add up the squares in other orders, and divide by the length or multiply by its
    inverse (hnswlib): the last bits differ.
    """
    squares = given * given
    wide = np.sum(given.astype("<f8") ** 2, axis=1, keepdims=True)
    yield (given / np.where(wide > 0, np.sqrt(wide), 1)).astype("<f4")
    for total in (
        wide.astype("<f4"),
        np.sum(squares, axis=1, keepdims=True),
        np.cumsum(squares, axis=1, dtype="<f4")[:, -1:],
    ):
        length = np.where(total > 0, np.sqrt(total), np.float32(1))
        yield (given / length).astype("<f4")
        yield (given * (np.float32(1) / length)).astype("<f4")


def _bytes_of(array: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).view(np.uint8).reshape(len(array), -1)


def _pickled(array: NDArray[np.float32]) -> NDArray[np.uint8]:
    # pickle's BINFLOAT: the letter G, then the number as eight bytes, the highest first.
    n, dim = array.shape
    form = np.empty((n, dim, 9), dtype=np.uint8)
    form[:, :, 0] = ord("G")
    form[:, :, 1:] = _bytes_of(array.astype(">f8")).reshape(n, dim, 8)
    return form.reshape(n, 9 * dim)
