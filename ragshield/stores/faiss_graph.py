"""Taking nodes out of an HNSW graph of FAISS, and mending the links that led to them.

FAISS cannot (`remove_ids` is not implemented for HNSW), and a graph built anew ranks live
rows otherwise than the old one did: measured on 10,000 rows of 384 dimensions, a quarter
of all top tens stayed as they were after one row was deleted. So links between live rows
stay, and each list that led to a removed node gets nodes from around that one instead,
chosen as HNSW chooses its links (Malkov and Yashunin, 2016, arXiv:1603.09320, algorithm
4): nearest first, and only those that are nearer to the node than to a link it has.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragshield.records import Vector, Vectors

_ENOUGH = 64  # candidates looked at for one list
_DEPTH = 4  # how far to look through removed nodes


def remove_nodes(faiss: Any, core: Any, gone: NDArray[np.int64]) -> None:
    """Remove nodes in place; those behind a removed one move up, as in a flat index.

    Args:
        faiss: the library.
        core: an IndexHNSWFlat.
        gone: numbers of the nodes.
    """
    graph = _Graph(faiss, core)
    dead = np.zeros(graph.n, dtype=np.bool_)
    dead[gone] = True
    if not dead.any():
        return
    # Many small products: threads would wait for each other longer than they work.
    limits: Any = import_module("threadpoolctl").threadpool_limits  # it has no type hints
    with limits(1, user_api="blas"):
        for node, level in graph.lists_that_lead_to(dead):
            graph.mend(node, level, dead)
    graph.reach_all(dead)
    graph.compact(dead)
    core.storage.remove_ids(faiss.IDSelectorBatch(np.flatnonzero(dead).astype(np.int64)))
    core.ntotal = int(core.storage.ntotal)


class _Graph:
    """The arrays of a graph; links of one node lie together, level after level."""

    def __init__(self, faiss: Any, core: Any) -> None:
        self.faiss, self.hnsw = faiss, core.hnsw
        self.levels: NDArray[np.int64] = self._array("levels")
        self.n = len(self.levels)
        self.starts: NDArray[np.int64] = self._array("offsets")
        self.level_starts: NDArray[np.int64] = self._array("cum_nneighbor_per_level")
        self.links: NDArray[np.int32] = faiss.vector_to_array(core.hnsw.neighbors).copy()
        self.vectors: Vectors = core.storage.reconstruct_n(0, self.n)
        self.by_product = core.metric_type == faiss.METRIC_INNER_PRODUCT

    def _array(self, name: str) -> NDArray[np.int64]:
        found = self.faiss.vector_to_array(getattr(self.hnsw, name))
        return np.asarray(found, dtype=np.int64)

    def span(self, node: int, level: int) -> slice:
        start = self.starts[node]
        return slice(
            int(start + self.level_starts[level]), int(start + self.level_starts[level + 1])
        )

    def neighbours(self, node: int, level: int) -> NDArray[np.int32]:
        row = self.links[self.span(node, level)]
        return row[row >= 0]

    def lists_that_lead_to(self, dead: NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Nodes and levels of the live lists with a removed node in them."""
        at = np.flatnonzero(np.where(self.links >= 0, dead[self.links], False))
        node = np.searchsorted(self.starts, at, side="right") - 1
        at, node = at[~dead[node]], node[~dead[node]]
        level = np.searchsorted(self.level_starts, at - self.starts[node], side="right") - 1
        pairs = np.unique(np.stack([node, level], axis=1), axis=0)
        return [(int(n), int(lvl)) for n, lvl in pairs]

    def mend(self, node: int, level: int, dead: NDArray[np.bool_]) -> None:
        """Put nodes from around removed ones into their place."""
        row = self.neighbours(node, level)
        kept, lost = row[~dead[row]], row[dead[row]]
        around = self._around(lost, level, dead)
        around = np.setdiff1d(around, np.append(kept, node), assume_unique=True)
        order = np.argsort(self._distances(self.vectors[node], around), kind="stable")
        others = np.concatenate([kept, around[order[:_ENOUGH]]])
        between = self._between(self.vectors[[node, *others.tolist()]])
        # Row 0 of `between` is the node; what is chosen counts from 1, as its rows do.
        chosen = list(range(1, len(kept) + 1))
        nearest = between[:, 1 : len(kept) + 1].min(axis=1, initial=np.inf)
        for i in range(len(kept) + 1, len(others) + 1):
            if len(chosen) >= len(row):
                break
            if between[i, 0] < nearest[i]:
                chosen.append(i)
                nearest = np.minimum(nearest, between[:, i])
        span = self.span(node, level)
        self.links[span] = -1
        self.links[span.start : span.start + len(chosen)] = others[np.array(chosen, dtype=int) - 1]

    def reach_all(self, dead: NDArray[np.bool_]) -> None:
        """Give each live node that nothing leads to any more a link on the lowest level."""
        width = int(self.level_starts[1])
        lowest = self.starts[:-1][:, None] + np.arange(width)
        live = np.flatnonzero(~dead)
        links = self.links[lowest[live]]
        n_in = np.bincount(links[links >= 0], minlength=self.n)
        for node in live[n_in[live] == 0].tolist() if len(live) > 1 else []:
            near = self.neighbours(node, 0)
            near = near[~dead[near]]
            if not len(near):
                others = live[live != node]
                near = others[np.argsort(self._distances(self.vectors[node], others))[:1]]
                self.links[self.span(node, 0).start] = near[0]
            self._lead(int(near[0]), node, n_in)

    def compact(self, dead: NDArray[np.bool_]) -> None:
        """Drop what belongs to removed nodes, and give the others their new numbers."""
        new_number = np.cumsum(~dead, dtype=np.int64) - 1
        sizes = np.diff(self.starts)
        links = self.links[np.repeat(~dead, sizes)]
        links = np.where(links >= 0, new_number[links], -1).astype(np.int32)
        levels = self.levels[~dead].astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(sizes[~dead])]).astype(np.uint64)
        entry = int(self.hnsw.entry_point)
        if not len(levels):
            entry, top = -1, -1
        elif dead[entry]:
            entry = int(np.argmax(levels))
            top = int(levels[entry]) - 1
        else:
            entry, top = int(new_number[entry]), int(self.hnsw.max_level)
        copy = self.faiss.copy_array_to_vector
        copy(links, self.hnsw.neighbors)
        copy(levels, self.hnsw.levels)
        copy(starts, self.hnsw.offsets)
        self.hnsw.entry_point, self.hnsw.max_level = entry, top

    def _around(
        self, lost: NDArray[np.int32], level: int, dead: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Live nodes next to removed ones, and next to removed ones next to those."""
        found: set[int] = set()
        seen: set[int] = set(lost.tolist())
        front = list(seen)
        for _ in range(_DEPTH):
            beyond: set[int] = set()
            for node in front:
                if self.levels[node] > level:
                    row = self.neighbours(node, level)
                    found.update(row[~dead[row]].tolist())
                    beyond.update(row[dead[row]].tolist())
            front = sorted(beyond - seen)
            seen |= beyond
            if not front or len(found) >= _ENOUGH:
                break
        return np.array(sorted(found), dtype=np.int64)

    def _lead(self, start: int, node: int, n_in: NDArray[np.int64]) -> None:
        """Link `start` to `node`: in a free place, or for a link that another one doubles."""
        span = self.span(start, 0)
        row = self.links[span]
        free = np.flatnonzero(row < 0)
        spare = np.flatnonzero((row >= 0) & (n_in[row] > 1))
        at = int(free[0]) if len(free) else int(spare[-1]) if len(spare) else len(row) - 1
        if row[at] >= 0:
            n_in[row[at]] -= 1
        row[at] = node
        n_in[node] += 1

    def _between(self, rows: Vectors) -> NDArray[np.float32]:
        products = rows @ rows.T
        if self.by_product:
            return -products
        squares = np.diagonal(products)
        return np.asarray(squares[:, None] + squares[None, :] - 2 * products, dtype=np.float32)

    def _distances(self, vector: Vector, others: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = self.vectors[others]
        found = -(rows @ vector) if self.by_product else ((rows - vector) ** 2).sum(axis=1)
        return np.asarray(found, dtype=np.float32)
