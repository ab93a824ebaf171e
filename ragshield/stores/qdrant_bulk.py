"""Many points of Qdrant's local mode at once: their numbers are not read one by one."""

from __future__ import annotations

import io
import pickletools
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Vector
from ragshield.stores.qdrant_points import Point, dense_vector, read_point

_FRAME_END = 11
"""A pickle begins with its protocol (2 bytes) and the length of what follows (9 bytes)."""

_FRAME, _STRING, _MEMOIZE, _LONG, _NUMBER = 0x95, 0x8C, 0x94, 0x8A, ord("G")
_WIDTH = 9
"""Bytes of a number: what it is, and its 64 bits."""

_FIXED_WIDTHS = {ord("K"): 2, ord("M"): 3, ord("J"): 5}
_AT_ONCE = 2048


class Shape(NamedTuple):
    """How a client pickled the points of a collection, as one of them shows.

    Attributes:
        head: bytes from the start, without the length at 2 to 11, up to the point's id.
        middle: bytes from behind the id to the first number of the vector.
        region: bytes of the numbers, to the end of their list.
        runs: where in the region numbers begin that follow each other, and how many do.
        others: (m,) where in the region bytes lie that belong to none of them.
        key: the vector's name; None for the unnamed one.
    """

    head: bytes
    middle: bytes
    region: bytes
    runs: tuple[tuple[int, int], ...]
    others: NDArray[np.int64]
    key: str | None


def read_points(
    pickles: Iterable[bytes], name: str | None, where: str
) -> tuple[list[Point], list[Vector | None]]:
    """Points and their dense vectors, (dim,) float32 or None, as `read_point` reads them.

    A vector of 384 numbers takes a pickle four times as long as all the rest. So where a
    pickle has byte for byte the shape of the first one up to its id, and from there to
    its numbers, these are cut out and converted together, and the rest is read without
    them. Any other pickle is read whole.

    Args:
        pickles: of the points, in any number: no more than 2,048 are held at once.
        name: of the dense vector; None for the unnamed one.
        where: what an error names.

    Returns:
        The points, in their order, with one number left of each vector that was cut out;
        and the vectors.

    Raises:
        StoreError: as `read_point` does.
    """
    points: list[Point] = []
    vectors: list[Vector | None] = []
    shape: Shape | None = None
    left = iter(pickles)
    while some := list(islice(left, _AT_ONCE)):
        if not points:
            shape = shape_of(some[0], name, where)
        cut = [None if shape is None else _cut(pickled, shape) for pickled in some]
        numbers, fits = _converted([c[1] for c in cut if c is not None], shape)
        row = 0
        for pickled, parts in zip(some, cut, strict=True):
            if parts is not None:
                row += 1
                if fits[row - 1] and (point := _rest(parts[0], shape, where)) is not None:
                    points.append(point)
                    vectors.append(numbers[row - 1])
                    continue
            point = read_point(pickled, where)
            points.append(point)
            vectors.append(dense_vector(point, name))
    return points, vectors


def shape_of(pickled: bytes, name: str | None, where: str) -> Shape | None:
    """The shape of one pickle; None where numbers cannot be cut out of it."""
    if pickled[2:3] != bytes([_FRAME]):
        return None
    try:
        shape = _parsed(list(pickletools.genops(io.BytesIO(pickled))), pickled)
    except ValueError:
        return None
    if shape is None or shape.key != name:
        return None
    cut = _cut(pickled, shape)
    if cut is None:
        return None
    numbers, fits = _converted([cut[1]], shape)
    point, whole = _rest(cut[0], shape, where), read_point(pickled, where)
    vector = dense_vector(whole, name)
    same = (
        point is not None
        and vector is not None
        and bool(fits[0])
        and numbers[0].tobytes() == vector.tobytes()
        and (point.id, point.payload) == (whole.id, whole.payload)
    )
    return shape if same else None


def _parsed(steps: Sequence[tuple[Any, Any, int | None]], pickled: bytes) -> Shape | None:
    names = [step.name for step, _, _ in steps]
    at = [position or 0 for _, _, position in steps]
    own = next(
        (i for i, (step, said, _) in enumerate(steps) if said == "id" and "UNICODE" in step.name),
        None,
    )
    first = next((i for i, what in enumerate(names) if what == "BINFLOAT"), None)
    if (
        own is None
        or first is None
        or names[first - 3 : first] != ["EMPTY_LIST", "MEMOIZE", "MARK"]
    ):
        return None
    end = first
    while names[end] == "BINFLOAT" or (names[end - 1 : end + 1] == ["APPENDS", "MARK"]):
        end += 1
        if names[end] == "APPENDS":
            end += 1
    begin, stop = at[first], at[end]
    own_at = at[own + 2]  # behind the text "id" and its memo
    own_end = _behind_id(pickled, own_at)
    if own_end is None or own_end > at[first]:
        return None
    starts = np.array([at[i] - begin for i in range(first, end) if names[i] == "BINFLOAT"])
    breaks = np.flatnonzero(np.diff(starts) != _WIDTH) + 1
    runs = tuple((int(run[0]), len(run)) for run in np.split(starts, breaks))
    within = np.zeros(stop - begin, dtype=np.bool_)
    within[(starts[:, None] + np.arange(_WIDTH)).ravel()] = True
    said = steps[first - 5][1] if names[first - 4] == "MEMOIZE" else None
    return Shape(
        head=pickled[:2] + pickled[_FRAME_END:own_at],
        middle=pickled[own_end:begin],
        region=pickled[begin:stop],
        runs=runs,
        others=np.flatnonzero(~within),
        key=None if said == "vector" else said,
    )


def _behind_id(pickled: bytes, at: int) -> int | None:
    """Where the id at a place ends; None where it is neither a short text nor a number."""
    kind = pickled[at]
    if kind in _FIXED_WIDTHS:
        return at + _FIXED_WIDTHS[kind]
    end = at + 2 + pickled[at + 1]
    if kind == _LONG:
        return end
    if kind == _STRING and pickled[end : end + 1] == bytes([_MEMOIZE]):
        return end + 1
    return None


def _cut(pickled: bytes, shape: Shape) -> tuple[bytes, bytes] | None:
    """A pickle without all but the first of its numbers, and the bytes of all of them."""
    head, middle, region = shape.head, shape.middle, shape.region
    own_at = len(head) + _FRAME_END - 2
    if len(pickled) < own_at + len(middle) + len(region):
        return None
    if pickled[:2] != head[:2] or pickled[_FRAME_END:own_at] != head[2:]:
        return None
    own_end = _behind_id(pickled, own_at)
    if own_end is None:
        return None
    begin = own_end + len(middle)
    stop = begin + len(region)
    frame = int.from_bytes(pickled[3:_FRAME_END], "little")
    if pickled[2] != _FRAME or pickled[own_end:begin] != middle:
        return None
    if not stop <= frame + _FRAME_END <= len(pickled):
        return None
    # Within a frame, the reader takes what it needs from memory: many times as fast.
    length = (frame - len(region) + _WIDTH + 1).to_bytes(8, "little")
    parts = (pickled[:3], length, pickled[_FRAME_END : begin + _WIDTH], b"e", pickled[stop:])
    return b"".join(parts), pickled[begin:stop]


def _converted(
    regions: Sequence[bytes], shape: Shape | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The numbers of many regions, and which regions have the shape's bytes between them."""
    if shape is None or not regions:
        return np.zeros((0, 0), dtype=np.float32), np.zeros(0, dtype=np.bool_)
    joined, width = b"".join(regions), len(shape.region)
    table = np.frombuffer(joined, dtype=np.uint8).reshape(len(regions), width)
    sample = np.frombuffer(shape.region, dtype=np.uint8)
    fits = (table[:, shape.others] == sample[shape.others]).all(axis=1)
    found = []
    for start, n in shape.runs:
        fits &= (table[:, start : start + n * _WIDTH : _WIDTH] == _NUMBER).all(axis=1)
        as_stored = np.ndarray(
            (len(regions), n), dtype=">f8", buffer=joined, offset=start + 1, strides=(width, _WIDTH)
        )
        with np.errstate(over="ignore", invalid="ignore"):
            found.append(as_stored.astype(np.float32))
    return np.concatenate(found, axis=1), fits


def _rest(pickled: bytes, shape: Shape | None, where: str) -> Point | None:
    """The point of a pickle that kept one number; None if something else became of it."""
    point = read_point(pickled, where)
    vector = point.vector
    if shape is not None and shape.key is not None and isinstance(vector, dict):
        vector = vector.get(shape.key)
    return point if isinstance(vector, list) and len(vector) == 1 else None
