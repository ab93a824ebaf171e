"""Keyed hashes that stand for passages, names and requests, and say nothing of them."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from ragshield.errors import UsageError
from ragshield.proof.merkle import Inclusion, included, inclusion
from ragshield.records import Passage
from ragshield.text import normal_form

SALT_BYTES = 32


class Commitments:
    """HMAC-SHA256 under keys derived from one salt.

    Without the salt a commitment neither tells what it stands for nor lets a guess be
    tested. Each leaf of a closure has a key of its own, so that showing one item to the
    person it is about opens no other.

    Args:
        salt: 32 random bytes, see `new_salt`; keep them as secret as the data were.
    """

    def __init__(self, salt: bytes) -> None:
        if len(salt) != SALT_BYTES:
            raise UsageError(f"a salt has {SALT_BYTES} bytes, got {len(salt)}")
        self.salt = salt

    def key(self, purpose: str) -> bytes:
        """A key for one purpose, 32 bytes; keys of different purposes are independent."""
        return hmac.new(self.salt, purpose.encode(), hashlib.sha256).digest()

    def name(self, what: str, value: str) -> str:
        """Stands for a name: hex, 64 digits."""
        return _mac(self.key(what), value).hex()

    def text(self, text: str) -> str:
        """Stands for a text without regard to case, spaces and punctuation."""
        return self.name("text", normal_form(text) or text)

    def passage_id(self, passage_id: str) -> str:
        """Stands for an id."""
        return self.name("id", passage_id)

    def leaf_key(self, index: int) -> bytes:
        """The key of one leaf of the closure."""
        return self.key(f"leaf {index}")

    def leaf(self, index: int, passage: Passage) -> bytes:
        """A leaf of the closure's Merkle tree: 32 bytes."""
        return leaf_of(self.leaf_key(index), passage)


@dataclass(frozen=True, slots=True)
class Shown:
    """One item of a closure, opened to whoever it concerns, and no other.

    Attributes:
        key: of this leaf alone, 32 bytes.
        proof: that it is in the tree.
    """

    key: bytes
    proof: Inclusion


def new_salt() -> bytes:
    """A salt from the operating system's random source."""
    return secrets.token_bytes(SALT_BYTES)


def leaf_of(key: bytes, passage: Passage) -> bytes:
    """What stands for a passage under a leaf's key: 32 bytes."""
    return _mac(key, json.dumps([passage.id, passage.text]))


def show(commitments: Commitments, leaves: Sequence[bytes], passage: Passage) -> Shown | None:
    """The proof for one passage; None if it is not in the closure."""
    for index, leaf in enumerate(leaves):
        key = commitments.leaf_key(index)
        if hmac.compare_digest(leaf_of(key, passage), leaf):
            return Shown(key, inclusion(leaves, index))
    return None


def belongs(shown: Shown, passage: Passage, root: bytes) -> bool:
    """Whether what was shown proves that the passage belongs to the closure with this root."""
    return included(leaf_of(shown.key, passage), shown.proof, root)


def _mac(key: bytes, value: str) -> bytes:
    # ASCII of JSON: broken texts with lone surrogates have one form, too.
    return hmac.new(key, json.dumps(value).encode("ascii"), hashlib.sha256).digest()
