"""Files that only their key opens, and keys and files that are destroyed for good."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ragshield.errors import IncompleteError, InputError, UsageError
from ragshield.files import check_writable

MAGIC = b"RAGSEAL1"
KEY_SCHEMA = "ragshield-snapshot-key/1"
_CHUNK = 1 << 16
_TAG = 16
_PREFIX = 7


@dataclass(frozen=True, slots=True)
class Keys:
    """What a snapshot is opened with, and what commitments are made with.

    Attributes:
        key: 32 bytes, of AES-256.
        salt: 32 bytes, see `ragshield.proof.Commitments`.
    """

    key: bytes
    salt: bytes


def seal(lines: Iterable[bytes], path: Path, key: bytes) -> str:
    """Write an encrypted file; on disk, under its final name, when this returns.

    AES-256-GCM over chunks of 64 KiB, numbered and the last one marked (the STREAM
    construction), so that none can be changed, moved, or cut off. The key is used once.

    Args:
        lines: the content, in pieces of any length.
        path: the file; readable by its owner alone.
        key: 32 random bytes that nothing else was encrypted with.

    Returns:
        SHA-256 of the file.

    Raises:
        UsageError: the file cannot be written.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    check_writable(path)
    cipher, prefix, digest = AESGCM(key), secrets.token_bytes(_PREFIX), hashlib.sha256()
    beside = unfinished(path)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            header = MAGIC + prefix
            digest.update(header)
            file.write(header)
            for number, (chunk, last) in enumerate(_chunks(lines)):
                sealed = cipher.encrypt(_nonce(prefix, number, last), chunk, MAGIC)
                digest.update(sealed)
                file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; nothing was deleted"
        ) from error
    return digest.hexdigest()


def unseal(path: Path, key: bytes) -> Iterator[bytes]:
    """The lines of a sealed file, without their ends; memory does not grow with it.

    Raises:
        InputError: unreadable, changed, cut off, or sealed with another key.
    """
    rest = b""
    for chunk in _opened(path, key):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest


def is_sealed(path: Path) -> bool:
    """Whether a file is one of these; one that is not there is not."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def new_keys(path: Path) -> Keys:
    """Fresh keys in a file of their own that its owner alone may read.

    Raises:
        UsageError: the file cannot be written.
    """
    from ragshield.proof.signing import write_private

    check_writable(path)
    keys = Keys(secrets.token_bytes(32), secrets.token_bytes(32))
    record = {"schema": KEY_SCHEMA, "key": keys.key.hex(), "salt": keys.salt.hex()}
    try:
        write_private(path, json.dumps(record).encode("ascii") + b"\n")
        sync_folder(path.parent)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; nothing was deleted"
        ) from error
    return keys


def read_keys(path: Path) -> Keys:
    """Keys from their file.

    Raises:
        InputError: missing or damaged.
    """
    try:
        record = json.loads(path.read_bytes())
        if record["schema"] != KEY_SCHEMA:
            raise ValueError(f"its schema is {record['schema']!r:.40}")
        keys = Keys(bytes.fromhex(record["key"]), bytes.fromhex(record["salt"]))
    except OSError as error:
        raise InputError(
            f"cannot read the snapshot's key {path}: {error.strerror or error}; without it "
            "nothing can be restored"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no snapshot key ({error!s:.80})") from error
    if len(keys.key) != 32 or len(keys.salt) != 32:
        raise InputError(f"{path} is no snapshot key: keys of 32 bytes are needed")
    return keys


def destroy(path: Path) -> None:
    """Overwrite a file with random bytes, wait for the disk, and remove it.

    Where the disk maps blocks anew (SSDs), or the file system copies on writing or keeps
    snapshots, old blocks may survive. A file that is gone already is fine.

    Raises:
        IncompleteError: it is still there.
    """
    try:
        with path.open("r+b") as file:
            left = os.fstat(file.fileno()).st_size
            while left > 0:
                left -= file.write(secrets.token_bytes(min(left, 1 << 20)))
            file.flush()
            os.fsync(file.fileno())
            file.truncate(0)
            os.fsync(file.fileno())
        path.unlink()
        sync_folder(path.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise IncompleteError(
            f"cannot destroy {path}: {error.strerror or error}; remove the cause and repeat"
        ) from error


def unfinished(path: Path) -> Path:
    """Where a file is written before it gets its name; left there by a crash."""
    return path.with_name(f".{path.name}.part")


def sync_folder(folder: Path) -> None:
    """Make renames and removals in a folder sure to survive a power cut."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _opened(path: Path, key: bytes) -> Iterator[bytes]:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher = AESGCM(key)
    try:
        with path.open("rb") as file:
            header = file.read(len(MAGIC) + _PREFIX)
            prefix = header[len(MAGIC) :]
            if not header.startswith(MAGIC) or len(prefix) < _PREFIX:
                raise InputError(f"{path} is no sealed snapshot")
            number, chunk = 0, file.read(_CHUNK + _TAG)
            while True:
                following = file.read(_CHUNK + _TAG)
                nonce = _nonce(prefix, number, not following)
                yield cipher.decrypt(nonce, chunk, MAGIC)
                if not following:
                    return
                number, chunk = number + 1, following
    except InvalidTag as error:
        raise InputError(
            f"the snapshot {path} is damaged, or sealed with another key; nothing was touched"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read the snapshot {path}: {error.strerror or error}") from error


def _chunks(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The content in chunks of one size, and whether each is the last."""
    rest = bytearray()
    for piece in pieces:
        rest += piece
        while len(rest) > _CHUNK:
            yield bytes(rest[:_CHUNK]), False
            del rest[:_CHUNK]
    yield bytes(rest), True


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])
