"""Reading formats that hide what they hold: compressed, packed, in columns, pickled."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from ragshield.errors import StoreError
from ragshield.residue.pickles import looks_pickled, pickled_values

_BLOCK = 1 << 20
_HEAD = 64
_NESTED = 3
_MOST_TIMES = 2000
_ALWAYS_ALLOWED = 1 << 30
_MOST_IN_MEMORY = 256 << 20
_SEPARATOR = bytes(32)
SQLITE_MAGIC = b"SQLite format 3\0"


class Decoder(NamedTuple):
    """How a file in some format is read.

    Attributes:
        what: what it gives, for the surface's name.
        blocks: reads a file; raises `StoreError` where it cannot.
    """

    what: str
    blocks: Callable[[Path], Iterator[bytes]]


def decoder_of(path: Path) -> Decoder | None:
    """How to decode a file, by its first and last bytes; None where nothing is hidden."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if path.suffix == ".lance":
                file.seek(max(0, path.stat().st_size - 4))
                if file.read(4) == b"LANC":
                    return Decoder("columns", _lance)
    except OSError:
        return None  # reading it as it lies there says so
    if head.startswith(SQLITE_MAGIC):
        from ragshield.residue.databases import database_values

        return Decoder("values", database_values)
    if head.startswith((b"PAR1", b"ARROW1")):
        return Decoder("columns", _columns)
    if _unpacker(head) not in (None, _zlib):  # two bytes are too little to know a file by
        return Decoder("unpacked", _file)
    if looks_pickled(head, path.suffix):
        return Decoder("values", _file)
    return None


def unpacked(content: bytes) -> Iterator[bytes]:
    """What a value packed in some format holds; nothing where it is in none."""
    if _unpacker(content[:_HEAD]) is not None or looks_pickled(content[:_HEAD]):
        try:
            yield from _stream(BytesIO(content), _Budget(len(content)), _NESTED - 1)
        except StoreError:
            return  # bytes that only begin like it; they are looked at as they are


class _Budget:
    """Ends the unpacking of what would never end."""

    def __init__(self, n_bytes: int) -> None:
        self._left = max(_ALWAYS_ALLOWED, n_bytes * _MOST_TIMES)

    def spend(self, n_bytes: int) -> None:
        self._left -= n_bytes
        if self._left < 0:
            raise StoreError("it unpacks to over 2,000 times its size; not read to its end")


def _file(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from _stream(file, _Budget(path.stat().st_size), _NESTED, path.suffix)
    except OSError as error:
        raise StoreError(f"cannot read {path.name}: {error.strerror or error}") from error


def _stream(file: IO[bytes], budget: _Budget, depth: int, suffix: str = "") -> Iterator[bytes]:
    """The contents of a packed stream; what is packed in it is unpacked, too."""
    head = _peek(file)
    unpack = _unpacker(head)
    try:
        if unpack is None:
            for value in pickled_values(file, suffix):
                budget.spend(len(value))
                yield value
                yield _SEPARATOR
                if depth:
                    yield from unpacked(value)
            return
        for inner in unpack(file):
            while block := inner.read(_BLOCK):
                budget.spend(len(block))
                yield block
            yield _SEPARATOR
            inner.seek(0)
            within = _peek(inner)
            if depth and (_unpacker(within) is not None or looks_pickled(within)):
                yield from _stream(_seekable(inner), budget, depth - 1)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise StoreError(f"cannot be unpacked: {str(error) or type(error).__name__}") from error
    except (RuntimeError, NotImplementedError) as error:  # a zip with a password, or a rare method
        raise StoreError(f"cannot be unpacked: {error}") from error


def _peek(file: IO[bytes]) -> bytes:
    head = file.read(_HEAD)
    file.seek(0)
    return head


def _unpacker(head: bytes) -> Callable[[IO[bytes]], Iterator[IO[bytes]]] | None:
    if head.startswith(b"\x1f\x8b\x08"):
        return _gzip
    if head.startswith(b"BZh") and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return _bzip2
    if head.startswith(b"\xfd7zXZ\0"):
        return _xz
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstandard
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip
    if len(head) > 2 and head[0] == 0x78 and head[1] in (0x01, 0x5E, 0x9C, 0xDA):
        return _zlib
    return None


def _gzip(file: IO[bytes]) -> Iterator[IO[bytes]]:
    with gzip.GzipFile(fileobj=file, mode="rb") as inner:
        yield cast("IO[bytes]", inner)


def _bzip2(file: IO[bytes]) -> Iterator[IO[bytes]]:
    with bz2.BZ2File(file) as inner:
        yield inner


def _xz(file: IO[bytes]) -> Iterator[IO[bytes]]:
    with lzma.LZMAFile(file) as inner:
        yield inner


def _zip(file: IO[bytes]) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                with archive.open(member) as inner:
                    yield inner


def _zlib(file: IO[bytes]) -> Iterator[IO[bytes]]:
    # A value of a database, never large: whole files have a header of their own.
    content = file.read(_ALWAYS_ALLOWED)
    unpacker = zlib.decompressobj()
    yield BytesIO(unpacker.decompress(content, _ALWAYS_ALLOWED))


def _zstandard(file: IO[bytes]) -> Iterator[IO[bytes]]:
    try:
        import zstandard
    except ImportError as error:
        raise StoreError("compressed with Zstandard: pip install zstandard to look in") from error
    yield cast("IO[bytes]", _Rewindable(lambda: _zstandard_reader(zstandard, file)))


def _zstandard_reader(zstandard: Any, file: IO[bytes]) -> Any:
    file.seek(0)
    return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False)


class _Rewindable:
    """A stream that can go back to its beginning by being read once more."""

    def __init__(self, opened: Callable[[], Any]) -> None:
        self._opened = opened
        self._stream = opened()

    def read(self, size: int) -> bytes:
        try:
            content: bytes = self._stream.read(size)
        except Exception as error:  # zstandard's own error cannot be named without zstandard
            raise OSError(str(error)) from error
        return content

    def readline(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n") and (sign := self.read(1)):
            line += sign
        return bytes(line)

    def seek(self, offset: int) -> None:
        del offset  # always the beginning
        self._stream = self._opened()


def _seekable(file: IO[bytes]) -> IO[bytes]:
    """A stream that zip and others can jump about in."""
    if hasattr(file, "seekable"):
        return file
    content = file.read(_MOST_IN_MEMORY + 1)
    if len(content) > _MOST_IN_MEMORY:
        raise StoreError("a packed file of over 256 MB within a packed file; unpack the outer one")
    return BytesIO(content)


def _columns(path: Path) -> Iterator[bytes]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise StoreError("in columns: pip install pyarrow to look in") from error
    try:
        with path.open("rb") as opened:
            head = opened.read(4)
        if head == b"PAR1":
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=4096):
                    yield from column_bytes(batch)
        else:
            with pa.ipc.open_file(str(path)) as reader:
                for i in range(reader.num_record_batches):
                    yield from column_bytes(reader.get_batch(i))
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"cannot be decoded: {' '.join(str(error).split())}") from error


def _lance(path: Path) -> Iterator[bytes]:
    try:
        import pyarrow as pa
        from lance.file import LanceFileReader
    except ImportError as error:
        raise StoreError("a file of Lance: pip install pylance to look in") from error
    try:
        for batch in LanceFileReader(str(path)).read_all(batch_size=4096).to_batches():
            yield from column_bytes(batch)
    except (pa.ArrowException, OSError, ValueError, RuntimeError) as error:
        raise StoreError(f"cannot be decoded: {' '.join(str(error).split())}") from error


def column_bytes(batch: Any) -> Iterator[bytes]:
    """The bytes of every value of an Arrow record batch, column by column."""
    for column in batch.columns:
        yield from _array_bytes(column)


def _array_bytes(array: Any) -> Iterator[bytes]:
    dictionary = getattr(array, "dictionary", None)
    if dictionary is not None:
        yield from _array_bytes(dictionary)
        return
    for buffer in array.buffers():
        if buffer is not None:
            content = buffer.to_pybytes()
            for start in range(0, len(content), _BLOCK):
                yield content[start : start + _BLOCK]
            yield _SEPARATOR
