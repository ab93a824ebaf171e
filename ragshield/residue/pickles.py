"""The values in a pickle, read off its opcodes: nothing in it is ever executed."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import IO, cast

import numpy as np

from ragshield.errors import StoreError

_SUFFIXES = frozenset({".pickle", ".pkl", ".p"})
_FLOATS = 4096
_NEWEST = 5


def looks_pickled(head: bytes, suffix: str = "") -> bool:
    """Whether bytes begin like a pickle; old ones, without a mark, only by their suffix."""
    if len(head) >= 3 and head[0] == 0x80 and 2 <= head[1] <= _NEWEST:
        # The second opcode begins a frame or a value.
        return head[2] in b"\x95]})(KXUTcGJCBN\x8c\x8d\x8e\x96\x88\x89M\x8a"
    return suffix in _SUFFIXES and bool(head) and head[:1] in b"(]}cVSIFL"


def pickled_values(file: IO[bytes], suffix: str = "") -> Iterator[bytes]:
    """Texts and bytes as they are, and numbers in a row as float32 next to each other.

    Raises:
        StoreError: it is no pickle, or is damaged.
    """
    floats: list[float] = []
    try:
        for opcode, argument, _ in _operations(file):
            if isinstance(argument, float):
                floats.append(argument)
                if len(floats) < _FLOATS:
                    continue
            if opcode.name in _BETWEEN:
                continue
            if floats:
                yield _packed(floats)
                # Vectors longer than the row are seen across it: the end begins the next.
                floats = floats[-32:] if isinstance(argument, float) else []
            if isinstance(argument, str):
                yield argument.encode("utf-8", "surrogatepass")
            elif isinstance(argument, bytes | bytearray):
                yield bytes(argument)
        if floats:
            yield _packed(floats)
    except (ValueError, KeyError, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise StoreError(f"cannot be read as a pickle: {str(error)[:80]}") from error


_BETWEEN = frozenset(
    {"MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "MARK", "FRAME", "APPEND", "APPENDS"}
)
"""Opcodes that stand between the numbers of one list."""


def _operations(file: IO[bytes]) -> Iterator[tuple[pickletools.OpcodeInfo, object, int | None]]:
    """Every operation of one pickle after the other."""
    while True:
        start = file.read(1)
        if not start:
            return
        yield from pickletools.genops(cast("IO[bytes]", _Pushed(start, file)))


class _Pushed:
    """A stream with one byte put back at its beginning."""

    def __init__(self, first: bytes, file: IO[bytes]) -> None:
        self._first = first
        self._file = file

    def read(self, size: int) -> bytes:
        if self._first and size > 0:
            first, self._first = self._first, b""
            return first + (self._file.read(size - 1) if size > 1 else b"")
        return self._file.read(size)

    def readline(self) -> bytes:
        first, self._first = self._first, b""
        return first + self._file.readline()


def _packed(floats: list[float]) -> bytes:
    with np.errstate(over="ignore"):
        return np.array(floats, dtype="<f8").astype("<f4").tobytes()
