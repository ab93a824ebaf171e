"""The secret of a certificate: what it takes to recognise erased passages, and no passage."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ragshield.errors import InputError, UsageError
from ragshield.files import check_writable, read_text
from ragshield.proof.commitments import Commitments
from ragshield.proof.merkle import merkle_root
from ragshield.proof.signing import write_private
from ragshield.proof.windows import Windows, windows_of
from ragshield.records import Passage

SCHEMA = "ragshield-certificate-secret/1"


@dataclass(frozen=True, slots=True, eq=False)
class Secret:
    """The salt and keyed hashes behind a certificate.

    Whoever has it can test guesses: hash a text and see whether it was erased. It holds no
    text, no vector and no id. Keep it apart from the certificate, readable by few.

    Attributes:
        salt: 32 bytes.
        leaves: the closure's leaves, in the order of its Merkle tree.
        ids: keyed hashes of the erased ids.
        texts: keyed hashes of the erased texts' words.
        windows: keyed hashes of pieces of their bytes, for files.
        near: what a re-ingest guard keeps to know near copies by; empty if there is none.
    """

    salt: bytes
    leaves: tuple[bytes, ...]
    ids: frozenset[str]
    texts: frozenset[str]
    windows: Windows
    near: Mapping[str, Any] = field(default_factory=dict)

    @property
    def commitments(self) -> Commitments:
        """The keyed hashes' keys."""
        return Commitments(self.salt)

    @property
    def root(self) -> str:
        """The Merkle root of the closure, hex."""
        return merkle_root(self.leaves).hex()

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, hex; stands in the certificate."""
        return hashlib.sha256(_content(self)).hexdigest()

    def recognises(self, passage: Passage) -> bool:
        """Whether a passage has the words of an erased one."""
        return self.commitments.text(passage.text) in self.texts


def make_secret(
    salt: bytes,
    passages: Sequence[Passage],
    contents: Iterable[tuple[Any, bytes]],
    near: Mapping[str, Any] | None = None,
) -> Secret:
    """What is kept of passages that are about to be erased.

    Args:
        salt: from `new_salt`.
        passages: the closure, in the order of its leaves.
        contents: `("text" or "vector", bytes)` as they may stand in files.
        near: see `Secret.near`.
    """
    commitments = Commitments(salt)
    return Secret(
        salt=salt,
        leaves=tuple(commitments.leaf(i, passage) for i, passage in enumerate(passages)),
        ids=frozenset(commitments.passage_id(passage.id) for passage in passages),
        texts=frozenset(commitments.text(passage.text) for passage in passages),
        windows=windows_of(commitments.key("windows"), contents),
        near=dict(near or {}),
    )


def write_secret(secret: Secret, path: Path) -> None:
    """Write it, readable by its owner alone, whole or not at all.

    Raises:
        UsageError: the file cannot be written.
    """
    check_writable(path)
    try:
        write_private(path, _content(secret) + b"\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def read_secret(path: Path) -> Secret:
    """Read the secret of a certificate.

    Raises:
        InputError: unreadable, or no such file.
    """
    try:
        record = json.loads(read_text(path))
        if record["schema"] != SCHEMA:
            raise ValueError(f"its schema is {record['schema']!r:.40}")
        windows = record["windows"]
        hashes = np.frombuffer(base64.b64decode(windows["hashes"]), dtype="<u8")
        checks = np.frombuffer(base64.b64decode(windows["checks"]), dtype=np.uint8)
        flags = np.frombuffer(base64.b64decode(windows["is_vector"]), dtype=np.uint8)
        return Secret(
            salt=bytes.fromhex(record["salt"]),
            leaves=tuple(bytes.fromhex(leaf) for leaf in record["leaves"]),
            ids=frozenset(record["ids"]),
            texts=frozenset(record["texts"]),
            windows=Windows(
                hashes.astype(np.uint64), checks.reshape(len(hashes), -1), flags.astype(np.bool_)
            ),
            near=record["near"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no secret of a certificate ({error!s:.80})") from error


def _content(secret: Secret) -> bytes:
    record = {
        "schema": SCHEMA,
        "salt": secret.salt.hex(),
        "leaves": [leaf.hex() for leaf in secret.leaves],
        "ids": sorted(secret.ids),
        "texts": sorted(secret.texts),
        "windows": {
            "hashes": _base64(secret.windows.hashes.astype("<u8").tobytes()),
            "checks": _base64(secret.windows.checks.tobytes()),
            "is_vector": _base64(secret.windows.is_vector.astype(np.uint8).tobytes()),
        },
        "near": dict(secret.near),
    }
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode("ascii")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
