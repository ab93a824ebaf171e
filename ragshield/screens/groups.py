"""Groups of passages: joining pairs, and a name for a group that does not change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def join(n: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Connected groups of two or more of the numbers 0..n-1 (union-find).

    Returns:
        Each group sorted; groups in the order of their smallest member.
    """
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs:
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    groups: dict[int, list[int]] = {}
    for i in range(n):
        groups.setdefault(root(i), []).append(i)
    return [members for members in groups.values() if len(members) > 1]


def group_id(passage_ids: Iterable[str]) -> str:
    """A name that depends on the members only, not on their order."""
    joined = "\0".join(sorted(passage_ids))
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:12]
