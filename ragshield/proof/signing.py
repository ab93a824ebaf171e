"""Ed25519 signatures, by the library cryptography, and the files that keys live in."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ragshield.errors import InputError, UsageError
from ragshield.files import check_writable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_SUFFIX = ".pub"


class SigningKey:
    """An operator's key, in memory."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    @property
    def public(self) -> bytes:
        """The public half, 32 bytes."""
        return self._private.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._private.sign(data)


def key_id(public: bytes) -> str:
    """What people compare: the first 32 hex digits of the public key's SHA-256."""
    return hashlib.sha256(public).hexdigest()[:32]


def new_key() -> SigningKey:
    """A fresh key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return SigningKey(Ed25519PrivateKey.generate())


def opened_key(path: Path) -> tuple[SigningKey, bool]:
    """The key in a file; made there, and its public half beside it, if there is none.

    The private half is PEM (PKCS 8) and readable by its owner alone; the public half is
    PEM in `FILE.pub`, for those who verify.

    Returns:
        The key, and whether it was just made.

    Raises:
        InputError: no Ed25519 key, or others may read it.
        UsageError: the file cannot be written.
    """
    if not path.exists():
        return _made(path), True
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise InputError(f"{path}: others may read this signing key; run: chmod 600 {path}")
        found = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path} is no signing key: {error!s:.80}") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise InputError(f"{path} holds a key of another kind; Ed25519 is needed")
    return SigningKey(found), False


def read_public_key(path: Path) -> bytes:
    """A public key from PEM, or from 64 hex digits: 32 bytes.

    Raises:
        InputError: neither.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    with suppress(ValueError):
        if len(raw := bytes.fromhex(content.decode("ascii").strip())) == 32:
            return raw
    try:
        found = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path} is no public key: PEM or 64 hex digits are read") from error
    if not isinstance(found, Ed25519PublicKey):
        raise InputError(f"{path} holds a key of another kind; Ed25519 is needed")
    return found.public_bytes_raw()


def signature_holds(public: bytes, signature: bytes, data: bytes) -> bool:
    """Whether the signature of the data was made with the private half of this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _made(path: Path) -> SigningKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    check_writable(path)
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        write_private(path, pem)
        path.with_name(path.name + PUBLIC_SUFFIX).write_bytes(public)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    return SigningKey(private)


def write_private(path: Path, content: bytes) -> None:
    """A new file that its owner alone may read, whole or not at all; on disk afterwards."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
