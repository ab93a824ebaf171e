"""Recognising bytes again by keyed hashes alone: no copy of what is looked for.

Each erased text and vector is cut into windows of 32 bytes. Of a window two numbers are
kept: a rolling hash, whose table is drawn from the key, and eight bytes of an HMAC that
confirms it. A piece of 63 bytes or more of what was erased holds a whole window.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

WIDTH = 32
"""Bytes in a window. What is shorter is not looked for in files."""

_CHECK_BYTES = 8
_FEWEST_VALUES = 8
_BLOCK = 1 << 20
_BITS = 24

Content: TypeAlias = Literal["text", "vector"]
Hashes: TypeAlias = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Keyed hashes of windows, sorted by rolling hash.

    Attributes:
        hashes: (n,) uint64 rolling hashes, ascending.
        checks: (n, 8) uint8, the beginning of each window's HMAC.
        is_vector: (n,) bool, whether it comes from a vector; else from a text.
    """

    hashes: Hashes
    checks: NDArray[np.uint8]
    is_vector: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.hashes)

    def select(self, kept: NDArray[np.bool_]) -> Windows:
        """Those at which `kept` is true."""
        return Windows(self.hashes[kept], self.checks[kept], self.is_vector[kept])


def windows_of(key: bytes, contents: Iterable[tuple[Content, bytes]]) -> Windows:
    """Cut contents into windows and hash them; windows of few different bytes are left out."""
    found: dict[bytes, bool] = {}
    for kind, content in contents:
        starts = list(range(0, len(content) - WIDTH + 1, WIDTH))
        if starts and starts[-1] != len(content) - WIDTH:
            starts.append(len(content) - WIDTH)
        for start in starts:
            window = content[start : start + WIDTH]
            if len(set(window)) >= _FEWEST_VALUES:
                found.setdefault(window, kind == "vector")
    pieces = list(found)
    rows = np.frombuffer(b"".join(pieces), dtype=np.uint8).reshape(-1, WIDTH)
    hashes = _rolling(_table(key), rows)[:, 0]
    checks = np.frombuffer(b"".join(_check(key, piece) for piece in pieces), dtype=np.uint8)
    order = np.argsort(hashes, kind="stable")
    flags = np.fromiter(found.values(), dtype=np.bool_, count=len(found))
    return Windows(hashes[order], checks.reshape(-1, _CHECK_BYTES)[order], flags[order])


def seen(key: bytes, windows: Windows, blocks: Iterable[bytes]) -> NDArray[np.bool_]:
    """Which windows occur in a stream of bytes: (n,) bool, in the order of `windows`.

    Memory stays the same however long the stream is; windows across the borders of
    blocks are found.
    """
    found = np.zeros(len(windows), dtype=np.bool_)
    if not len(windows):
        return found
    table = _table(key)
    present = np.zeros(1 << _BITS, dtype=np.bool_)
    present[windows.hashes >> np.uint64(64 - _BITS)] = True
    for piece in _pieces(blocks):
        rolling = _rolling(table, np.frombuffer(piece, dtype=np.uint8))
        maybe = np.flatnonzero(present[rolling >> np.uint64(64 - _BITS)])
        if not len(maybe):
            continue
        hits = maybe[np.isin(rolling[maybe], windows.hashes)]
        for at in hits.tolist():
            _confirm(key, windows, int(rolling[at]), piece[at : at + WIDTH], found)
    return found


def _confirm(
    key: bytes, windows: Windows, rolling: int, window: bytes, found: NDArray[np.bool_]
) -> None:
    value = np.uint64(rolling)
    first = int(np.searchsorted(windows.hashes, value, side="left"))
    last = int(np.searchsorted(windows.hashes, value, side="right"))
    if found[first:last].all():
        return
    check = np.frombuffer(_check(key, window), dtype=np.uint8)
    found[first:last] |= (windows.checks[first:last] == check).all(axis=1)


def _pieces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The stream in pieces of about a megabyte, each beginning with the end of the last."""
    rest = b""
    for block in blocks:
        for start in range(0, len(block), _BLOCK):
            piece = rest + block[start : start + _BLOCK]
            if len(piece) >= WIDTH:
                yield piece
                rest = piece[-(WIDTH - 1) :]
            else:
                rest = piece


def _rolling(table: Hashes, content: NDArray[np.uint8]) -> Hashes:
    """Hash of every window along the last axis: (..., n - WIDTH + 1) uint64.

    A polynomial over the table's values, modulo 2**64, built up by doubling the width.
    """
    values = table[content]
    factor, width = int(table[256]), 1
    while width < WIDTH:
        values = values[..., :-width] * np.uint64(factor) + values[..., width:]
        factor, width = factor * factor & 0xFFFFFFFFFFFFFFFF, width * 2
    return np.asarray(values)


def _table(key: bytes) -> Hashes:
    """256 random values and an odd factor, from the key."""
    stream = hashlib.shake_256(b"rolling" + key).digest(257 * 8)
    table = np.frombuffer(stream, dtype="<u8").astype(np.uint64)
    table[256] |= np.uint64(1)
    return table


def _check(key: bytes, window: bytes) -> bytes:
    return hmac.new(key, window, hashlib.sha256).digest()[:_CHECK_BYTES]


def spellings(texts: Sequence[str]) -> Iterator[tuple[Content, bytes]]:
    """The bytes in which texts may stand in a file: UTF-8, and as JSON escapes it."""
    for text in texts:
        plain = text.encode("utf-8", "surrogatepass")
        escaped = _escaped(text)
        yield "text", plain
        if escaped != plain:
            yield "text", escaped


def _escaped(text: str) -> bytes:
    return json.dumps(text)[1:-1].encode("ascii")
