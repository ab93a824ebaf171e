"""Questions asked of a store before and after: it must answer as if it never held the target.

Before anything is deleted, each question's list is noted deeply enough that k passages
remain once the target is taken out of it. That is the list of an index that never held
the target, as far as its own search is exact; afterwards the store must give it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ragshield.errors import StoreError
from ragshield.forget.saved.snapshot import packed, unpacked
from ragshield.oracle import Comparison, Group, Ranked, auc, compared, exact, searched
from ragshield.protocols import Store
from ragshield.records import Batch, Vector, Vectors

K = 10
N_QUESTIONS = 30
EXACT_ROWS = 5_000
_LEAST = 4
_PATIENCE_S = 1.0
_DEEPEST = 2_000
GROUPS: tuple[Group, ...] = ("target", "neighbour", "retain")

__all__ = ["EXACT_ROWS", "K", "all_of", "ask_again", "probes_of", "rebuilt"]


def probes_of(
    store: Store, batch: Batch, never: Collection[str], *, n: int = N_QUESTIONS
) -> dict[str, Any]:
    """Ask questions of a store that still holds the target, and note what it should find.

    Target questions are the vectors of the target itself; neighbour questions those of the
    passages next to it; retain questions those of passages anywhere else. As many of each
    as a second allows, four at least.

    Args:
        store: open; nothing was deleted yet.
        batch: what will be deleted.
        never: ids of everything that will be deleted from this store.
        n: questions of each kind, at most.

    Returns:
        What JSON can hold; empty where there are no vectors to ask with.
    """
    if batch.vectors is None or not len(batch) or store.dim is None:
        return {}
    usable = np.isfinite(batch.vectors).all(axis=1) & batch.vectors.any(axis=1)
    rows = np.flatnonzero(usable)
    rng = np.random.default_rng(len(batch))
    targets = batch.vectors[rng.permutation(rows)[:n]]
    groups: dict[str, Any] = {}
    near: list[Vector] = []
    known: set[str] = set()
    for name in GROUPS:
        asked: list[Vector] = []
        lists: list[Ranked] = []
        start = time.monotonic()
        for question in _questions(store, name, targets, near, known, never, n, rng):
            found, vectors = _deep(store, question, never)
            if name == "target":
                near += [v for v, x in zip(vectors, found.ids, strict=True) if x not in never][:3]
            asked.append(question)
            lists.append(found)
            late = time.monotonic() - start > _PATIENCE_S
            if len(asked) >= n or (late and len(asked) >= _LEAST):
                break
        groups[name] = {
            "questions": [packed(question) for question in asked],
            "ids": [list(ranked.ids) for ranked in lists],
            "similarity": [list(ranked.similarity) for ranked in lists],
        }
    return groups


def ask_again(
    store: Store, probes: Mapping[str, Any], never: Collection[str]
) -> tuple[Comparison, dict[str, Any]]:
    """Ask the same questions of the store that forgot, and compare.

    Args:
        store: open; what is in `never` should be gone.
        probes: from `probes_of`.
        never: ids that are gone by now.

    Returns:
        The comparison, and membership inference: how well an observer can tell the
        forgotten passages from ones that were never there, beside the same for the
        expected lists; and how many forgotten passages were found, which must be none.
    """
    mine: dict[Group, list[Ranked]] = {}
    oracle: dict[Group, list[Ranked]] = {}
    n_back, forgotten = 0, set(never)
    for name in GROUPS:
        group = probes.get(name)
        if not group:
            continue
        expected = [
            Ranked(tuple(ids), tuple(similarity)).without(never, K)
            for ids, similarity in zip(group["ids"], group["similarity"], strict=True)
        ]
        rows = np.array([unpacked(text) for text in group["questions"]], dtype=np.float32)
        # As deep as before: an approximate index looks further for a longer list.
        found = [
            searched(store, rows[i : i + 1], max(K, len(ids)))[0].without((), K)
            for i, ids in enumerate(group["ids"])
        ]
        n_back += len({x for one in found for x in one.ids} & forgotten)
        oracle[name] = expected
        # Cut off where the list was not noted deeply enough, so that like meets like.
        mine[name] = [
            _cut(one, other) if len(other.ids) < K and len(noted) >= _DEEPEST else one
            for one, other, noted in zip(found, expected, group["ids"], strict=True)
        ]
    return compared(mine, oracle, k=K), {**_membership(mine, oracle), "n_forgotten_found": n_back}


def all_of(store: Store) -> tuple[Batch, ...]:
    """What an index can be built anew from; nothing for more than 5,000 passages."""
    return tuple(store.batches()) if 0 < store.count() <= EXACT_ROWS else ()


def rebuilt(store: Store, probes: Mapping[str, Any], live: Sequence[Batch]) -> Comparison | None:
    """The store's own search beside an exact index built anew from what it holds now.

    Args:
        store: open.
        probes: from `probes_of`.
        live: from `all_of`: read once, however many plans ask.

    Returns:
        The comparison; None where nothing is to be built from, or there is nothing to ask.
    """
    if not probes or not live:
        return None
    mine, oracle = {}, {}
    for name in GROUPS:
        rows = np.array([unpacked(q) for q in probes[name]["questions"]], dtype=np.float32)
        if len(rows):
            mine[name] = searched(store, rows, K)
            oracle[name] = exact(live, rows, K)
    return compared(mine, oracle, k=K)


def _questions(
    store: Store,
    name: Group,
    targets: Vectors,
    near: list[Vector],
    known: set[str],
    never: Collection[str],
    n: int,
    rng: np.random.Generator,
) -> Iterator[Vector]:
    if name == "target":
        yield from targets
    elif name == "neighbour":
        different = {vector.tobytes(): vector for vector in near}
        yield from list(different.values())[:n]
    else:
        # Whatever lies nearest to random directions: rows from all over the store, for the
        # price of a search each.
        for direction in rng.standard_normal((n, targets.shape[1])).astype(np.float32):
            found = store.search(direction, 3)
            for hit, vector in zip(found.hits, found.vectors, strict=True):
                if hit.id not in never and hit.id not in known:
                    known.add(hit.id)
                    yield vector
                    break


def _deep(store: Store, question: Vector, never: Collection[str]) -> tuple[Ranked, Vectors]:
    """A list that holds K passages beside the target, if the store has so many."""
    depth = 2 * K
    while True:
        try:
            found = store.search(question, depth)
        except StoreError:
            return Ranked((), ()), np.zeros((0, len(question)), dtype=np.float32)
        n_live = sum(hit.id not in never for hit in found.hits)
        if n_live >= K or len(found.hits) < depth or depth >= _DEEPEST:
            ids = tuple(hit.id for hit in found.hits)
            return Ranked(ids, tuple(hit.similarity for hit in found.hits)), found.vectors
        depth = min(_DEEPEST, depth * 4)


def _cut(one: Ranked, other: Ranked) -> Ranked:
    n = len(other.ids)
    return Ranked(one.ids[:n], one.similarity[:n]) if n else one


def _membership(
    mine: Mapping[Group, list[Ranked]], oracle: Mapping[Group, list[Ranked]]
) -> dict[str, Any]:
    """MUSE's privacy leakage: see `ragshield.oracle.privacy_leak`.

    Passages that were never there are made of live ones: the best similarity to each
    beside itself.
    """
    never = [
        one.similarity[1]
        for name in GROUPS[1:]
        for one in mine.get(name, ())
        if len(one.similarity) > 1
    ]
    if not never or not mine.get("target"):
        return {}
    found = auc([one.best for one in mine["target"]], never)
    base = auc([one.best for one in oracle["target"]], never)
    leak = (found - base) / base * 100 if base else (0.0 if found == base else None)
    return {"n": len(mine["target"]), "auc": found, "auc_oracle": base, "privacy_leak": leak}
