"""Files of artefacts as surfaces, and files that are made to disappear."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ragshield.errors import IncompleteError, StoreError
from ragshield.protocols import Surface

_BLOCK = 1 << 22


def file_surface(path: Path, name: str) -> Surface:
    """A file as it lies on disk."""

    def blocks() -> Iterator[bytes]:
        try:
            with path.open("rb") as file:
                while block := file.read(_BLOCK):
                    yield block
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error

    return Surface(name, "file", path.stat().st_size if path.exists() else None, blocks)


def json_surface(path: Path, name: str) -> Surface:
    """Every string in a JSON file without its escapes, one a line, also in strings of JSON."""

    def blocks() -> Iterator[bytes]:
        try:
            value = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read as JSON: {error}") from error
        block = bytearray()
        for text in strings_in(value):
            block += text.encode("utf-8", "surrogatepass") + b"\n"
            while len(block) >= _BLOCK:
                yield bytes(block[:_BLOCK])
                del block[:_BLOCK]
        if block:
            yield bytes(block)

    return Surface(f"{name} (texts)", "decoded", None, blocks)


def strings_in(value: Any) -> Iterator[str]:
    """Every string inside a JSON value, keys too, in order."""
    if isinstance(value, str):
        yield value
        if value[:1] in ("{", "["):
            try:
                inner = json.loads(value)
            except ValueError:
                return
            yield from strings_in(inner)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from strings_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_in(inner)


def overwrite_and_unlink(path: Path) -> None:
    """Write zeros over a file, then remove it; a file that is not there is no error.

    Raises:
        IncompleteError: it cannot be written or removed.
    """
    try:
        size = path.stat().st_size
        with path.open("r+b", buffering=0) as file:
            for start in range(0, size, _BLOCK):
                file.write(bytes(min(_BLOCK, size - start)))
            os.fsync(file.fileno())
        path.unlink()
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return
    except OSError as error:
        raise IncompleteError(f"{path} cannot be removed: {error.strerror or error}") from error
