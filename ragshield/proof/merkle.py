"""Merkle trees as in RFC 9162: one hash for many, and proofs that one is among them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ragshield.errors import UsageError


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That a leaf stands at a place of a tree.

    Attributes:
        index: place of the leaf, from 0.
        n_leaves: leaves in the tree.
        path: hashes of the neighbours from the leaf up, 32 bytes each.
    """

    index: int
    n_leaves: int
    path: tuple[bytes, ...]


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The tree's hash, 32 bytes (RFC 9162, section 2.1.1); of no leaves, SHA-256 of nothing."""
    if not leaves:
        return hashlib.sha256().digest()
    level = [_leaf(leaf) for leaf in leaves]
    while len(level) > 1:
        # A last one without a neighbour moves up as it is: the split of the RFC.
        paired = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
    return level[0]


def inclusion(leaves: Sequence[bytes], index: int) -> Inclusion:
    """Proof that the leaf at `index` is in the tree (section 2.1.3).

    Raises:
        UsageError: no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise UsageError(f"leaf {index} of {len(leaves)}; leaves are numbered from 0")
    level, at, path = [_leaf(leaf) for leaf in leaves], index, []
    while len(level) > 1:
        beside = at ^ 1
        if beside < len(level):
            path.append(level[beside])
        paired = [_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level, at = paired + level[len(paired) * 2 :], at // 2
    return Inclusion(index, len(leaves), tuple(path))


def included(leaf: bytes, proof: Inclusion, root: bytes) -> bool:
    """Whether the proof shows that the leaf belongs to the tree with this root."""
    at, last = proof.index, proof.n_leaves - 1
    if not 0 <= at <= last:
        return False
    found = _leaf(leaf)
    for beside in proof.path:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = _node(beside, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = _node(found, beside)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
